package repo

import (
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
