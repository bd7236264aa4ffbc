package main

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hash is of 32 zero bytes, as go.sum has it.
const hash = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func example() image {
	build := func(deps ...*debug.Module) *buildinfo.BuildInfo {
		return &buildinfo.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "github.com/cephferry/cephferry"}, Deps: deps}
	}
	cobra := &debug.Module{Path: "github.com/spf13/cobra", Version: "v1.10.2", Sum: hash}
	return image{
		name: "cephferry/webhook", version: "1.2.3", digest: "sha256:" + strings.Repeat("a", 64), architecture: "arm64",
		base: "localhost/base:1", baseDigest: "sha256:" + strings.Repeat("b", 64), commit: "c0ffee", created: time.Unix(0, 0).UTC(), builder: "https://example.com/builder",
		packages: []osPackage{{"librados2", "16.2.15+ds-0", "pkg:deb/debian/librados2@16.2.15%2Bds-0?arch=arm64&distro=debian-12"}},
		programs: []program{
			{"webhook", strings.Repeat("1", 64), build(cobra)},
			{"kubectl-cephferry", strings.Repeat("2", 64), build(cobra, &debug.Module{Path: "old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v2.0.0+incompatible", Sum: hash}})},
		},
	}
}

func TestSBOM(t *testing.T) {
	bill := example().sbom()
	names := map[string]string{document: "document"}
	var refs []string
	for _, p := range bill.Packages {
		names[p.ID] = p.Name
		refs = append(refs, p.Refs[0].Locator)
	}
	if len(names) != len(bill.Packages)+1 {
		t.Errorf("%d identifiers for %d packages", len(names), len(bill.Packages))
	}
	want := []string{
		"pkg:oci/webhook@sha256%3A" + strings.Repeat("a", 64) + "?arch=arm64&tag=1.2.3",
		"pkg:deb/debian/librados2@16.2.15%2Bds-0?arch=arm64&distro=debian-12",
		"pkg:golang/example.com/new@v2.0.0%2Bincompatible",
		"pkg:golang/github.com/spf13/cobra@v1.10.2",
		"pkg:golang/stdlib@1.26.8",
		"pkg:golang/github.com/cephferry/cephferry@1.2.3",
		"pkg:golang/github.com/cephferry/cephferry@1.2.3",
	}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	var relations []string
	for _, r := range bill.Relationships {
		relations = append(relations, names[r.From]+" "+r.Type+" "+names[r.To])
	}
	if diff := cmp.Diff([]string{
		"document DESCRIBES cephferry/webhook",
		"cephferry/webhook CONTAINS librados2",
		"cephferry/webhook CONTAINS webhook",
		"webhook DEPENDS_ON stdlib",
		"webhook DEPENDS_ON github.com/spf13/cobra",
		"cephferry/webhook CONTAINS kubectl-cephferry",
		"kubectl-cephferry DEPENDS_ON stdlib",
		"kubectl-cephferry DEPENDS_ON github.com/spf13/cobra",
		"kubectl-cephferry DEPENDS_ON example.com/new",
	}, relations); diff != "" {
		t.Errorf("relationships (-want +got):\n%s", diff)
	}
}

func TestProvenance(t *testing.T) {
	s, err := example().provenance()
	if err != nil {
		t.Fatal(err)
	}
	zeros := map[string]string{"dirHash": strings.Repeat("0", 64)}
	want := statement{
		Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1",
		Subject: []resource{
			{Name: "cephferry/webhook", Digest: map[string]string{"sha256": strings.Repeat("a", 64)}},
			{Name: "webhook", Digest: map[string]string{"sha256": strings.Repeat("1", 64)}},
			{Name: "kubectl-cephferry", Digest: map[string]string{"sha256": strings.Repeat("2", 64)}},
		},
		Predicate: predicate{Definition: definition{
			BuildType:  buildType,
			Parameters: map[string]string{"version": "1.2.3", "platform": "linux/arm64", "baseImage": "localhost/base:1"},
			Materials: []resource{
				{URI: "git+https://github.com/cephferry/cephferry", Digest: map[string]string{"gitCommit": "c0ffee"}},
				{URI: "oci:localhost/base:1", Digest: map[string]string{"sha256": strings.Repeat("b", 64)}},
				{URI: "pkg:golang/example.com/new@v2.0.0%2Bincompatible", Digest: zeros},
				{URI: "pkg:golang/github.com/spf13/cobra@v1.10.2", Digest: zeros},
				{URI: "pkg:golang/stdlib@1.26.8"},
			},
		}},
	}
	want.Predicate.Details.Builder.ID = "https://example.com/builder"
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestProvenanceRefusesWhatIsNoDigest(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*image)
		want   string
	}{
		"no digest":           {func(i *image) { i.digest = "" }, `--digest: digest ""`},
		"a base without one":  {func(i *image) { i.baseDigest = "latest" }, `--base-digest: digest "latest"`},
		"a module's bad hash": {func(i *image) { i.programs[0].info.Deps[0].Sum = "h1:?" }, `module github.com/spf13/cobra: sum "h1:?"`},
	} {
		t.Run(name, func(t *testing.T) {
			i := example()
			test.change(&i)
			if _, err := i.provenance(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
		})
	}
}

func TestReadPackages(t *testing.T) {
	for name, test := range map[string]struct {
		lines, distribution string
		want                []osPackage
		err                 string
	}{
		"those of Debian": {
			"deb zlib1g 1:1.2.13.dfsg-1 amd64\ndeb libstdc++6 12 amd64\n", "debian-12",
			[]osPackage{
				{"libstdc++6", "12", "pkg:deb/debian/libstdc%2B%2B6@12?arch=amd64&distro=debian-12"},
				{"zlib1g", "1:1.2.13.dfsg-1", "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64&distro=debian-12"},
			}, "",
		},
		"those of CentOS": {
			"rpm librados2 2:20.2.4-0.el9 x86_64\nrpm bash 0:5.1.8-9.el9 x86_64\nrpm gpg-pubkey 0:460f3994-5657b0a0 (none)\n", "centos-9",
			[]osPackage{
				{"bash", "5.1.8-9.el9", "pkg:rpm/centos/bash@5.1.8-9.el9?arch=x86_64&distro=centos-9"},
				{"librados2", "2:20.2.4-0.el9", "pkg:rpm/centos/librados2@20.2.4-0.el9?arch=x86_64&distro=centos-9&epoch=2"},
			}, "",
		},
		"an rpm whose epoch nobody said": {"rpm librados2 20.2.4-0.el9 x86_64\n", "centos-9", nil, `read packages: no epoch in line "rpm librados2 20.2.4-0.el9 x86_64"`},
		"none":                           {"", "debian-12", nil, "read packages: there are none"},
		"a message":                      {"rpm: not found\n", "debian-12", nil, `read packages: line "rpm: not found"`},
		"no distribution":                {"deb a 1 all\n", "12x", nil, "--distribution 12x: must be as debian-12"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readPackages(strings.NewReader(test.lines), test.distribution)
			if (err != nil) != (test.err != "") || err != nil && err.Error() != test.err {
				t.Errorf("%v; want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(osPackage{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestRun: the program describes itself, twice alike.
func TestRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for range 2 {
		dir := t.TempDir()
		sbom := filepath.Join(dir, "sbom")
		args := []string{"--name=n", "--version=1", "--digest=sha256:" + strings.Repeat("a", 64), "--architecture=amd64", "--base=b", "--base-digest=sha256:" + strings.Repeat("b", 64),
			"--commit=c", "--created=1", "--builder=https://example.com", "--distribution=debian-12", "--program=" + self, "--sbom=" + sbom, "--provenance=" + filepath.Join(dir, "p"), "--predicate=" + filepath.Join(dir, "predicate")}
		var stderr bytes.Buffer
		if code := run(args, strings.NewReader("deb a 1 all\n"), &stderr); code != 0 {
			t.Fatalf("code %d: %s", code, stderr.String())
		}
		data, err := os.ReadFile(sbom)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte("pkg:golang/github.com/spf13/pflag@")) {
			t.Errorf("pflag, which this program has, is not in its bill of materials:\n%s", data)
		}
		if first != nil && !bytes.Equal(first, data) {
			t.Error("the second bill of materials differs")
		}
		first = data
	}
	var stderr bytes.Buffer
	if code := run([]string{"--name=n"}, strings.NewReader(""), &stderr); code != 1 || !strings.Contains(stderr.String(), "--digest: required") {
		t.Errorf("without flags: code %d, %s", code, stderr.String())
	}
}
