//go:build neighbours

package neighbours

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/test/scene"
)

// application is what an Application of Argo CD applies to a namespace. Its controller is
// played by a program that calls Argo CD's own package to compare, to synchronize and to tell
// the health; see test/tools/argocd.
type application struct {
	*scene.Shop
	manifests string
	ignored   []string
}

// run compares, and with command sync synchronizes. It returns what each object was before:
// "Synced Healthy", by kind and name.
func (a *application) run(c *scene.Cluster, command string) map[string]string {
	a.Helper()
	out := scene.Command{
		Program: stage.Programs["argocd"], Args: append([]string{command, c.Kubeconfig, a.Namespace}, a.ignored...),
		Env: map[string]string{"HOME": a.TempDir()}, Stdin: a.manifests,
	}.Run(a.Context()).Must(a.T)
	states := map[string]string{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case fields[0] == "sync" && fields[2] != "Synced":
			a.Fatalf("synchronize: %s", line)
		case fields[0] != "sync":
			states[fields[0]] = strings.Join(fields[1:], " ")
		}
	}
	return states
}

// settles waits until all objects are as they should be.
func (a *application) settles(c *scene.Cluster, want map[string]string) {
	a.Helper()
	a.Eventually("the Application in "+c.Name, func() error {
		if diff := cmp.Diff(want, a.run(c, "diff")); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

const (
	fine    = "Synced Healthy"
	missing = "OutOfSync Missing"
)

// rendered is the release db as the plugin of examples/argocd makes it, with a Namespace.
func (a *application) rendered(replicas int) string {
	a.Helper()
	env := map[string]string{"HOME": a.TempDir()}
	chart := scene.Command{Program: stage.Programs["helm"], Env: env, Args: []string{
		"template", "db", scene.ChartDB, "--namespace", a.Namespace, scene.Migratable, "--set=persistence.size=16Mi", fmt.Sprint("--set=replicas=", replicas),
	}}.Run(a.Context()).Must(a.T)
	manifests := scene.Command{Program: stage.Programs["postrender"], Env: env, Args: []string{"--create=cluster"}, Stdin: chart}.Run(a.Context()).Must(a.T)
	return manifests + fmt.Sprintf("\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {team: shop}}}\n", a.Namespace)
}

// TestArgoCD: what cephferry and the cluster add to the objects of an Application makes none
// of them OutOfSync, the namespace's label neither; selfHeal puts back replicas that somebody
// has changed, unless they are ignored.
func TestArgoCD(t *testing.T) {
	a := &application{Shop: stage.Shop(t)}
	a.manifests = a.rendered(1)
	before := a.run(east, "sync")
	if before["StatefulSet/db"] != missing {
		t.Errorf("before: %v", before)
	}
	a.Ready(east, "db-0")
	keyed(a.Shop, "data-db-0")
	if got := a.Label(east); got != "true" {
		t.Errorf("the namespace's label is %q", got)
	}
	all := map[string]string{"Namespace/" + a.Namespace: fine, "Service/db": fine, "StatefulSet/db": fine}
	a.settles(east, all)
	a.run(east, "sync")
	if got := a.Label(east); got != "true" {
		t.Errorf("after another synchronization, the namespace's label is %q", got)
	}

	a.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	if state := a.run(east, "sync")["StatefulSet/db"]; !strings.HasPrefix(state, "OutOfSync") {
		t.Errorf("with other replicas it is %s", state)
	}
	a.settles(east, all)
	a.Ready(east, "db-0")

	a.ignored = []string{"StatefulSet/spec/replicas"}
	a.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	a.settles(east, all)
	a.manifests = strings.Replace(a.manifests, "team: shop", "team: other", 1)
	a.run(east, "sync")
	a.settles(east, all)
	a.Released(east, "data-db-0")
}

// TestArgoCDPair: a static pair in the manifests stays Synced when it is bound.
func TestArgoCDPair(t *testing.T) {
	a := &application{Shop: stage.Shop(t)}
	a.MakeImage("data")
	a.manifests = a.PV("data") + "---\n" + a.PVC("data") + "---\n" + scene.Pod("holder", "data")
	a.run(east, "sync")
	a.Ready(east, "holder")
	a.settles(east, map[string]string{"PersistentVolume/" + a.Namespace + ".data": fine, "PersistentVolumeClaim/data": fine, "Pod/holder": fine})
}
