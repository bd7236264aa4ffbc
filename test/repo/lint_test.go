package repo

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLintersHaveReasons: a linter that nobody knows the use of is switched off when it
// finds something.
func TestLintersHaveReasons(t *testing.T) {
	_, list, found := strings.Cut(read(t, ".golangci.yaml"), "\n  enable:\n")
	if !found {
		t.Fatal(".golangci.yaml enables nothing")
	}
	list, _, _ = strings.Cut(list, "\n  settings:\n")
	var linters []string
	for _, line := range strings.Split(list, "\n") {
		m := regexp.MustCompile(`^    - (\w+) # \w.+$`).FindStringSubmatch(line)
		if m == nil {
			t.Errorf(".golangci.yaml: %q is not a linter with its reason", line)
			continue
		}
		linters = append(linters, m[1])
	}
	if !slices.IsSorted(linters) {
		t.Errorf(".golangci.yaml: the linters are not sorted: %q", linters)
	}
	_, text, _ := strings.Cut(read(t, "CONTRIBUTING.md"), "\n## Linters\n")
	_, text, _ = strings.Cut(text, "why each is on:")
	text, _, _ = strings.Cut(text, ".\n")
	var documented []string
	for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(text, -1) {
		documented = append(documented, m[1])
	}
	if diff := cmp.Diff(linters, documented); diff != "" {
		t.Errorf("CONTRIBUTING.md (-.golangci.yaml +document):\n%s", diff)
	}
}

// TestEveryModuleIsChecked: make lint goes into each module that has code of ours.
func TestEveryModuleIsChecked(t *testing.T) {
	var modules, code []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch dir := filepath.ToSlash(filepath.Dir(path)); {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case entry.Name() == "go.mod" && dir != root:
			modules = append(modules, dir)
		case strings.HasSuffix(path, ".go"):
			code = append(code, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, module := range modules {
		if slices.ContainsFunc(code, func(dir string) bool { return strings.HasPrefix(dir+"/", module+"/") }) {
			want = append(want, strings.TrimPrefix(module, root+"/"))
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\tcd (\S+) && .*\$\(LINT\) \./\.\.\.$`).FindAllStringSubmatch(read(t, "lint.mk"), -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lint.mk (-modules with code +checked):\n%s", diff)
	}
}
