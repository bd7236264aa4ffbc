//go:build lab

package failover

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/scene"
)

// East admits a pod that cannot be scheduled, and its webhook dies. The pod is bound unseen
// and writes; the record names no node. West takes the image and fences every node that
// east has registered. It has a lab of its own, because then no node of east is left.
func TestABindingThatNobodySaw(t *testing.T) {
	servers := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 2})
	east, west := stage.Guarded(t, servers, "guard.scope=migratable")
	s := &shop{stage.ShopIn(t, servers.Ceph, east, west), east, west}
	s.volume("data")
	s.registers(east)
	s.registers(west)
	s.apply(east, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {rack: later}
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: none}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`, s.Namespace))
	s.Eventually("the record has a pod without a node", func() error {
		record := s.Record("data")
		if record.State != ceph.Held || len(record.Owner.Nodes) > 0 || len(record.Unbound) != 1 || len(record.Pending) > 0 {
			return fmt.Errorf("it says %s", record.Encode())
		}
		return nil
	})
	if err := east.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := east.Run(t.Context(), "label", "node", east.Nodes[0].Name, "rack=later"); err != nil {
		t.Fatal(err)
	}
	s.Ready(east, "p")
	s.Grows("data")
	if record := s.Record("data"); len(record.Owner.Nodes) > 0 || len(record.Unbound) != 1 {
		t.Fatalf("somebody saw the binding: %s", record.Encode())
	}

	listed := s.Must(s.cephferry(west, "clusters"))
	for _, want := range []string{s.Party(east).UID, s.Party(west).UID, "west (this cluster)"} {
		if !strings.Contains(listed, want) {
			t.Errorf("%q is not among the clusters:\n%s", want, listed)
		}
	}
	out := s.Must(s.answered(s.plugin(west, "failover", s.Namespace+"/data"), "east\n"))
	for _, want := range []string{
		"uncertain   a pod was let start, and the record does not say on which node",
		east.Nodes[0].Address + " (node " + east.Nodes[0].Name + "): everything that comes from there",
		east.Nodes[1].Address + " (node " + east.Nodes[1].Name + "): everything that comes from there",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	last := s.Stamps("data").Last()
	if last.Cluster != east.Name {
		t.Errorf("the last stamp is %+v", last)
	}
	s.starts(west, west.Nodes[0], "p", "data")
	s.owns(west, west.Nodes[0], "data")
	s.Wrote("data", east, west)
	for _, run := range s.Stamps("data").Runs() {
		if run.Cluster == east.Name && run.Last > last.Sequence {
			t.Errorf("after the failover, east's pod wrote stamps until %d, and %d was the last one before", run.Last, last.Sequence)
		}
	}
}

// registers waits until the cluster's webhook has registered all its nodes.
func (s *shop) registers(c *scene.Cluster) {
	s.Helper()
	uid := s.Party(c).UID
	s.Eventually(c.Name+" has registered its nodes", func() error {
		registration, err := s.Admin().Registration(s.Context(), lab.Pool, "", uid)
		if err != nil {
			return err
		}
		for _, node := range registration.Nodes {
			if len(node.Addresses) == 0 || node.BootID == "" {
				return fmt.Errorf("not all is known of node %s", node.Name)
			}
		}
		if registration.Name != c.Name || len(registration.Nodes) != len(c.Nodes) {
			return fmt.Errorf("it says %s", registration.Encode())
		}
		return nil
	})
}
