package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNothingIsUpdated: an update of what a cache has would erase what is not in the cache, see
// pkg/slim. So no code of the programs updates or applies an object as a whole.
func TestNothingIsUpdated(t *testing.T) {
	files := programFiles(t)
	for path, file := range files {
		for _, call := range updates(file) {
			t.Errorf("%s: %s updates an object: patch it, or read it from the API server and say so here", path, call)
		}
	}
	if len(files) < 100 {
		t.Errorf("only %d files were looked at", len(files))
	}
	sees := "package a\nfunc f() { c.Update(ctx, pv); c.Status().Update(r.ctx, pv); c.Apply(t.Context(), pv); hash.Update(x); c.Patch(ctx, pv) }"
	file, err := parser.ParseFile(token.NewFileSet(), "a.go", sees, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c.Update(ctx, pv)", "c.Status().Update(r.ctx, pv)", "c.Apply(t.Context(), pv)"}, updates(file)); diff != "" {
		t.Errorf("updates (-there +found):\n%s", diff)
	}
}

// updates are the calls of methods Update and Apply with a context and an object.
func updates(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		if method, ok := call.Fun.(*ast.SelectorExpr); ok && (method.Sel.Name == "Update" || method.Sel.Name == "Apply") {
			found = append(found, types.ExprString(call))
		}
		return true
	})
	return found
}
