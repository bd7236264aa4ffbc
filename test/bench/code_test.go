package main

import (
	"bytes"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/bench/document"
)

const module = "github.com/cephferry/cephferry/"

// unmeasured are packages that programs are linked with and whose code no figure is of: by part,
// or "" for all.
var unmeasured = map[string][]string{
	"": {
		"pkg/version",      // a text
		"pkg/count",        // words of a message
		"pkg/doctor",       // its own command
		"pkg/kubeyaml",     // what export, restore and adopt write
		"pkg/api/v1alpha1", // types
	},
	// Other commands of the plugin.
	"rtt":    {"pkg/access", "pkg/adopt", "pkg/compare", "pkg/dynamicpv", "pkg/flagvalue", "pkg/move", "pkg/page", "pkg/podrun", "pkg/provision", "pkg/provisioner", "pkg/rekey", "pkg/restore"},
	"status": {"pkg/access", "pkg/adopt", "pkg/compare", "pkg/dynamicpv", "pkg/flagvalue", "pkg/idle", "pkg/move", "pkg/page", "pkg/podrun", "pkg/provision", "pkg/provisioner", "pkg/rekey", "pkg/restore"},
	"growth": {"pkg/access", "pkg/adopt", "pkg/compare", "pkg/dynamicpv", "pkg/flagvalue", "pkg/idle", "pkg/move", "pkg/page", "pkg/podrun", "pkg/provision", "pkg/provisioner", "pkg/rekey", "pkg/restore"},
	// Those, and what lists many volumes.
	"handover": {"pkg/access", "pkg/adopt", "pkg/compare", "pkg/dynamicpv", "pkg/flagvalue", "pkg/inventory", "pkg/move", "pkg/page", "pkg/podrun", "pkg/provision", "pkg/provisioner", "pkg/rekey", "pkg/restore"},
	// Nothing is made while nothing happens, and nobody fails over, or opens the page.
	"leader": {"pkg/access", "pkg/failover", "pkg/flagvalue", "pkg/inventory", "pkg/page", "pkg/planning", "pkg/provision"},
	"steady": {"pkg/access", "pkg/failover", "pkg/flagvalue", "pkg/inventory", "pkg/page", "pkg/planning", "pkg/provision"},
	"many":   {"pkg/access", "pkg/failover", "pkg/flagvalue", "pkg/inventory", "pkg/page", "pkg/planning"},
}

// TestCodeOfATableIsAllItMeasures: a table is older than its code if a package has changed that
// the measured code imports, however indirectly.
func TestCodeOfATableIsAllItMeasures(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("../..", published))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := document.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	imports := importsOfOurs(t)
	used := map[string]bool{}
	for _, mark := range parsed.Marks() {
		listed := slices.DeleteFunc(slices.Clone(mark.Code), func(path string) bool { return strings.HasPrefix(path, "-") })
		var todo []string
		for _, path := range listed {
			if strings.HasSuffix(path, ".go") {
				todo = append(todo, importsOfFile(t, path)...)
			} else {
				todo = append(todo, imports[path]...)
			}
		}
		seen := map[string]bool{}
		for len(todo) > 0 {
			path := todo[len(todo)-1]
			if todo = todo[:len(todo)-1]; !seen[path] {
				seen[path] = true
				todo = append(todo, imports[path]...)
			}
		}
		var missing []string
		for _, path := range slices.Sorted(maps.Keys(seen)) {
			switch {
			case slices.Contains(listed, path):
			case slices.Contains(unmeasured[mark.Part], path):
				used[mark.Part+" "+path] = true
			case slices.Contains(unmeasured[""], path):
				used[" "+path] = true
			default:
				missing = append(missing, path)
			}
		}
		if len(missing) > 0 {
			t.Errorf("%s: the code of part %s, %q, imports these as well: %s", published, mark.Part, mark.Title, strings.Join(missing, " "))
		}
	}
	for part, paths := range unmeasured {
		for _, path := range paths {
			if !used[part+" "+path] {
				t.Errorf("%s is no exception of part %q: nothing imports it, or it is listed", path, part)
			}
		}
	}
}

// importsOfOurs are the packages of this module that each of them imports, by their folders.
func importsOfOurs(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-tags", "pacific", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./cmd/...", "./pkg/...")
	list.Dir = "../.."
	var complaints bytes.Buffer
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.String())
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		all[strings.TrimPrefix(fields[0], module)] = ofModule(fields[1:])
	}
	return all
}

func importsOfFile(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", path), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, imported)
	}
	return ofModule(all)
}

func ofModule(imported []string) []string {
	var all []string
	for _, path := range imported {
		if folder, ok := strings.CutPrefix(path, module); ok {
			all = append(all, folder)
		}
	}
	return all
}
