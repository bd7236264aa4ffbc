//go:build lab && cosign

package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSignature: where there is a cosign, checksums that the key did not sign are no reason to
// install what agrees with them.
func TestSignature(t *testing.T) {
	tools(t)
	released := newReleases(t)
	source := newRepository(t)
	keys := t.TempDir()
	signing := []string{"COSIGN_PASSWORD=", "COSIGN_PRIVATE_KEY=" + filepath.Join(keys, "cosign.key")}
	mustRun(t, signing, "sh", "-c", `cd "$1" && cosign generate-key-pair`, "sh", keys)
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
