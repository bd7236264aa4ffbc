//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// Ceph forgets the watch of a client that vanished after 30 s. Its cluster stays the
// owner, until a person takes the image from it.
func TestTheVolumeOfADeadNodeIsRefusedUntilSomebodyTakesIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	node := east.Nodes[2]
	s.Volume("data", east, west)
	s.Create(west, scene.Workload("StatefulSet", "x", "data", 0))
	s.Create(east, scene.Pod("holder", "data", scene.On(node)))
	s.Ready(east, "holder")
	s.Grows("data")
	s.Refused(s.Run(west, "", "scale", "statefulset/x", "--replicas=1"), scene.Forbidden("scale", s.InUse("data")))

	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	s.stillOwnedWithoutItsWatch("data")
	s.takeOver(west, "data")
	s.Kubectl(west, "scale", "statefulset/x", "--replicas=1")
	s.Ready(west, "x-0")

	// The dead one comes back, with the pod that is still bound to it. No admission
	// sees that; ceph-csi's look at the watchers does.
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the node that came back looks at the watchers", func() error {
		if log := lab.Tail(node.Agent.LogFile); !strings.Contains(log, `msg="in use" image=`+s.Image("data")) {
			return fmt.Errorf("%s", log)
		}
		return nil
	})
	s.Wrote("data", east, west)
}

// stillOwnedWithoutItsWatch waits until the watch of a client in east that has just
// vanished has ended. StatefulSet x in west is refused before and after.
func (s *shop) stillOwnedWithoutItsWatch(claim string) {
	s.Helper()
	begin := time.Now()
	s.Free(claim)
	s.Logf("without a watch %s after the accident", time.Since(begin).Round(time.Millisecond))
	s.Refused(s.Run(west, "", "scale", "statefulset/x", "--replicas=1"), scene.Forbidden("scale", s.InUse(claim)))
	if record := s.Record(claim); !ownership.Owns(record, s.Party(east)) || len(record.Owner.Instances()) == 0 {
		s.Errorf("the record is %s", record.Encode())
	}
}

// No watch shows a node that was cut off and lives on. It stays in the record, with
// the client that is to be fenced before west may begin; when the network is back, it
// writes no more.
func TestANodeThatWasCutOffDoesNotWriteOnWhenItsNetworkIsBack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	node := east.Nodes[3]
	s.Volume("data", east, west)
	s.Create(west, scene.Workload("StatefulSet", "x", "data", 0))
	s.Create(east, scene.Pod("holder", "data", scene.On(node)))
	s.Ready(east, "holder")
	s.Grows("data")
	s.Refused(s.Run(west, "", "scale", "statefulset/x", "--replicas=1"), scene.Forbidden("scale", s.InUse("data")))
	client := s.Watchers("data")[0].Address

	if err := node.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.stillOwnedWithoutItsWatch("data")
	s.takeOver(west, "data")
	if out, err := storage.Run(t.Context(), "osd", "blocklist", "ls"); err != nil || !strings.Contains(string(out), client) {
		t.Errorf("%s is not on the blocklist: %s, %v", client, out, err)
	}
	s.Kubectl(west, "scale", "statefulset/x", "--replicas=1")
	s.Ready(west, "x-0")
	s.Grows("data")
	if err := node.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	s.Wrote("data", east, west)
}

// The own cluster's watch is explained while the dead node's VolumeAttachment is
// there. So the next pod is admitted, and Kubernetes makes it wait. The image is mapped
// exclusively, so Ceph keeps the two nodes apart; where it is not, see TestANodeIsLost.
func TestAPodOfADeadNodeIsReplacedInItsOwnClusterOnly(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	node := west.Nodes[2]
	s.MakeImage("data")
	s.Pair("data", []string{`staticVolume: "true"`, `staticVolume: "true", mapOptions: "krbd:exclusive"`}, east, west)
	s.Create(west, scene.Workload("StatefulSet", "x", "data", 1, "tolerations: [{key: accidents, operator: Exists}]",
		"affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: "+
			"{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: ["+node.Name+"]}]}}]}}"))
	s.Ready(west, "x-0")
	if got := s.Watchers("data"); len(got) != 1 || got[0].Host() != node.Address {
		t.Fatalf("watchers %v, want %s", got, node.Address)
	}
	s.Grows("data")

	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.Kubectl(west, "cordon", node.Name)
	s.Kubectl(west, "delete", "pod/x-0", "--force", "--grace-period=0")
	s.Event(west, "FailedAttachVolume", "Pod/x-0", "Multi-Attach error")
	s.neverRefused(west)
	// The node that is dead, and the one that its successor is bound to.
	if r := s.Run(east, scene.Pod("p", "data"), "create", "-f", "-"); r.Err == nil || !strings.Contains(r.Stderr, "held by         cluster west, node "+node.Name) {
		t.Errorf("%v: %s", r.Err, r.Stderr)
	}

	// A person says that the node is off.
	s.Kubectl(west, "taint", "node", node.Name, "node.kubernetes.io/out-of-service=off:NoExecute")
	s.Ready(west, "x-0")
	t.Logf("it runs on another node %s after the death of its own", time.Since(begin).Round(time.Millisecond))
	s.neverRefused(west)
	s.Wrote("data", west)

	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(west, "taint", "node", node.Name, "node.kubernetes.io/out-of-service-")
	s.Kubectl(west, "uncordon", node.Name)
	s.Wrote("data", west)
}
