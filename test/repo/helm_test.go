package repo

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helmInterface is all of Helm that our packages may contain: the interface of its
// post-renderers.
const helmInterface = "helm.sh/helm/v3/pkg/postrender"

// TestHelmStaysOutOfOurPrograms lists what every package and program links, tests
// apart, with and without cgo and tags.
func TestHelmStaysOutOfOurPrograms(t *testing.T) {
	for name, build := range map[string][]string{
		"with cgo and all tags": {"CGO_ENABLED=1", "-tags=pacific lab krbd"},
		"static, without tags":  {"CGO_ENABLED=0", "-tags="},
	} {
		t.Run(name, func(t *testing.T) {
			linked := links(t, build[0], build[1])
			for pkg, all := range linked {
				var want, got []string
				if pkg == "pkg/helmrender" {
					want = []string{helmInterface}
				}
				for _, name := range all {
					if strings.HasPrefix(name, "helm.sh/") {
						got = append(got, name)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("packages of Helm in %s (-want +got):\n%s", pkg, diff)
				}
			}
			for _, program := range layers[len(layers)-1] {
				if !slices.Contains(linked[program], module+"pkg/version") {
					t.Errorf("what %s links was not listed", program)
				}
			}
			// What the interface costs a program that has the renderer already.
			var more []string
			for _, name := range linked["pkg/helmrender"] {
				ours := strings.HasPrefix(name, module) || !strings.Contains(name, ".") // or the standard library's
				if !ours && !slices.Contains(linked["pkg/postrender"], name) {
					more = append(more, name)
				}
			}
			if diff := cmp.Diff([]string{"github.com/pkg/errors", helmInterface}, more); diff != "" {
				t.Errorf("what pkg/helmrender links and pkg/postrender does not (-want +got):\n%s", diff)
			}
		})
	}
}

// links lists for each package of the module, by its folder, what it imports
// directly and indirectly, without tests.
func links(t *testing.T, cgo, tags string) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-e", tags, "-json=ImportPath,Deps", "./...")
	list.Dir = root
	list.Env = append(os.Environ(), cgo)
	var complaints strings.Builder
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	linked := map[string][]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p struct {
			ImportPath string
			Deps       []string
		}
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		linked[strings.TrimPrefix(p.ImportPath, module)] = p.Deps
	}
	return linked
}
