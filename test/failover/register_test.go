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

// East admits two pods that cannot be scheduled, and its webhook dies: the records name no
// node. One pod is bound before west takes the volumes, and writes; the other is bound
// after. West fences every node that east has registered, and east writes nothing
// more. It has a lab of its own, because then no node of east is left.
func TestABindingThatNobodySaw(t *testing.T) {
	servers := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 2})
	east, west := stage.Guarded(t, servers, "guard.scope=migratable")
	s := &shop{stage.ShopIn(t, servers.Ceph, east, west), east, west}
	e1, e2, w1, w2 := east.Nodes[0], east.Nodes[1], west.Nodes[0], west.Nodes[1]
	for claim, rack := range map[string]string{"before": "first", "after": "second"} {
		s.volume(claim)
		s.waits(east, "pod-"+claim, rack, claim)
	}
	s.registers(east)
	s.registers(west)
	if err := east.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(east, "label", "node", e1.Name, "rack=first")
	s.Ready(east, "pod-before")
	s.Grows("before")
	if record := s.Record("before"); len(record.Owner.Nodes) > 0 || len(record.Unbound) != 1 {
		t.Fatalf("somebody saw the binding: %s", record.Encode())
	}

	listed := s.Must(s.cephferry(west, "clusters"))
	for _, want := range []string{s.Party(east).UID, s.Party(west).UID, "west (this cluster)"} {
		if !strings.Contains(listed, want) {
			t.Errorf("%q is not among the clusters:\n%s", want, listed)
		}
	}
	// The volume that nobody has open first: nothing but the register says whom to fence.
	out := s.Must(s.answered(s.plugin(west, "failover", s.Namespace+"/after", s.Namespace+"/before"), "east\n"))
	for want, times := range map[string]int{
		"uncertain   a pod was admitted, and the record does not say on which node\n": 1,
		e1.Address + " (node " + e1.Name + "): everything that comes from there":      1,
		e2.Address + " (node " + e2.Name + "): everything that comes from there":      1,
		e1.Address + ", " + e2.Address:                                                2, // in the line of each volume
	} {
		if n := strings.Count(out, want); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", want, n, times, out)
		}
	}
	s.Kubectl(east, "label", "node", e2.Name, "rack=second")
	s.Event(east, "FailedMount", "Pod/pod-after")
	s.starts(west, w1, "pod-before", "before")
	s.starts(west, w2, "pod-after", "after")
	s.owns(west, w1, "before")
	s.owns(west, w2, "after")
	s.Wrote("before", east, west)
	s.Wrote("after", west)
}

// waits makes a pod for a rack that no node is in, and returns when the record has it, and
// nothing more of it is expected.
func (s *shop) waits(c *scene.Cluster, name, rack, claim string) {
	s.Helper()
	s.apply(c, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {rack: %s}
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: none}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]
`, name, s.Namespace, rack, claim))
	s.Eventually("the record of "+claim+" has a pod without a node", func() error {
		record := s.Record(claim)
		if record.State != ceph.Held || len(record.Owner.Nodes) > 0 || len(record.Unbound) != 1 || len(record.Pending) > 0 {
			return fmt.Errorf("it says %s", record.Encode())
		}
		return nil
	})
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
