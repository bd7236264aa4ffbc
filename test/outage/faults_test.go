//go:build lab

package outage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// Not parallel: it ends the webhook of west while that acquires the images of a pod,
// as soon as the first record is written. Some are then west's, for a pod that nobody
// has admitted.
func TestAWebhookThatDiesWhileItAcquires(t *testing.T) {
	const rounds = 5
	for round := 1; ; round++ {
		s := newShop(t)
		var claims []string
		var pairs string
		for i := range 8 {
			claims = append(claims, fmt.Sprint("data-", i))
			s.Volume(claims[i])
			pairs += s.PV(claims[i]) + "---\n" + s.PVC(claims[i]) + "---\n"
		}
		for _, c := range []*scene.Cluster{east, west} {
			s.Create(c, pairs)
			for _, claim := range claims {
				s.Bound(c, claim)
			}
		}
		first, err := s.Admin().Image(t.Context(), s.Spec(claims[0]))
		if err != nil {
			t.Fatal(err)
		}
		manifest := fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: %s}\n", scene.PodSpec(claims))
		asked := make(chan scene.Result, 1)
		go func() { asked <- s.Run(west, manifest, "create", "-f", "-") }()
		for record := (ceph.Record{}); record.Revision == 0; {
			if record, err = ownership.Read(t.Context(), s.Admin(), first); err != nil {
				t.Fatal(err)
			}
		}
		if err := west.Webhook.Kill(); err != nil {
			t.Fatal(err)
		}
		answer := <-asked
		if err := west.Webhook.Start(); err != nil {
			t.Fatal(err)
		}
		if answer.Err == nil && round < rounds {
			t.Logf("round %d: the answer was faster", round)
			continue
		}
		if answer.Err == nil || !strings.Contains(answer.Stderr, `failed calling webhook "pod.guard.cephferry.io"`) {
			t.Fatalf("the pod was answered: %v %s", answer.Err, answer.Stderr)
		}
		if stored := s.Kubectl(west, "get", "pods", "-o=name"); stored != "" {
			t.Fatalf("there is %s", stored)
		}
		s.releasedAfterAcquiring(manifest, claims...)
		return
	}
}

// releasedAfterAcquiring expects that nobody else may have what west has acquired for a
// pod that does not exist, until west has released it.
func (s *shop) releasedAfterAcquiring(manifest string, claims ...string) {
	s.Helper()
	var acquired []string
	for _, claim := range claims {
		if record := s.Record(claim); record.Owner != nil {
			acquired = append(acquired, claim)
		}
	}
	s.Logf("acquired %v of %v", acquired, claims)
	r := s.Run(east, manifest, "create", "-f", "-")
	// The new leader may have released them by now.
	if r.Err != nil && !strings.Contains(r.Stderr, "held by         cluster west, claim "+s.Namespace+"/"+claims[0]) {
		s.Errorf("refused with %s", r.Stderr)
	}
	for _, claim := range claims {
		s.Released(west, claim)
	}
	if r.Err != nil {
		s.Create(east, manifest)
	}
	s.Ready(east, "x")
	for _, claim := range claims {
		s.Wrote(claim, east)
	}
}

// Not parallel: it stops a part of Ceph for everybody, when the last watcher has gone and
// a workload waits in the other cluster.
func TestACephThatDoesNotAnswerWhenAReleaseIsDue(t *testing.T) {
	for name, processes := range map[string][]*lab.Process{
		"the OSD": {storage.OSD}, "the monitor": {storage.Mon},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.Volume("data", east, west)
			s.Create(west, scene.Pod("holder", "data"))
			s.Ready(west, "holder")
			s.Grows("data")
			s.Create(east, scene.Workload("ReplicaSet", "x", "data", 1))
			s.Event(east, "FailedCreate", "ReplicaSet/x", s.InUseOf(east, "data"))
			s.Kubectl(west, "delete", "pod", "holder", "--wait=false")
			s.Free("data")
			for _, process := range processes {
				if err := process.Freeze(); err != nil {
					t.Fatal(err)
				}
			}
			// By then it would be released. Ceph does not tolerate more than 15 s.
			time.Sleep(2 * webhook.Grace)
			for _, process := range processes {
				if err := process.Thaw(); err != nil {
					t.Fatal(err)
				}
			}
			s.Runs(east, "x", 1)
			s.Wrote("data", west, east)
		})
	}
}

// Not parallel: it stops the API server of east. Without it nobody there can prove that
// an image is idle, nor explain a watcher.
func TestAnAPIServerThatDoesNotAnswerReleasesAndAllowsNothing(t *testing.T) {
	s := newShop(t)
	s.Volume("data", east, west)
	s.Volume("theirs", east, west)
	s.Holds(west, "theirs")
	ours, theirs := s.PodReview(scene.Pod("x", "data")), s.PodReview(scene.Pod("x", "theirs"))
	if got := east.Webhook.Send("pod", ours); !got.Allowed {
		t.Fatalf("%+v", got)
	}
	before := s.Record("data")
	if err := east.APIServer.Freeze(); err != nil {
		t.Fatal(err)
	}
	refused := make(chan webhook.Reply, 1)
	go func() { refused <- east.Webhook.Send("pod", theirs) }()
	// By then it would be released.
	time.Sleep(2 * webhook.Grace)
	during := s.Record("data")
	inWest := s.Run(west, scene.Pod("p", "data"), "create", "-f", "-")
	if err := east.APIServer.Thaw(); err != nil {
		t.Fatal(err)
	}
	if during.Token != before.Token {
		t.Errorf("without its API server, east made of %s\n%s", before.Encode(), during.Encode())
	}
	s.Refused(inWest, scene.Forbidden("pod", s.OwnedBy(east, "data"), scene.Creating))
	// What it cannot know is the volume, or who has it.
	got := <-refused
	if about, ok := strings.CutPrefix(got.Message, "cannot know whether "); got.Allowed || got.Problem != nil || !ok ||
		!strings.HasPrefix(about, "volume "+s.Namespace+"/theirs ") && !strings.HasPrefix(about, "a volume of namespace "+s.Namespace+" ") {
		t.Errorf("%+v", got)
	}
	s.Released(east, "data")
	s.Create(west, scene.Pod("p", "data"))
	s.Ready(west, "p")
	s.Wrote("data", west)
}
