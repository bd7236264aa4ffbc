//go:build image

package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/lab/labtest"
)

// publisher runs the scripts that publish an image, with keys of its own, to a registry on this
// machine.
type publisher struct {
	*testing.T
	env      []string
	registry string
}

const publishedVersion = "1.2.3"

func newPublisher(t *testing.T) publisher {
	t.Helper()
	keys := t.TempDir()
	p := publisher{T: t, registry: labtest.Registry(t) + "/cephferry"}
	p.env = []string{
		"PATH=" + os.Getenv("CEPHFERRY_TOOLS") + string(os.PathListSeparator) + os.Getenv("PATH"), "COSIGN_PASSWORD=", "REGISTRY_USER=",
		"COSIGN_PRIVATE_KEY=" + filepath.Join(keys, "cosign.key"), "COSIGN_PUBLIC_KEY=" + filepath.Join(keys, "cosign.pub"),
	}
	p.must("env", "--chdir="+keys, "cosign", "generate-key-pair")
	return p
}

// run returns what a program prints, and what it says besides.
func (p publisher) run(name string, args ...string) (out, said string, err error) {
	p.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(context.WithoutCancel(p.Context()), "env", slices.Concat(p.env, []string{name}, args)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return strings.TrimSpace(stdout.String()), stderr.String(), err
}

func (p publisher) must(name string, args ...string) string {
	p.Helper()
	out, said, err := p.run(name, args...)
	if err != nil {
		p.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, said)
	}
	return out
}

// script runs one of the scripts of a release, logged in.
func (p publisher) script(path string, args ...string) (out, said string, err error) {
	p.Helper()
	return p.run("../../release/login", slices.Concat([]string{p.registry, "../../" + path}, args)...)
}

// other makes the archive of an image with nothing in it, for an architecture.
func (p publisher) other(arch string) string {
	p.Helper()
	archive := filepath.Join(p.TempDir(), "other.tar")
	buildah := os.Getenv("BUILDAH")
	p.must("sh", "-euc", buildah+` from --name "$1" scratch >&2; trap '`+buildah+` rm "$1" >&2' EXIT
`+buildah+` config --os linux --arch "$2" "$1"
`+buildah+` commit --quiet --disable-compression=false "$1" "oci-archive:$3"`, "sh", "published-"+arch, arch, archive)
	described := strings.TrimSuffix(archive, ".tar")
	for kind, text := range map[string]string{
		"digest": "sha256:" + manifest(p.T, archive), "spdx.json": `{"spdxVersion": "SPDX-2.3"}`, "predicate.json": `{"buildDefinition": {"buildType": "https://example.com"}}`,
	} {
		if err := os.WriteFile(described+"."+kind, []byte(text), 0o644); err != nil {
			p.Fatal(err)
		}
	}
	return archive
}

// TestTheImageIsPublished: what make has built is in the registry by the digest that its provenance
// names, signed and described; the image of a release is one for all architectures, of what the
// same release has signed.
func TestTheImageIsPublished(t *testing.T) {
	archive := os.Getenv("CEPHFERRY_IMAGE_ARCHIVE")
	p := newPublisher(t)
	arch := archive[strings.LastIndex(archive, "-")+1 : len(archive)-len(".tar")]
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[arch]
	image := p.registry + "/webhook"
	pushed := image + "@sha256:" + manifest(t, archive)

	out, said, err := p.script("image/push", archive, publishedVersion, arch, p.registry)
	if err != nil || out != pushed {
		t.Fatalf("image/push prints %q; want %q: %v, %s", out, pushed, err, said)
	}
	p.must("env", "COSIGN_PLAIN_HTTP=true", "../../release/cosign", "verify", pushed)
	for kind, file := range map[string]string{"spdxjson": "spdx", "slsaprovenance1": "predicate"} {
		var envelope struct{ Payload string }
		var statement struct{ Predicate any }
		var want any
		attested := p.must("env", "COSIGN_PLAIN_HTTP=true", "../../release/cosign", "verify-attestation", "--type", kind, pushed)
		described, err := os.ReadFile(strings.TrimSuffix(archive, ".tar") + "." + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(attested), &envelope); err != nil {
			t.Fatalf("%v: %s", err, attested)
		}
		payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
		if err != nil {
			t.Fatal(err)
		}
		for text, value := range map[string]any{string(payload): &statement, string(described): &want} {
			if err := json.Unmarshal([]byte(text), value); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		if diff := cmp.Diff(want, statement.Predicate); diff != "" {
			t.Errorf("%s (-described +attested):\n%s", kind, diff)
		}
	}
	again := filepath.Join(t.TempDir(), "again.tar")
	p.must("skopeo", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false", "docker://"+pushed, "oci-archive:"+again)
	if got := manifest(t, again); image+"@sha256:"+got != pushed {
		t.Errorf("what is pulled is %s; want %s", got, pushed)
	}

	// One that nobody signed, and one of another machine.
	other := p.other(foreign)
	p.must("skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci-archive:"+other, "docker://"+image+":"+publishedVersion+"-"+foreign)
	index := func() (string, string, error) {
		return p.script("image/index", publishedVersion, p.registry, arch, foreign)
	}
	if out, said, err := index(); err == nil || !strings.Contains(said, "is not signed as this release") {
		t.Errorf("with an image that nobody signed: %v, %s%s", err, out, said)
	}
	if _, said, err := p.script("image/push", p.other(arch), publishedVersion, foreign, p.registry); err != nil {
		t.Fatalf("%v, %s", err, said)
	}
	if out, said, err := index(); err == nil || !strings.Contains(said, "is not of "+foreign) {
		t.Errorf("with an image of another architecture: %v, %s%s", err, out, said)
	}
	if _, said, err := p.script("image/push", other, publishedVersion, foreign, p.registry); err != nil {
		t.Fatalf("%v, %s", err, said)
	}
	whole, said, err := index()
	if err != nil {
		t.Fatalf("image/index: %v, %s", err, said)
	}
	p.must("env", "COSIGN_PLAIN_HTTP=true", "../../release/cosign", "verify", whole)
	var list struct {
		Manifests []struct {
			Digest   string
			Platform struct{ OS, Architecture string }
		}
	}
	text := p.must("skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+whole)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	got := map[string]string{}
	for _, m := range list.Manifests {
		got[m.Platform.OS+"/"+m.Platform.Architecture] = image + "@" + m.Digest
	}
	if diff := cmp.Diff(map[string]string{"linux/" + arch: pushed, "linux/" + foreign: image + "@sha256:" + manifest(t, other)}, got); diff != "" {
		t.Errorf("the image of the release (-want +got):\n%s", diff)
	}
	if got := p.must("skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+image+":"+publishedVersion); got != text {
		t.Errorf("its tag leads to %s", got)
	}

	if _, said, err := p.script("image/push", archive, publishedVersion, arch, p.registry); err == nil || !strings.Contains(said, "is published already; nothing was changed") {
		t.Errorf("a version that is published is pushed again: %v, %s", err, said)
	}
}
