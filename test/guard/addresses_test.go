//go:build lab

package guard

import (
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

// Both clusters have one node, with one address: Node objects and watchers of both
// show the same. It is a lab of its own.
func TestWithEqualAddressesAWatcherIsExplainedOnlyWhereTheVolumeIsUsed(t *testing.T) {
	t.Parallel()
	servers := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 1, SameAddresses: true})
	east, err := newCluster(t.Context(), servers, servers.East, t.TempDir(), "guard.scope=all")
	if err != nil {
		t.Fatal(err)
	}
	defer east.guard.Kill()
	west, err := newCluster(t.Context(), servers, servers.West, t.TempDir(), "guard.scope=all")
	if err != nil {
		t.Fatal(err)
	}
	defer west.guard.Kill()
	if east, west := east.Nodes[0].Address, west.Nodes[0].Address; east != west {
		t.Fatalf("the addresses are %s and %s", east, west)
	}
	s := newShopIn(t, servers.Ceph, east, west)
	s.volume("theirs", east, west)
	s.volume("ours", east, west)
	s.holds(east, "theirs")
	s.create(west, workload("Deployment", "theirs", "theirs", 0)+"---\n"+workload("Deployment", "ours", "ours", 1))
	s.runs(west, "ours", 1)
	if theirs, ours := s.watchers("theirs")[0].host(), s.watchers("ours")[0].host(); theirs != ours || ours != west.Nodes[0].Address {
		t.Fatalf("watchers are at %s and %s", theirs, ours)
	}

	text := s.inUseOf(west, "theirs") // the address of node west-1, which does not use the volume
	s.refused(s.run(west, "", "scale", "deployment/theirs", "--replicas=1"), forbidden("scale", text))
	s.refused(s.run(west, pod("x", "theirs"), "create", "-f", "-"), forbidden("pod", text, creating))
	s.refused(s.run(east, pod("x", "ours"), "create", "-f", "-"), forbidden("pod", s.inUseOf(east, "ours"), creating))
	s.kubectl(west, "rollout", "restart", "deployment/ours")
	s.kubectl(west, "rollout", "status", "deployment/ours", "--timeout=50s")
	s.kubectl(west, "scale", "deployment/ours", "--replicas=2")
	s.runs(west, "ours", 2)
	s.wrote("ours", west)

	s.letsGo(east, "theirs")
	s.kubectl(west, "scale", "deployment/theirs", "--replicas=1")
	s.runs(west, "theirs", 1)
	s.wrote("theirs", east, west)
}
