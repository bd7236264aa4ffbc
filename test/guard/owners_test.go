//go:build lab

package guard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// A hand-over needs nobody: the other cluster releases, and who was refused is woken.
func TestARefusedWorkloadStartsAsSoonAsTheOtherClusterIsDone(t *testing.T) {
	t.Parallel()
	for kind, manifest := range map[string]string{
		"ReplicaSet":  scene.Workload("ReplicaSet", "x", "data", 1),
		"StatefulSet": scene.Workload("StatefulSet", "x", "data", 1),
		"Job":         job("Job", "x", ""),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.Volume("data", east, west)
			s.Holds(west, "data")
			s.Create(east, manifest) // in east, only the pods are refused
			s.Event(east, "VolumeInUse", kind+"/x", s.InUseOf(east, "data"))
			// So long that it would wait much longer by itself.
			time.Sleep(10 * time.Second)
			s.Kubectl(west, "delete", "pod", "holder", "--wait=false")
			s.Free("data")
			free := time.Now()
			s.Released(west, "data")
			released := time.Now()
			s.Eventually("its pod", func() error {
				if len(s.Pods(east, "x")) == 0 {
					return fmt.Errorf("there is none")
				}
				return nil
			})
			t.Logf("released %s after the last watcher, admitted %s after that", released.Sub(free).Round(time.Millisecond), time.Since(released).Round(time.Millisecond))
			s.Runs(east, "x", 1)
			s.Wrote("data", west, east)
		})
	}
}

// The record follows the pod: who may have the image open is in it before the image
// is open.
func TestTheRecordNamesNodesAndClients(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	if record := s.Record("data"); record.Revision != 0 {
		t.Errorf("before the first pod there is a record %s", record.Encode())
	}
	s.Create(east, scene.Pod("holder", "data", "schedulingGates: [{name: example.com/later}]"))
	record, _ := s.Holders("data")
	if !ownership.Owns(record, s.Party(east)) || record.Owner.Namespace != s.Namespace || record.Owner.Claim != "data" || record.ClaimSize != 16<<20 || record.Owner.Nodes != nil {
		t.Errorf("for a pod without a node the record is %s", record.Encode())
	}
	s.begins(east, "holder")
	s.Ready(east, "holder")
	record, watchers := s.Holders("data")
	if len(watchers) != 1 || !slices.Equal(record.Owner.Instances(), []string{watchers[0].Address}) || len(record.Owner.Nodes) != 1 || record.Owner.Nodes[0].Addresses[0] != watchers[0].Host() {
		t.Errorf("with watchers %v the record is %s", watchers, record.Encode())
	}
	s.LetsGo(east, "data")
	record = s.Record("data")
	var events []ceph.Event
	for _, change := range record.History {
		events = append(events, change.Event)
	}
	if record.State != ceph.Free || !slices.Equal(events, []ceph.Event{ceph.Acquired, ceph.Released}) {
		t.Errorf("at the end the record is %s", record.Encode())
	}
}

// What the webhook allowed and the API server never stored: the image stays with the
// cluster for a while, and no longer. Here the webhook is asked past the API server,
// as if that had died with the answer in hand.
func TestAnImageOfAPodThatNeverAppearsIsReleased(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	begin := time.Now()
	if got := west.Webhook.Send("pod", s.PodReview(scene.Pod("x", "data"))); !got.Allowed {
		t.Fatalf("%+v", got)
	}
	record := s.Record("data")
	if !ownership.Owns(record, s.Party(west)) || len(record.Pending) != 1 {
		t.Fatalf("the record is %s", record.Encode())
	}
	s.RefusedAtOnce(east, west, "data")
	s.Released(west, "data")
	if took := time.Since(begin); took < webhook.Grace {
		t.Errorf("released after %s, although a pod could still appear", took)
	} else {
		t.Logf("released after %s", took.Round(time.Millisecond))
	}
	s.Create(east, scene.Pod("p", "data"))
	s.Ready(east, "p")
	s.Wrote("data", east)
}

// A pod that was admitted, and is on no node when its image is taken away, gets none.
func TestAPodOfBeforeATakeoverIsNotBound(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Create(west, scene.Pod("x", "data", "schedulingGates: [{name: example.com/later}]"))
	s.Holders("data")
	s.takeOver(east, "data")
	s.Holds(east, "data")
	text := s.InUse("data")
	s.begins(west, "x")
	s.Event(west, "FailedScheduling", "Pod/x", `admission webhook "binding.guard.cephferry.io" denied the request: `, text)
	s.Event(west, "VolumeInUse", "Pod/x", text)
	if got := s.Kubectl(west, "get", "pod/x", "-o=jsonpath={.spec.nodeName}"); got != "" {
		t.Errorf("the pod is on %s", got)
	}
	s.LetsGo(east, "data")
	s.Ready(west, "x")
	s.Wrote("data", east, west)
}

// Both clusters start at once, again and again: one of them gets the volume.
func TestOfTwoClustersThatStartAtOnceOneGetsTheVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	for range 5 {
		results := map[*scene.Cluster]chan scene.Result{}
		for _, c := range []*scene.Cluster{east, west} {
			results[c] = make(chan scene.Result, 1)
			go func() { results[c] <- s.Run(c, scene.Pod("x", "data"), "create", "-f", "-") }()
		}
		inEast, inWest := <-results[east], <-results[west]
		winner := east
		if inEast.Err != nil {
			winner = west
		}
		if (inEast.Err == nil) == (inWest.Err == nil) {
			t.Fatalf("in east %q %q, in west %q %q", inEast.Stdout, inEast.Stderr, inWest.Stdout, inWest.Stderr)
		}
		s.Ready(winner, "x")
		s.Grows("data")
		s.Kubectl(winner, "delete", "pod", "x")
		s.Released(winner, "data")
	}
	if err := s.Stamps("data").Check(); err != nil {
		t.Error(err)
	}
}
