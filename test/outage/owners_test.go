//go:build lab

package outage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// Not parallel: it ends the webhook of west, between the record and the answer as far
// as anybody can see: the pod is in the record and not at the API server.
func TestAWebhookThatDiesAfterItHasAcquired(t *testing.T) {
	s := newShop(t)
	s.Volume("data", east, west)
	if got := west.Webhook.Send("pod", s.PodReview(scene.Pod("x", "data"))); !got.Allowed {
		t.Fatalf("%+v", got)
	}
	if err := west.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	// Without a webhook in west nobody releases, however long it takes.
	time.Sleep(2 * webhook.Grace)
	s.Refused(s.Run(east, scene.Pod("p", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.OwnedBy(west, "data"), scene.Creating))
	if err := west.Webhook.Start(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.Released(west, "data")
	t.Logf("released %s after the restart", time.Since(begin).Round(time.Millisecond))
	s.Create(east, scene.Pod("p", "data"))
	s.Ready(east, "p")
	s.Wrote("data", east)
}

// Not parallel: it ends the webhook of west. What is uninstalled while nobody looks is
// released by the leader that comes next, although no volume leads there any more.
func TestAnUninstalledVolumeIsReleasedByTheNextLeader(t *testing.T) {
	s := newShop(t)
	s.Must(s.Rendered(west, "install", "web", scene.ChartWeb, scene.Migratable))
	s.Eventually("the pod of web in west writes", func() error {
		if len(s.Watchers("web-files")) == 0 {
			return fmt.Errorf("nobody has the image open")
		}
		return nil
	})
	s.Grows("web-files")
	s.Holders("web-files")
	// Dead before the last pod ends, so that it cannot have released.
	if err := west.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(west, "scale", "deployment/web", "--replicas=0")
	s.Free("web-files")
	s.Must(s.Helm(west, "uninstall", "web"))
	s.Eventually("the volume is gone", func() error {
		_, err := west.Client.CoreV1().PersistentVolumes().Get(s.Context(), s.Namespace+".web-files", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %v", err)
	})
	s.Must(s.Rendered(east, "install", "web", scene.ChartWeb, scene.Migratable))
	s.Eventually("its pods in east are refused", func() error {
		for _, e := range s.Events(east) {
			if e.Reason == "FailedCreate" && strings.Contains(e.Message, "held by         cluster west") {
				return nil
			}
		}
		return scene.Lazily(func() string { return fmt.Sprintf("the events are %v", s.Events(east)) })
	})
	if !ownership.Owns(s.Record("web-files"), s.Party(west)) {
		t.Fatalf("the record is %s", s.Record("web-files").Encode())
	}
	if err := west.Webhook.Start(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.Released(west, "web-files")
	t.Logf("released %s after the restart", time.Since(begin).Round(time.Millisecond))
	s.Eventually("the pod of web in east writes", func() error {
		if len(s.Watchers("web-files")) == 0 {
			return fmt.Errorf("nobody has the image open")
		}
		return nil
	})
	s.Wrote("web-files", west, east)
}

// Not parallel: it stops Ceph. A release that Ceph interrupts is made later, and once.
func TestAReleaseWhileCephDoesNotAnswer(t *testing.T) {
	s := newShop(t)
	s.Volume("data", east, west)
	s.Create(east, scene.Pod("holder", "data", "terminationGracePeriodSeconds: 0"))
	s.Ready(east, "holder")
	s.Grows("data")
	s.Holders("data")
	for _, process := range []*lab.Process{storage.Mon, storage.OSD} {
		if err := process.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	s.Kubectl(east, "delete", "pod", "holder", "--wait=false")
	time.Sleep(6 * time.Second)
	for _, process := range []*lab.Process{storage.Mon, storage.OSD} {
		if err := process.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	s.Released(east, "data")
	t.Logf("released %s after the thaw", time.Since(begin).Round(time.Millisecond))
	s.Create(west, scene.Pod("x", "data"))
	s.Ready(west, "x")
	s.Wrote("data", east, west)
}

// Not parallel: it ends the webhook of west. Two replicas answer at once for the same
// image, and when the leader dies, the other one keeps the records.
func TestTwoReplicasOfTheWebhook(t *testing.T) {
	s := newShop(t)
	s.Volume("data", east, west)
	second, err := west.Webhook.Replica()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := second.Stop(); err != nil {
			t.Error(err)
		}
	}()
	const each = 25
	var bodies []string
	for range each {
		bodies = append(bodies, s.PodReview(scene.Pod("x", "data")))
	}
	others := make(chan []webhook.Reply)
	go func() { others <- second.All("pod", bodies) }()
	for i, got := range slices.Concat(west.Webhook.All("pod", bodies), <-others) {
		if !got.Allowed {
			t.Errorf("answer %d: %+v", i, got)
		}
	}
	if got := s.Record("data").Admissions; got != 2*each {
		t.Errorf("%d admissions, want %d", got, 2*each)
	}
	s.RefusedAtOnce(east, west, "data")
	if err := west.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.Released(west, "data")
	t.Logf("the second replica has released it %s after the death of the first", time.Since(begin).Round(time.Millisecond))
	if err := west.Webhook.Start(); err != nil {
		t.Fatal(err)
	}
}
