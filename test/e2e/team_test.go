//go:build lab

package e2e

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cephferry/cephferry/test/scene"
)

// team is an app team: it has one Helm, and a namespace of its own, with the same
// name in both clusters.
type team struct {
	*testing.T
	// helm is 3 or 4.
	helm      int
	namespace string
	// postrender is the renderer of Helm 3, plugins the folder with that of
	// Helm 4.
	postrender, plugins string
	// env is what the team has exported, over the environment of every helm
	// process.
	env map[string]string
}

var teams atomic.Int32

// eachHelm runs a test with Helm 3 and with Helm 4.
func eachHelm(t *testing.T, test func(*team)) {
	t.Helper()
	t.Parallel()
	for _, helm := range []int{3, 4} {
		t.Run(fmt.Sprint("with Helm ", helm), func(t *testing.T) {
			t.Parallel()
			test(newTeam(t, helm))
		})
	}
}

func newTeam(t *testing.T, helm int) *team {
	t.Helper()
	team := &team{
		T: t, helm: helm,
		namespace:  fmt.Sprint("shop-", teams.Add(1)),
		postrender: programs.postrender, plugins: programs.withCeph,
		env: map[string]string{},
	}
	team.makeNamespace(team.namespace)
	return team
}

// makeNamespace makes a namespace in both clusters.
func (team *team) makeNamespace(name string) {
	team.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
	}}
	for _, c := range []*cluster{east, west} {
		if _, err := c.client.Resource(namespaces).Create(team.Context(), object, metav1.CreateOptions{}); err != nil {
			team.Fatal(err)
		}
	}
}

// rendered are the arguments of a helm command with the post-renderer, which makes
// images and pairs itself.
func (team *team) rendered(args ...string) []string {
	return append(args, "--post-renderer", team.renderer(), "--post-renderer-args=--create=client")
}

// renderer is what --post-renderer takes.
func (team *team) renderer() string {
	if team.helm == 4 {
		return "cephferry"
	}
	return team.postrender
}

// must runs helm in the team's namespace, and returns its stdout.
func (team *team) must(c *cluster, args ...string) string {
	team.Helper()
	ran := team.run(team.on(c, args)...)
	if ran.Err != nil {
		team.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), ran.Err, ran.Stderr)
	}
	return ran.Stdout
}

// fails runs a helm command that must fail, and returns its stderr.
func (team *team) fails(c *cluster, args ...string) string {
	team.Helper()
	ran := team.run(team.on(c, args)...)
	if ran.Err == nil {
		team.Fatalf("helm %s: did not fail\n%s", strings.Join(args, " "), ran.Stdout)
	}
	if ran.Code != 1 {
		team.Errorf("helm %s: exit code %d, want 1", strings.Join(args, " "), ran.Code)
	}
	return ran.Stderr
}

// refused runs a helm command that must fail and show these parts of a sentence
// of ours.
func (team *team) refused(c *cluster, args []string, parts ...string) {
	team.Helper()
	got := team.fails(c, args...)
	for _, part := range parts {
		if !strings.Contains(got, part) {
			team.Errorf("helm %s:\n%s\nwant in it:\n%s", strings.Join(args, " "), got, part)
		}
	}
}

func (team *team) on(c *cluster, args []string) []string {
	return append(args, "--kubeconfig", c.Kubeconfig, "--namespace", team.namespace)
}

// run runs helm with exactly these arguments.
func (team *team) run(args ...string) scene.Result {
	program := programs.helm3
	own := team.TempDir()
	env := map[string]string{
		"PATH":             "/usr/bin:/bin",
		"HOME":             programs.home,
		"HELM_CACHE_HOME":  filepath.Join(own, "cache"),
		"HELM_CONFIG_HOME": filepath.Join(own, "config"),
		"HELM_DATA_HOME":   filepath.Join(own, "data"),
	}
	if team.helm == 4 {
		program = programs.helm4
		env["HELM_PLUGINS"] = team.plugins
	}
	maps.Copy(env, team.env)
	return scene.Command{Program: program, Args: args, Env: env}.Run(team.Context())
}

func (team *team) apply(c *cluster, manifests string) {
	team.Helper()
	if err := c.Apply(team.Context(), manifests); err != nil {
		team.Fatal(err)
	}
}

// applyHere applies manifests, in the team's namespace where they name none, and
// returns what kubectl says.
func (team *team) applyHere(c *cluster, manifests string, flags ...string) string {
	team.Helper()
	file := team.write(filepath.Join(team.TempDir(), "manifests.yaml"), manifests)
	out, err := c.Run(team.Context(), append([]string{"apply", "--server-side", "--namespace", team.namespace, "--filename", file}, flags...)...)
	if err != nil {
		team.Fatal(err)
	}
	return string(out)
}
