package repo

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNothingIsDecidedByWhatIsShown: whoever decides about an image does not know the objects
// that show it.
func TestNothingIsDecidedByWhatIsShown(t *testing.T) {
	deciders := []string{
		"pkg/ceph", "pkg/claims", "pkg/ownership", "pkg/imagename", "pkg/volumes", "pkg/usage", "pkg/idle",
		"pkg/guard", "pkg/failover", "pkg/keeper", "pkg/register", "pkg/provision", "pkg/provisioner", "pkg/rekey",
	}
	seen := 0
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if !slices.Contains(deciders, name) {
			continue
		}
		seen++
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"pkg/api/") || imported == module+"pkg/objects" {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
	if seen != len(deciders) {
		t.Errorf("%d of the %d packages that decide exist", seen, len(deciders))
	}
}

// TestObjectTables compares docs/objects.md with the columns that the CRDs have, and the
// conditions and states that the types name.
func TestObjectTables(t *testing.T) {
	document := read(t, "docs/objects.md")
	for kind, file := range map[string]string{"MigratableVolume": "migratablevolume", "FerryCluster": "ferrycluster"} {
		_, section, found := strings.Cut(document, "\n## "+kind+"\n")
		if !found {
			t.Fatalf("docs/objects.md has no section %s", kind)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		var want []string
		crd := read(t, "charts/cephferry/crd-schemas/cephferry.io_"+file+"s.yaml")
		for _, m := range regexp.MustCompile(`(?m)^    - jsonPath: .*\n      name: (\S+)$`).FindAllStringSubmatch(crd, -1) {
			want = append(want, m[1])
		}
		want = append(want, constants(t, file+".go", "Condition")...)
		want = append(want, constants(t, file+".go", "Volume")...)
		var got []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
			got = append(got, m[1])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docs/objects.md, %s (-code +document):\n%s", kind, diff)
		}
	}
}

// constants are the texts of the constants of the API whose names begin so.
func constants(t *testing.T, file, prefix string) []string {
	t.Helper()
	var texts []string
	for _, declaration := range parsed(t, filepath.Join(root, "pkg/api/v1alpha1", file)).Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			value := spec.(*ast.ValueSpec)
			if !strings.HasPrefix(value.Names[0].Name, prefix) {
				continue
			}
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
	}
	return texts
}
