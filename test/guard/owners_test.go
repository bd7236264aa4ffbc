//go:build lab

package guard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

// A hand-over needs nobody: the other cluster releases, and who was refused is woken.
func TestARefusedWorkloadStartsAsSoonAsTheOtherClusterIsDone(t *testing.T) {
	t.Parallel()
	for kind, manifest := range map[string]string{
		"ReplicaSet":  workload("ReplicaSet", "x", "data", 1),
		"StatefulSet": workload("StatefulSet", "x", "data", 1),
		"Job":         job("Job", "x", ""),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.volume("data", east, west)
			s.holds(west, "data")
			s.create(east, manifest) // in east, only the pods are refused
			s.event(east, "VolumeInUse", kind+"/x", s.inUseOf(east, "data"))
			// So long that it would wait much longer by itself.
			time.Sleep(10 * time.Second)
			s.kubectl(west, "delete", "pod", "holder", "--wait=false")
			s.free("data")
			free := time.Now()
			s.released(west, "data")
			released := time.Now()
			s.eventually("its pod", func() error {
				if len(s.pods(east, "x")) == 0 {
					return fmt.Errorf("there is none")
				}
				return nil
			})
			t.Logf("released %s after the last watcher, admitted %s after that", released.Sub(free).Round(time.Millisecond), time.Since(released).Round(time.Millisecond))
			s.runs(east, "x", 1)
			s.wrote("data", west, east)
		})
	}
}

// The record follows the pod: who may have the image open is in it before the image
// is open.
func TestTheRecordNamesNodesAndClients(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	if record := s.record("data"); record.Revision != 0 {
		t.Errorf("before the first pod there is a record %s", record.Encode())
	}
	s.create(east, pod("holder", "data", "schedulingGates: [{name: example.com/later}]"))
	record, _ := s.holders("data")
	if !ownership.Owns(record, s.party(east)) || record.Owner.Namespace != s.namespace || record.Owner.Claim != "data" || record.ClaimSize != 16<<20 || record.Owner.Nodes != nil {
		t.Errorf("for a pod without a node the record is %s", record.Encode())
	}
	s.begins(east, "holder")
	s.ready(east, "holder")
	record, watchers := s.holders("data")
	if len(watchers) != 1 || !slices.Equal(record.Owner.Instances(), []string{watchers[0].Address}) || len(record.Owner.Nodes) != 1 || record.Owner.Nodes[0].Addresses[0] != watchers[0].host() {
		t.Errorf("with watchers %v the record is %s", watchers, record.Encode())
	}
	s.letsGo(east, "data")
	record = s.record("data")
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
	s.volume("data", east, west)
	begin := time.Now()
	if got := west.guard.send("pod", s.podReview(pod("x", "data"))); !got.allowed {
		t.Fatalf("%+v", got)
	}
	record := s.record("data")
	if !ownership.Owns(record, s.party(west)) || len(record.Pending) != 1 {
		t.Fatalf("the record is %s", record.Encode())
	}
	s.refusedAtOnce(east, west, "data")
	s.released(west, "data")
	if took := time.Since(begin); took < webhook.Grace {
		t.Errorf("released after %s, although a pod could still appear", took)
	} else {
		t.Logf("released after %s", took.Round(time.Millisecond))
	}
	s.create(east, pod("p", "data"))
	s.ready(east, "p")
	s.wrote("data", east)
}

// Not parallel: it ends the webhook of west, between the record and the answer as far
// as anybody can see: the pod is in the record and not at the API server.
func TestAWebhookThatDiesAfterItHasAcquired(t *testing.T) {
	s := newShop(t)
	s.volume("data", east, west)
	if got := west.guard.send("pod", s.podReview(pod("x", "data"))); !got.allowed {
		t.Fatalf("%+v", got)
	}
	if err := west.guard.Kill(); err != nil {
		t.Fatal(err)
	}
	// Without a webhook in west nobody releases, however long it takes.
	time.Sleep(2 * webhook.Grace)
	s.refused(s.run(east, pod("p", "data"), "create", "-f", "-"), forbidden("pod", s.ownedBy(west, "data"), creating))
	if err := west.guard.Start(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.released(west, "data")
	t.Logf("released %s after the restart", time.Since(begin).Round(time.Millisecond))
	s.create(east, pod("p", "data"))
	s.ready(east, "p")
	s.wrote("data", east)
}

// Not parallel: it ends the webhook of west. What is uninstalled while nobody looks is
// released by the leader that comes next, although no volume leads there any more.
func TestAnUninstalledVolumeIsReleasedByTheNextLeader(t *testing.T) {
	s := newShop(t)
	s.must(s.helm(west, "install", "web", web, migratable))
	s.eventually("the pod of web in west writes", func() error {
		if len(s.watchers("web-files")) == 0 {
			return fmt.Errorf("nobody has the image open")
		}
		return nil
	})
	s.grows("web-files")
	s.holders("web-files")
	// Dead before the last pod ends, so that it cannot have released.
	if err := west.guard.Kill(); err != nil {
		t.Fatal(err)
	}
	s.kubectl(west, "scale", "deployment/web", "--replicas=0")
	s.free("web-files")
	s.must(execute(s.Context(), "", programs.helm, "uninstall", "web", "--kubeconfig", west.Kubeconfig, "--namespace", s.namespace))
	s.eventually("the volume is gone", func() error {
		_, err := west.client.CoreV1().PersistentVolumes().Get(s.Context(), s.namespace+".web-files", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %v", err)
	})
	s.must(s.helm(east, "install", "web", web, migratable))
	s.eventually("its pods in east are refused", func() error {
		for _, e := range s.events(east) {
			if e.reason == "FailedCreate" && strings.Contains(e.message, "held by         cluster west") {
				return nil
			}
		}
		return fmt.Errorf("the events are %v", s.events(east))
	})
	if !ownership.Owns(s.record("web-files"), s.party(west)) {
		t.Fatalf("the record is %s", s.record("web-files").Encode())
	}
	if err := west.guard.Start(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.released(west, "web-files")
	t.Logf("released %s after the restart", time.Since(begin).Round(time.Millisecond))
	s.eventually("the pod of web in east writes", func() error {
		if len(s.watchers("web-files")) == 0 {
			return fmt.Errorf("nobody has the image open")
		}
		return nil
	})
	s.wrote("web-files", west, east)
}

// ownedBy is the refusal in another cluster while a pod of c was let start and is on
// no node.
func (s *shop) ownedBy(c *cluster, claim string) string {
	s.Helper()
	record := s.record(claim)
	return fmt.Sprintf("volume %[1]s/%[2]s (image %[3]s) is in use by another cluster\n"+
		"  held by         cluster %[4]s, claim %[1]s/%[2]s, since %[5]s UTC\n"+
		"  if it lives     scale the workload of claim %[1]s/%[2]s down in %[4]s, then retry here; nothing was changed\n"+
		"  if it is dead   kubectl cephferry failover %[1]s/%[2]s",
		s.namespace, claim, s.image(claim), c.Name, record.Owner.Since.Format("2006-01-02 15:04"))
}

// refusedAtOnce asks the guard of c for a pod on what owner owns. No kubectl and no API
// server take time: the owner lets go when the grace is over.
func (s *shop) refusedAtOnce(c, owner *cluster, claim string) {
	s.Helper()
	want := s.ownedBy(owner, claim)
	got := c.guard.send("pod", s.podReview(pod("p", claim)))
	if diff := cmp.Diff(want, strings.TrimSpace(got.message)); got.allowed || diff != "" {
		s.Errorf("%+v, -want +got:\n%s", got, diff)
	}
}

// A pod that was let start, and is on no node when its image is taken away, gets none.
func TestAPodOfBeforeATakeoverIsNotBound(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.create(west, pod("x", "data", "schedulingGates: [{name: example.com/later}]"))
	s.holders("data")
	s.takeOver(east, "data")
	s.holds(east, "data")
	text := s.inUse("data")
	s.begins(west, "x")
	s.event(west, "FailedScheduling", "Pod/x", `admission webhook "binding.guard.cephferry.io" denied the request: `, text)
	s.event(west, "VolumeInUse", "Pod/x", text)
	if got := s.kubectl(west, "get", "pod/x", "-o=jsonpath={.spec.nodeName}"); got != "" {
		t.Errorf("the pod is on %s", got)
	}
	s.letsGo(east, "data")
	s.ready(west, "x")
	s.wrote("data", east, west)
}

// Not parallel: it stops Ceph. A release that Ceph interrupts is made later, and once.
func TestAReleaseWhileCephDoesNotAnswer(t *testing.T) {
	s := newShop(t)
	s.volume("data", east, west)
	s.create(east, pod("holder", "data", "terminationGracePeriodSeconds: 0"))
	s.ready(east, "holder")
	s.grows("data")
	s.holders("data")
	for _, process := range []*lab.Process{storage.Mon, storage.OSD} {
		if err := process.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	s.kubectl(east, "delete", "pod", "holder", "--wait=false")
	time.Sleep(6 * time.Second)
	for _, process := range []*lab.Process{storage.Mon, storage.OSD} {
		if err := process.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	s.released(east, "data")
	t.Logf("released %s after the thaw", time.Since(begin).Round(time.Millisecond))
	s.create(west, pod("x", "data"))
	s.ready(west, "x")
	s.wrote("data", east, west)
}

// Not parallel: it ends the webhook of west. Two replicas answer at once for the same
// image, and when the leader dies, the other one keeps the records.
func TestTwoReplicasOfTheWebhook(t *testing.T) {
	s := newShop(t)
	s.volume("data", east, west)
	started, err := west.guard.Replica()
	if err != nil {
		t.Fatal(err)
	}
	second := &running{started}
	defer func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	}()
	const each = 25
	var bodies []string
	for range each {
		bodies = append(bodies, s.podReview(pod("x", "data")))
	}
	others := make(chan []reply)
	go func() { others <- second.all("pod", bodies) }()
	for i, got := range slices.Concat(west.guard.all("pod", bodies), <-others) {
		if !got.allowed {
			t.Errorf("answer %d: %+v", i, got)
		}
	}
	if got := s.record("data").Admissions; got != 2*each {
		t.Errorf("%d admissions, want %d", got, 2*each)
	}
	s.refusedAtOnce(east, west, "data")
	if err := west.guard.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.released(west, "data")
	t.Logf("the second replica has released it %s after the death of the first", time.Since(begin).Round(time.Millisecond))
	if err := west.guard.Start(); err != nil {
		t.Fatal(err)
	}
}

// Both clusters start at once, again and again: one of them gets the volume.
func TestOfTwoClustersThatStartAtOnceOneGetsTheVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	for range 5 {
		results := map[*cluster]chan result{}
		for _, c := range []*cluster{east, west} {
			results[c] = make(chan result, 1)
			go func() { results[c] <- s.run(c, pod("x", "data"), "create", "-f", "-") }()
		}
		inEast, inWest := <-results[east], <-results[west]
		winner := east
		if inEast.err != nil {
			winner = west
		}
		if (inEast.err == nil) == (inWest.err == nil) {
			t.Fatalf("in east %q %q, in west %q %q", inEast.stdout, inEast.stderr, inWest.stdout, inWest.stderr)
		}
		s.ready(winner, "x")
		s.grows("data")
		s.kubectl(winner, "delete", "pod", "x")
		s.released(winner, "data")
	}
	if err := s.stamps("data").Check(); err != nil {
		t.Error(err)
	}
}
