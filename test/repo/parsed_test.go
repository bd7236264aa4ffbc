package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// filesOf are the files of a package without its tests, by their paths.
func filesOf(t *testing.T, folder string) iter.Seq2[string, *ast.File] {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
	if len(paths) == 0 {
		t.Fatalf("%s has no files", folder)
	}
	return func(yield func(string, *ast.File) bool) {
		for _, path := range paths {
			if !yield(path, parsed(t, path)) {
				return
			}
		}
	}
}

func parsed(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
