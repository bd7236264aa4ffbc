package repo

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "draw the picture of the packages anew, and break long lines of documents")

// drawn are the packages of the picture in docs/architecture.md: the programs, and those in which
// something is decided or carried out. All others serve them.
var drawn = []string{
	"cmd/kubectl-cephferry", "cmd/postrender", "cmd/webhook",
	"pkg/ceph", "pkg/ceph/goceph", "pkg/connect", "pkg/failover", "pkg/guard", "pkg/idle", "pkg/imagename", "pkg/keeper", "pkg/move",
	"pkg/objects", "pkg/ownership", "pkg/planning", "pkg/postrender", "pkg/provision", "pkg/provisioner", "pkg/staticpv", "pkg/takeover", "pkg/usage",
}

// TestThePictureOfThePackages: the arrows in docs/architecture.md are the imports, without those
// that follow from others.
func TestThePictureOfThePackages(t *testing.T) {
	imports := map[string][]string{}
	for _, p := range packages(t) {
		imports[strings.TrimPrefix(p.ImportPath, module)] = p.Imports
	}
	// reached are the packages of the picture that a package leads to, over whatever others.
	var reached func(name string) []string
	memory := map[string][]string{}
	reached = func(name string) []string {
		if all, ok := memory[name]; ok {
			return all
		}
		var all []string
		for _, imported := range imports[name] {
			if next, ours := strings.CutPrefix(imported, module); ours {
				if slices.Contains(drawn, next) {
					all = append(all, next)
				}
				all = append(all, reached(next)...)
			}
		}
		slices.Sort(all)
		memory[name] = slices.Compact(all)
		return memory[name]
	}
	lines := []string{"flowchart TD"}
	for _, name := range drawn {
		if imports[name] == nil {
			t.Errorf("there is no package %s", name)
		}
		for _, next := range reached(name) {
			follows := slices.ContainsFunc(reached(name), func(between string) bool {
				return slices.Contains(reached(between), next)
			})
			if !follows {
				lines = append(lines, "    "+name+" --> "+next)
			}
		}
	}
	const begin, end = "<!-- packages: make golden -->\n\n```mermaid\n", "\n```\n"
	document := read(t, "docs/architecture.md")
	before, rest, found := strings.Cut(document, begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("docs/architecture.md has no picture after %q", begin)
	}
	want := strings.Join(lines, "\n")
	if *update {
		if err := os.WriteFile(filepath.Join(root, "docs", "architecture.md"), []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("docs/architecture.md (-code +document):\n%s\nmake golden draws it anew", diff)
	}
}
