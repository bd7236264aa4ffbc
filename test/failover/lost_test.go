//go:build lab

package failover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// notReady is what kube-controller-manager says of a node that has been silent for a while.
func (s *shop) notReady(c *scene.Cluster, node *lab.Node) {
	s.Helper()
	patch := `{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown"}]}}`
	if _, err := c.Run(s.Context(), "patch", "node", node.Name, "--subresource=status", "--type=strategic", "-p", patch); err != nil {
		s.Fatal(err)
	}
}

// A node of east freezes, and its pod is to run on another one. The image has not the feature
// exclusive-lock, so that nothing but the fence keeps its late writes away.
func TestANodeIsLost(t *testing.T) {
	s := newShop(t)
	e1, e2 := s.east.Nodes[0], s.east.Nodes[1]
	s.volume("data")
	s.starts(s.east, e1, "p", "data")
	s.owns(s.east, e1, "data")
	client := s.Watchers("data")[0].Address
	if err := e1.Freeze(); err != nil {
		t.Fatal(err)
	}
	thawed := false
	t.Cleanup(func() {
		if !thawed {
			_ = e1.Thaw()
		}
	})
	// The pod for the other node is admitted, and gets no node.
	s.apply(s.east, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: q, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: %s}
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: none}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`, s.Namespace, e2.Name))
	s.Eventually("the pod's events say what to do", func() error {
		out, err := s.east.Run(t.Context(), "get", "events", "-n", s.Namespace, "-o", "yaml")
		if err == nil && !strings.Contains(string(out), "kubectl cephferry failover --node "+e1.Name) {
			err = errors.New(string(out))
		}
		return err
	})
	s.refused(s.cephferry(s.east, "failover", "--node", e1.Name, "--yes"), "node "+e1.Name+" of this cluster reports to its API server, and would be cut off while it works")
	s.notReady(s.east, e1)
	out := s.Must(s.answered(s.plugin(s.east, "failover", s.Namespace+"/data", "--node", e1.Name), e1.Name+"\n"))
	for _, want := range []string{
		"cut off     " + e1.Address + " (node " + e1.Name + "): everything that comes from there",
		client + ": a client",
		"run `kubectl cephferry unfence " + e1.Name + "`",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	const taint = "node.kubernetes.io/out-of-service"
	s.Kubectl(s.east, "taint", "node", e1.Name, taint+"=nodeshutdown:NoExecute")
	s.Kubectl(s.east, "delete", "pod", "p", "-n", s.Namespace, "--force", "--grace-period=0")
	s.Ready(s.east, "q")
	s.Grows("data")
	record := s.Record("data")
	if last := record.History[len(record.History)-1]; record.State != ceph.Held || record.Owner.Name != "east" || last.Event != ceph.NodeFenced {
		t.Errorf("the record says %s, %+v, %+v", record.State, record.Owner, last)
	}

	// What the node had not written yet comes to nothing.
	thawed = true
	if err := e1.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the node that woke up has let go", func() error {
		out, err := s.east.Run(t.Context(), "get", "node", e1.Name, "-o=jsonpath={.status.volumesInUse}")
		if err == nil && strings.Contains(string(out), s.Namespace) {
			err = errors.New(string(out))
		}
		return err
	})
	s.Grows("data")
	s.Wrote("data", s.east)

	s.isLetIn(e1)
	s.Kubectl(s.east, "taint", "node", e1.Name, taint+"-")
}

// isLetIn reboots a node of east that was cut off, and lets it in again.
func (s *shop) isLetIn(node *lab.Node) {
	s.Helper()
	for _, act := range []func() error{node.Kill, node.Start} {
		if err := act(); err != nil {
			s.Fatal(err)
		}
	}
	s.Eventually("the node may come back", func() error {
		r := s.cephferry(s.east, "unfence", node.Name)
		if r.Err != nil {
			return fmt.Errorf("%w: %s", r.Err, r.Stderr)
		}
		return nil
	})
}

// The same through the webhook's leader: a person who has no way to Ceph confirms a Takeover.
func TestALeaderCutsANodeOff(t *testing.T) {
	s := newShop(t)
	e1 := s.east.Nodes[0]
	s.volume("data")
	s.starts(s.east, e1, "p", "data")
	s.owns(s.east, e1, "data")
	client := s.Watchers("data")[0].Address
	s.Eventually("the cluster shows what it is called", func() error {
		out, err := s.east.Run(t.Context(), "get", "ferryclusters", "-o", "jsonpath={.items[?(@.status.thisCluster==true)].status.name}")
		if err == nil && string(out) != "east" {
			err = errors.New(string(out))
		}
		return err
	})
	failover := s.plugin(s.east, "failover", s.Namespace+"/data", "--node", e1.Name)
	failover.Args = slices.DeleteFunc(failover.Args, func(arg string) bool { return arg == "--direct" })
	if err := e1.Freeze(); err != nil {
		t.Fatal(err)
	}
	thawed := false
	t.Cleanup(func() {
		if !thawed {
			_ = e1.Thaw()
		}
	})
	s.refused(failover.Run(t.Context()), "node "+e1.Name+" of this cluster reports to its API server, and would be cut off while it works")
	s.notReady(s.east, e1)
	// Another volume that is hit, too, is another plan, when its record gets its client meanwhile.
	out := s.Must(s.answered(failover, strings.Repeat(e1.Name+"\n", 3)))
	for _, want := range []string{
		"cut off     " + e1.Address + " (node " + e1.Name + "): everything that comes from there",
		client + ": a client", "NodeFenced: ", "1 of 1 volume safe from node " + e1.Name, "run `kubectl cephferry unfence " + e1.Name + "`",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if last := s.Record("data").History; last[len(last)-1].Event != ceph.NodeFenced {
		t.Errorf("the history ends with %+v", last[len(last)-1])
	}
	s.Kubectl(s.east, "delete", "pod", "p", "-n", s.Namespace, "--force", "--grace-period=0")
	thawed = true
	if err := e1.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.isLetIn(e1)
}
