package repo

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What docs/safety.md names as evidence is there: tests as "`test/guard`: TestName", traces of
// the model, files, and the cases of a test in the table of traps. And each trace that is
// there is one that a test of the model writes.
func TestTheEvidenceOfSafetyIsThere(t *testing.T) {
	page := read(t, "docs/safety.md")
	tests := regexp.MustCompile("`((?:pkg|test)/[a-z0-9/]+)`: (Test[A-Za-z]+)").FindAllStringSubmatch(page, -1)
	traces := regexp.MustCompile("`((?:hole|rule|keys|assumption)-[a-z0-9-]+\\.txt)`").FindAllStringSubmatch(page, -1)
	paths := regexp.MustCompile("`((?:pkg|test)/[A-Za-z0-9_/.-]+)`").FindAllStringSubmatch(page, -1)
	if len(tests) < 5 || len(traces) < 5 || len(paths) < 5 {
		t.Fatalf("%d tests, %d traces and %d paths; want the tables", len(tests), len(traces), len(paths))
	}
	for _, m := range tests {
		if source := sources(t, m[1]); !strings.Contains(source, "func "+m[2]+"(") {
			t.Errorf("%s has no %s", m[1], m[2])
		}
	}
	for _, m := range traces {
		if _, err := os.Stat(filepath.Join(root, "test/model/testdata", m[1])); err != nil {
			t.Error(err)
		}
	}
	for _, m := range paths {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Error(err)
		}
	}
}

// TestTheTrapsHaveTheirCases: the last column of the table names cases of the test that stands
// before it, each of which is run.
func TestTheTrapsHaveTheirCases(t *testing.T) {
	page := read(t, "docs/safety.md")
	before, table, found := strings.Cut(page, "| trap | what is done about it | case of the test |\n|---|---|---|\n")
	if !found || !strings.HasSuffix(strings.TrimSpace(before), "(`test/krbd`: TestKernelClient):") {
		t.Fatal("docs/safety.md has no table of traps, or says no more which test has their cases")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var named []string
	source := sources(t, "test/krbd")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		for name := range strings.SplitSeq(cells[len(cells)-2], ";") {
			name = strings.TrimSpace(name)
			named = append(named, name)
			if !strings.Contains(source, `"`+name+`"`) {
				t.Errorf("test/krbd has no case %q", name)
			}
		}
	}
	if len(named) < 8 {
		t.Errorf("the table names %q", named)
	}
}

// TestNoTraceIsLeftOver: a trace that no test writes any more proves nothing.
func TestNoTraceIsLeftOver(t *testing.T) {
	source := sources(t, "test/model")
	files, err := filepath.Glob(filepath.Join(root, "test/model/testdata/*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); !strings.Contains(source, `"`+name+`"`) {
			t.Errorf("no test of the model writes %s", file)
		}
	}
	traces := regexp.MustCompile(`\b((?:hole|rule|keys|assumption)-[a-z0-9-]+\.txt)`).FindAllString(read(t, "test/model/doc.go"), -1)
	for _, name := range traces {
		if !slices.ContainsFunc(files, func(file string) bool { return filepath.Base(file) == name }) {
			t.Errorf("test/model/doc.go names %s, which there is not", name)
		}
	}
}

// TestTheScenariosAreListed: docs/safety.md has each scenario of the model with its first line,
// and no other.
func TestTheScenariosAreListed(t *testing.T) {
	_, table, found := strings.Cut(read(t, "docs/safety.md"), "| scenario | what it shows |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	files, err := filepath.Glob(filepath.Join(root, "test/model/testdata/scenarios/*.txt"))
	if err != nil || len(files) < 10 || !found {
		t.Fatalf("%d scenarios, a table: %v, %v", len(files), found, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		title, _, _ := strings.Cut(read(t, "test/model/testdata/scenarios/"+name), "\n")
		row := fmt.Sprintf("| [%s](../test/model/testdata/scenarios/%s) | %s |", strings.TrimSuffix(name, ".txt"), name, strings.TrimPrefix(title, "# "))
		if !strings.Contains(table+"\n", row+"\n") {
			t.Errorf("docs/safety.md lacks this row of its scenarios:\n%s", row)
		}
	}
	if rows := strings.Count(table, "\n") + 1; rows != len(files) {
		t.Errorf("docs/safety.md lists %d scenarios; there are %d", rows, len(files))
	}
}

// sources are the tests in a folder.
func sources(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		all.WriteString(read(t, filepath.Join(folder, filepath.Base(file))))
	}
	return all.String()
}
