//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

// Not parallel: it ends the webhook of west while that acquires the images of a pod,
// as soon as the first record is written. Some are then west's, for a pod that nobody
// has let start.
func TestAWebhookThatDiesWhileItAcquires(t *testing.T) {
	const rounds = 5
	for round := 1; ; round++ {
		s := newShop(t)
		var claims []string
		var pairs string
		for i := range 8 {
			claims = append(claims, fmt.Sprint("data-", i))
			s.volume(claims[i])
			pairs += s.pv(claims[i]) + "---\n" + s.pvc(claims[i]) + "---\n"
		}
		for _, c := range []*cluster{east, west} {
			s.create(c, pairs)
			for _, claim := range claims {
				s.bound(c, claim)
			}
		}
		first, err := s.admin().Image(t.Context(), s.spec(claims[0]))
		if err != nil {
			t.Fatal(err)
		}
		manifest := fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: %s}\n", podSpec(claims))
		asked := make(chan result, 1)
		go func() { asked <- s.run(west, manifest, "create", "-f", "-") }()
		for record := (ceph.Record{}); record.Revision == 0; {
			if record, err = ownership.Read(t.Context(), s.admin(), first); err != nil {
				t.Fatal(err)
			}
		}
		if err := west.guard.Kill(); err != nil {
			t.Fatal(err)
		}
		answer := <-asked
		if err := west.guard.Start(); err != nil {
			t.Fatal(err)
		}
		if answer.err == nil && round < rounds {
			t.Logf("round %d: the answer was faster", round)
			continue
		}
		if answer.err == nil || !strings.Contains(answer.stderr, `failed calling webhook "pod.guard.cephferry.io"`) {
			t.Fatalf("the pod was answered: %v %s", answer.err, answer.stderr)
		}
		if stored := s.kubectl(west, "get", "pods", "-o=name"); stored != "" {
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
		if record := s.record(claim); record.Owner != nil {
			acquired = append(acquired, claim)
		}
	}
	s.Logf("acquired %v of %v", acquired, claims)
	r := s.run(east, manifest, "create", "-f", "-")
	// The new leader may have released them by now.
	if r.err != nil && !strings.Contains(r.stderr, "held by         cluster west, claim "+s.namespace+"/"+claims[0]) {
		s.Errorf("refused with %s", r.stderr)
	}
	for _, claim := range claims {
		s.released(west, claim)
	}
	if r.err != nil {
		s.create(east, manifest)
	}
	s.ready(east, "x")
	for _, claim := range claims {
		s.wrote(claim, east)
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
			s.volume("data", east, west)
			s.create(west, pod("holder", "data"))
			s.ready(west, "holder")
			s.grows("data")
			s.create(east, workload("ReplicaSet", "x", "data", 1))
			s.event(east, "FailedCreate", "ReplicaSet/x", s.inUseOf(east, "data"))
			s.kubectl(west, "delete", "pod", "holder", "--wait=false")
			s.free("data")
			for _, process := range processes {
				if err := process.Freeze(); err != nil {
					t.Fatal(err)
				}
			}
			// It does not bear more than 15 s.
			time.Sleep(4 * webhook.Grace)
			for _, process := range processes {
				if err := process.Thaw(); err != nil {
					t.Fatal(err)
				}
			}
			s.runs(east, "x", 1)
			s.wrote("data", west, east)
		})
	}
}

// Not parallel: it stops the API server of east. Without it nobody there can prove that
// an image is idle, nor explain a watcher.
func TestAnAPIServerThatDoesNotAnswerReleasesAndAllowsNothing(t *testing.T) {
	s := newShop(t)
	s.volume("data", east, west)
	s.volume("theirs", east, west)
	s.holds(west, "theirs")
	ours, theirs := s.podReview(pod("x", "data")), s.podReview(pod("x", "theirs"))
	if got := east.guard.send("pod", ours); !got.allowed {
		t.Fatalf("%+v", got)
	}
	before := s.record("data")
	if err := east.APIServer.Freeze(); err != nil {
		t.Fatal(err)
	}
	refused := make(chan reply, 1)
	go func() { refused <- east.guard.send("pod", theirs) }()
	// By then it would be released.
	time.Sleep(2 * webhook.Grace)
	during := s.record("data")
	inWest := s.run(west, pod("p", "data"), "create", "-f", "-")
	if err := east.APIServer.Thaw(); err != nil {
		t.Fatal(err)
	}
	if during.Token != before.Token {
		t.Errorf("without its API server, east made of %s\n%s", before.Encode(), during.Encode())
	}
	s.refused(inWest, forbidden("pod", s.ownedBy(east, "data"), creating))
	if got := <-refused; got.allowed || got.problem != nil || !strings.HasPrefix(got.message, "cannot know whether volume "+s.namespace+"/theirs") {
		t.Errorf("%+v", got)
	}
	s.released(east, "data")
	s.create(west, pod("p", "data"))
	s.ready(west, "p")
	s.wrote("data", west)
}
