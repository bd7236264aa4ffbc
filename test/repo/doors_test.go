package repo

import (
	"go/ast"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

// TestNothingBehindTheDoorsAsks through which of them a volume came. What shows it is mentioned by
// the doors alone, and the label is read nowhere.
func TestNothingBehindTheDoorsAsks(t *testing.T) {
	mentions := map[string][]string{
		// The label.
		"DoorLabel": {"pkg/staticpv"},
		"ShowOn":    {"pkg/dynamicpv", "pkg/staticpv"},
		// At which door a claim knocks.
		"doorOf": {"pkg/provisioner"},
		// The class of a claim, and that of a volume. pkg/adopt and pkg/restore write claims for a
		// door, and the plugin asks as a door does what a claim would get.
		"ClassName":        {"cmd/kubectl-cephferry", "pkg/claims", "pkg/postrender", "pkg/provisioner"},
		"StorageClassName": {"pkg/adopt", "pkg/claims", "pkg/dynamicpv", "pkg/postrender", "pkg/provisioner", "pkg/restore", "pkg/slim", "pkg/staticpv"},
		// Whether a handle is ceph-csi's own.
		"IsID": {"pkg/adopt", "pkg/dynamicpv", "pkg/staticpv"},
		// Who made the object, and so deletes it. The cluster does for all claims alike.
		"CreatedBy": {"pkg/provisioner"},
	}
	got := map[string][]string{}
	for path, file := range programFiles(t) {
		if strings.Contains(read(t, path), `"`+staticpv.DoorLabel) {
			t.Errorf("%s spells the label out", path)
		}
		in := filepath.Dir(path)
		ast.Inspect(file, func(n ast.Node) bool {
			if name := identifier(n); mentions[name] != nil && !slices.Contains(got[name], in) {
				got[name] = append(got[name], in)
			}
			return true
		})
	}
	for name := range got {
		slices.Sort(got[name])
	}
	if diff := cmp.Diff(mentions, got); diff != "" {
		t.Errorf("packages that tell doors apart (-may +do):\n%s", diff)
	}
}

// identifier is the name at a node, if it is one.
func identifier(n ast.Node) string {
	if id, ok := n.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// programFiles are the files of the programs, without tests, by their paths.
func programFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	for _, folder := range []string{"pkg", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			files[name] = parsed(t, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Fatal("there are no files")
	}
	return files
}
