//go:build lab && cosign

package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab/labtest"
)

// keyPair makes the keys cosign.key and cosign.pub, and returns what has release/cosign use them.
func keyPair(t *testing.T, dir string) []string {
	t.Helper()
	mustRun(t, []string{"COSIGN_PASSWORD="}, "sh", "-c", `cd "$1" && cosign generate-key-pair`, "sh", dir)
	return []string{"COSIGN_PASSWORD=", "COSIGN_PRIVATE_KEY=" + filepath.Join(dir, "cosign.key"), "COSIGN_PUBLIC_KEY=" + filepath.Join(dir, "cosign.pub")}
}

// TestSignature: where there is a cosign, checksums that the key did not sign are no reason to
// install what agrees with them.
func TestSignature(t *testing.T) {
	tools(t)
	released := newReleases(t)
	source := newRepository(t)
	keys := t.TempDir()
	signing := keyPair(t, keys)
	sign := func(version string) {
		released.publish(t, version, saying(version))
		mustRun(t, signing, filepath.Join(root, "release", "sign"), filepath.Join(released.dir, "v"+version))
		source.commit(t, version)
	}
	sign("1.0.0")
	sign("1.1.0")
	released.publish(t, "1.1.0", "#!/bin/sh\n# somebody else's\necho 1.1.0\n")
	sign("1.2.0")
	if err := os.Remove(filepath.Join(released.dir, "v1.2.0", "SHA256SUMS.sigstore.json")); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"1.0.0": "cephferry 1.0.0 is there",
		"1.1.0": "cosign does not confirm who signed",
		"1.2.0": "its release is incomplete",
	} {
		t.Run(version, func(t *testing.T) {
			h := helms(t, released.url)["Helm 3"]
			env := append(h.env, "CEPHFERRY_COSIGN_KEY="+filepath.Join(keys, "cosign.pub"))
			out, err := run(env, h.program, "plugin", "install", source.url(), "--version", "v"+version)
			if installed := err == nil; installed != (version == "1.0.0") || !strings.Contains(out, want) {
				t.Errorf("it says, %v: %s\nwant %q", err, out, want)
			}
			if got := h.versions(t); (got != "") != (version == "1.0.0") {
				t.Errorf("plugins are %q", got)
			}
		})
	}
}

// TestPublishedChart: what is published by its tag can be pulled by the digest that was printed, is
// what was made, and is signed by who published it and nobody else.
func TestPublishedChart(t *testing.T) {
	tools(t)
	dist, programs, address := snapshot(t), t.TempDir(), labtest.Registry(t)
	write(t, filepath.Join(programs, "gh"), gitHub)
	t.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	keys, others := keyPair(t, t.TempDir()), keyPair(t, t.TempDir())
	h := helms(t, "")["Helm 3"]
	script := func(name string) string {
		path, err := filepath.Abs(filepath.Join(root, "release", name))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	mustRun(t, keys, script("sign"), dist)
	publish := func() (string, error) {
		write(t, filepath.Join(programs, "gh.releases"), "")
		return run(append(h.env, keys...), script("login"), address+"/cephferry", script("publish"), version, dist, address+"/cephferry")
	}
	out, err := publish()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	reference := lines[len(lines)-1]
	chart, digest, _ := strings.Cut(reference, "@")
	if chart != address+"/cephferry/charts/cephferry" || !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("it prints %q", out)
	}
	pulled := t.TempDir()
	mustRun(t, h.env, h.program, "pull", "--plain-http", "oci://"+reference, "--destination", pulled)
	found, err := filepath.Glob(filepath.Join(pulled, "*.tgz"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	mustRun(t, nil, "cmp", filepath.Join(dist, "cephferry-"+version+".tgz"), found[0])
	mustRun(t, h.env, h.program, "pull", "--plain-http", "oci://"+chart, "--version", version, "--destination", t.TempDir())
	mustRun(t, append(keys, "COSIGN_PLAIN_HTTP=true"), script("cosign"), "verify", reference)
	if out, err := run(append(others, "COSIGN_PLAIN_HTTP=true"), script("cosign"), "verify", reference); err == nil {
		t.Errorf("the key of somebody else has signed it: %s", out)
	}

	// The same chart is gone on with, and another one is not replaced.
	if out, err := publish(); err != nil || !strings.Contains(out, reference) {
		t.Errorf("once more: %v: %s", err, out)
	}
	mustRun(t, nil, "sh", "-euc", `cd "$1"; gzip -dc "$2" | gzip -1 >again; mv again "$2"; rm SHA256SUMS*; sums=$(sha256sum *); echo "$sums" >SHA256SUMS`, "sh", dist, "cephferry-"+version+".tgz")
	mustRun(t, keys, script("sign"), dist)
	if out, err := publish(); err == nil || !strings.Contains(out, "the registry has another chart") {
		t.Errorf("another chart: %v: %s", err, out)
	}
}
