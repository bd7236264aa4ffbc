package repo

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// TestRendererStartsLight: Helm waits while the renderer starts, and what a package does
// when it is initialized is done each time. These took two thirds of that, and are not
// needed for what the program does.
func TestRendererStartsLight(t *testing.T) {
	t.Setenv("GOOS", "linux") // other systems are asked for their processes through gopsutil
	linked := links(t, "CGO_ENABLED=0", "-tags=")["cmd/postrender"]
	if !slices.Contains(linked, "k8s.io/client-go/dynamic") {
		t.Fatal("what the renderer links was not listed")
	}
	for name, instead := range map[string]string{
		"k8s.io/client-go/kubernetes/scheme":      "k8s.io/client-go/dynamic; it has the types of all API groups",
		"k8s.io/client-go/discovery":              "the one request that is needed; it brings the scheme",
		"k8s.io/kube-openapi/pkg/validation/spec": "nothing; it brings protobuf and go-openapi",
		"google.golang.org/protobuf/":             "JSON",
		"sigs.k8s.io/kustomize/kyaml/":            "go.yaml.in/yaml/v3, which it wraps",
		"sigs.k8s.io/controller-runtime/":         "k8s.io/client-go/dynamic",
		"github.com/shirou/gopsutil/":             "/proc",
		"text/template":                           "fmt; with it the linker keeps every method of every type",
	} {
		for _, pkg := range linked {
			if pkg == name || strings.HasSuffix(name, "/") && strings.HasPrefix(pkg, name) {
				t.Errorf("cmd/postrender links %s: use %s", pkg, instead)
				break
			}
		}
	}
}

// TestRendererCompilesNoPatternAtItsStart: those of our packages that the renderer links compile a pattern
// when it is needed.
func TestRendererCompilesNoPatternAtItsStart(t *testing.T) {
	for _, pkg := range links(t, "CGO_ENABLED=0", "-tags=")["cmd/postrender"] {
		dir, ours := strings.CutPrefix(pkg, module)
		if !ours {
			continue
		}
		for name, file := range filesOf(t, dir) {
			for _, declaration := range file.Decls {
				if variables, ok := declaration.(*ast.GenDecl); ok && compiles(variables) {
					t.Errorf("%s compiles a pattern at the start of the renderer: use sync.OnceValue", name)
				}
			}
		}
	}
}

// compiles reports whether a declaration calls regexp.MustCompile itself, and not in a function that it
// declares.
func compiles(declaration *ast.GenDecl) (found bool) {
	ast.Inspect(declaration, func(node ast.Node) bool {
		if name, ok := node.(*ast.SelectorExpr); ok && name.Sel.Name == "MustCompile" {
			found = true
		}
		_, function := node.(*ast.FuncLit)
		return !function
	})
	return found
}
