//go:build image

package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheImageIsDescribed: the bill of materials and the provenance beside the archive are of
// what is in the image, by its own package database and `go version -m`.
func TestTheImageIsDescribed(t *testing.T) {
	b := open(t)
	archive := os.Getenv("CEPHFERRY_IMAGE_ARCHIVE")
	var bill struct {
		Packages []struct {
			ExternalRefs []struct{ ReferenceLocator string }
		}
	}
	var provenance struct {
		Subject   []struct{ Name, Digest any }
		Predicate struct {
			BuildDefinition struct {
				ResolvedDependencies []struct {
					URI    string
					Digest map[string]string
				}
			}
		}
	}
	for kind, value := range map[string]any{"spdx": &bill, "provenance": &provenance} {
		data, err := os.ReadFile(strings.TrimSuffix(archive, ".tar") + "." + kind + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, value); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}

	root := b.run("image", "mount", b.image)
	defer b.run("image", "unmount", b.image)
	digests := map[string]any{"cephferry/webhook": manifest(t, archive)}
	modules := map[string]string{} // path and version to hash
	for _, program := range []string{"webhook", "kubectl-cephferry"} {
		file := filepath.Join(root, "usr/local/bin", program)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		digests[program] = fmt.Sprintf("%x", sha256.Sum256(data))
		out, err := exec.CommandContext(t.Context(), "go", "version", "-m", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) == 4 && fields[0] == "dep" {
				modules[fields[1]+"@"+fields[2]] = fields[3]
			}
		}
		if strings.Contains(string(out), "/src") || strings.Contains(string(out), "/go/mod") {
			t.Errorf("%s has paths of the build: %s", program, out)
		}
	}
	if len(modules) < 30 {
		t.Fatalf("go version -m shows %d modules", len(modules))
	}

	subjects := map[string]any{}
	for _, s := range provenance.Subject {
		subjects[fmt.Sprint(s.Name)] = s.Digest.(map[string]any)["sha256"]
	}
	if diff := cmp.Diff(digests, subjects); diff != "" {
		t.Errorf("subjects of the provenance (-image +provenance):\n%s", diff)
	}
	materials, commit := map[string]string{}, ""
	for _, m := range provenance.Predicate.BuildDefinition.ResolvedDependencies {
		if name, ok := strings.CutPrefix(m.URI, "pkg:golang/"); ok && m.Digest != nil {
			materials[unescape(t, name)] = m.Digest["dirHash"]
		}
		commit += m.Digest["gitCommit"]
	}
	hashes := map[string]string{}
	for name, sum := range modules {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
		if err != nil {
			t.Fatal(err)
		}
		hashes[name] = fmt.Sprintf("%x", raw)
	}
	if diff := cmp.Diff(hashes, materials); diff != "" {
		t.Errorf("modules of the provenance (-go version -m +provenance):\n%s", diff)
	}
	if want := b.label("revision"); commit != want || commit == "" {
		t.Errorf("the provenance is of commit %s; want %s", commit, want)
	}

	want, got := map[string]bool{}, map[string]bool{}
	for name := range modules {
		want["golang/"+name] = true
	}
	installed := strings.Fields(b.output(b.start("--network=none", "--entrypoint=dpkg-query", b.image, "--show", `--showformat=${Package}@${Version}\n`)))
	for _, name := range installed {
		want["deb/debian/"+name] = true
	}
	if len(installed) < 50 {
		t.Fatalf("the image has %d packages", len(installed))
	}
	for _, p := range bill.Packages {
		name, _, _ := strings.Cut(strings.TrimPrefix(p.ExternalRefs[0].ReferenceLocator, "pkg:"), "?")
		if !strings.HasPrefix(name, "oci/") && !strings.HasPrefix(name, "golang/stdlib@") && !strings.HasPrefix(name, "golang/github.com/cephferry/cephferry@") {
			got[unescape(t, name)] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bill of materials (-image +bill):\n%s", diff)
	}
}

// manifest is the digest of the only manifest in an OCI archive, without its algorithm.
func manifest(t *testing.T, archive string) string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if err != nil {
			t.Fatalf("%s has no index.json: %v", archive, err)
		}
		if header.Name != "index.json" {
			continue
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		var index struct{ Manifests []struct{ Digest string } }
		if err := json.Unmarshal(data, &index); err != nil || len(index.Manifests) != 1 {
			t.Fatalf("%v: %s", err, data)
		}
		return strings.TrimPrefix(index.Manifests[0].Digest, "sha256:")
	}
}

func unescape(t *testing.T, text string) string {
	t.Helper()
	plain, err := url.PathUnescape(text)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
