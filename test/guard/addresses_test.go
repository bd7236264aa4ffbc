//go:build lab

package guard

import (
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/scene"
)

// Both clusters have one node, with one address: Node objects and watchers of both
// show the same. It is a lab of its own.
func TestWithEqualAddressesAWatcherIsExplainedOnlyWhereTheVolumeIsUsed(t *testing.T) {
	t.Parallel()
	servers := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 1, SameAddresses: true})
	east, west := stage.Guarded(t, servers, "guard.scope=all")
	if east, west := east.Nodes[0].Address, west.Nodes[0].Address; east != west {
		t.Fatalf("the addresses are %s and %s", east, west)
	}
	s := &shop{stage.ShopIn(t, servers.Ceph, east, west)}
	s.Volume("theirs", east, west)
	s.Volume("ours", east, west)
	s.Holds(east, "theirs")
	s.Create(west, scene.Workload("Deployment", "theirs", "theirs", 0)+"---\n"+scene.Workload("Deployment", "ours", "ours", 1))
	s.Runs(west, "ours", 1)
	if theirs, ours := s.Watchers("theirs")[0].Host(), s.Watchers("ours")[0].Host(); theirs != ours || ours != west.Nodes[0].Address {
		t.Fatalf("watchers are at %s and %s", theirs, ours)
	}

	text := s.InUseOf(west, "theirs") // the address of node west-1, which does not use the volume
	s.Refused(s.Run(west, "", "scale", "deployment/theirs", "--replicas=1"), scene.Forbidden("scale", text))
	s.Refused(s.Run(west, scene.Pod("x", "theirs"), "create", "-f", "-"), scene.Forbidden("pod", text, scene.Creating))
	s.Refused(s.Run(east, scene.Pod("x", "ours"), "create", "-f", "-"), scene.Forbidden("pod", s.InUseOf(east, "ours"), scene.Creating))
	s.Kubectl(west, "rollout", "restart", "deployment/ours")
	s.Kubectl(west, "rollout", "status", "deployment/ours", "--timeout=50s")
	s.Kubectl(west, "scale", "deployment/ours", "--replicas=2")
	s.Runs(west, "ours", 2)
	s.Wrote("ours", west)

	s.LetsGo(east, "theirs")
	s.Kubectl(west, "scale", "deployment/theirs", "--replicas=1")
	s.Runs(west, "theirs", 1)
	s.Wrote("theirs", east, west)
}
