//go:build linux && lab

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/lab/stamp"
	"github.com/cephferry/cephferry/test/scene"
)

// TestTheStorageLayerAlone: two clusters without the webhook, so without a guard and
// an owner, and nodes that do not look for other watchers as ceph-csi does. The pairs
// that the renderer makes keep a second cluster out all the same, while the first one
// lives; beside them, a release that is not mapped exclusively shows what would
// happen. A holder that died is taken over from, and is on the blocklist then.
func TestTheStorageLayerAlone(t *testing.T) {
	t.Parallel()
	servers := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 1, IgnoreWatchers: true})
	w := layer{&team{T: t, helm: 3, namespace: "shop", postrender: programs.postrender}, servers, scene.Open(servers.Ceph)}
	t.Cleanup(func() {
		if err := w.storage.Close(); err != nil {
			t.Error(err)
		}
	})
	east, err := connect(servers.East)
	if err != nil {
		t.Fatal(err)
	}
	west, err := connect(servers.West)
	if err != nil {
		t.Fatal(err)
	}
	const alone, shared = "alone", "shared"
	install := func(c *cluster, release string, values ...string) {
		t.Helper()
		w.must(c, w.rendered(append([]string{"install", release, web, migratable, "--create-namespace"}, values...)...)...)
	}
	const off = `--set-string=persistence.annotations.cephferry\.io/exclusive=false`
	for _, c := range []*cluster{east, west} {
		install(c, alone)
		install(c, shared, off)
		if c == east {
			w.runs(east, alone)
			w.runs(east, shared)
		}
	}

	// Without the option, both write at once.
	w.eventually("the stamps of two writers", func() bool { return w.stamps(shared).Check() != nil })

	// With it, west is refused, again and again, and east goes on.
	const refusal = "acquire exclusive lock: rbd: ret=-30, Read-only file system"
	w.eventually("west to be refused", func() bool { return strings.Contains(w.events(west), refusal) })
	before := w.stamps(alone).Last().Sequence
	w.eventually("east to write on", func() bool { return w.stamps(alone).Last().Sequence > before+5 })
	w.wrote(alone, "east")
	if phase := w.get(west, "pods", "-l=app.kubernetes.io/instance="+alone, "-o=jsonpath={.items[0].status.phase}"); phase != "Pending" {
		t.Errorf("the pod in west is %s", phase)
	}

	// When east is done, west's pod starts by itself.
	w.scale(east, alone, 0)
	w.runs(west, alone)
	w.wrote(alone, "east", "west")

	// And when west has died, east takes over, from a client that is on the blocklist.
	node := servers.West.Nodes[0]
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	w.scale(east, alone, 1)
	w.runs(east, alone)
	w.eventually("east to write", func() bool { return w.stamps(alone).Last().Cluster == "east" })
	w.wrote(alone, "east", "west", "east")
	fenced, err := servers.Ceph.Run(t.Context(), "osd", "blocklist", "ls")
	if err != nil || !strings.Contains(string(fenced), node.Address+":0/") {
		t.Errorf("the blocklist is %s, %v; want a client at %s", fenced, err, node.Address)
	}
}

// layer is a team in two clusters of its own.
type layer struct {
	*team
	*lab.Lab
	storage *scene.Storage
}

// settled is how long a pod may take to start where another client has died: its
// watch ends after 30 s.
const settled = 90 * time.Second

func (w layer) eventually(what string, holds func() bool) {
	w.Helper()
	for begin := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begin) > settled {
			w.Fatalf("waited %s for %s", settled, what)
		}
	}
}

func (w layer) kubectl(c *cluster, args ...string) string {
	w.Helper()
	out, err := c.Run(w.Context(), append([]string{"--namespace", w.namespace}, args...)...)
	if err != nil {
		w.Fatal(err)
	}
	return string(out)
}

func (w layer) get(c *cluster, args ...string) string {
	w.Helper()
	return w.kubectl(c, append([]string{"get"}, args...)...)
}

func (w layer) scale(c *cluster, release string, replicas int) {
	w.Helper()
	w.kubectl(c, "scale", "deployment/"+release, fmt.Sprint("--replicas=", replicas))
}

// runs waits until a pod of the release is ready.
func (w layer) runs(c *cluster, release string) {
	w.Helper()
	w.eventually(release+" to run in "+c.Name, func() bool {
		return w.get(c, "deployment/"+release, "-o=jsonpath={.status.readyReplicas}") == "1"
	})
}

func (w layer) events(c *cluster) string {
	w.Helper()
	return w.get(c, "events", "-o=jsonpath={.items[*].message}")
}

// wrote checks that the clusters wrote one after the other.
func (w layer) wrote(release string, clusters ...string) {
	w.Helper()
	w.storage.Wrote(w.T, w.image(release), clusters...)
}

// stamps are what the pods of the release wrote.
func (w layer) stamps(release string) stamp.Log {
	w.Helper()
	return w.storage.Stamps(w.T, w.image(release))
}

func (w layer) image(release string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: lab.Pool, Name: w.namespace + "." + release + "-files", Key: scene.NobodysKey}
}
