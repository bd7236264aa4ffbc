//go:build lab

package outage

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

const (
	// answerLimit is when the API server would give up, by the chart's webhook
	// configuration. The webhook itself does after 3 s.
	answerLimit = 5 * time.Second
	// wave is how many reviews come at a time.
	wave = 50
	// load is for how long they come.
	load = 6 * time.Second
)

// Not parallel: it stops Ceph for everybody. An OSD that was frozen for 16 s may
// not come back.
func TestACephThatDoesNotAnswerIsAnsweredInTimeAndHealsByItself(t *testing.T) {
	s := newShop(t)
	s.Volume("held", east, west)
	s.Volume("free", east, west)
	s.Holds(east, "held")
	held := s.InUse("held")
	var bodies []string
	for range wave / 2 {
		bodies = append(bodies, s.PodReview(scene.Pod("x", "held")), s.PodReview(scene.Pod("x", "free")))
	}
	right := func() error {
		for i, got := range west.Webhook.All("pod", bodies) {
			if want := i%2 == 1; got.Problem != nil || got.Allowed != want || !want && got.Message != held {
				return fmt.Errorf("answer %d: %+v", i, got)
			}
		}
		return nil
	}
	up := func() float64 {
		value, err := west.Webhook.Metric("cephferry_ceph_up", `cluster_id="rook-ceph"`)
		if err != nil {
			t.Error(err)
		}
		return value
	}
	s.Eventually("right answers", right)
	before := goroutines(t)

	for _, freeze := range []struct {
		name      string
		processes []*lab.Process
	}{
		{"the OSD", []*lab.Process{storage.OSD}},
		{"the monitor", []*lab.Process{storage.Mon}},
		{"both", []*lab.Process{storage.OSD, storage.Mon}},
	} {
		name := freeze.name
		begin := time.Now()
		for _, process := range freeze.processes {
			if err := process.Freeze(); err != nil {
				t.Fatal(err)
			}
		}
		var replies []webhook.Reply
		for time.Since(begin) < load {
			replies = append(replies, west.Webhook.All("pod", bodies)...)
		}
		if err := west.Webhook.Ready(); err != nil {
			t.Errorf("with %s frozen: not ready: %v", name, err)
		}
		most, gauge := goroutines(t), up()
		for _, process := range freeze.processes {
			if err := process.Thaw(); err != nil {
				t.Fatal(err)
			}
		}
		took := time.Since(begin)
		if took > 15*time.Second {
			t.Fatalf("frozen for %s, which Ceph does not tolerate", took)
		}

		var unknown int
		var slowest time.Duration
		for i, got := range replies {
			slowest = max(slowest, got.Took)
			switch {
			case got.Problem != nil:
				t.Errorf("with %s frozen: %v", name, got.Problem)
			case got.Code == http.StatusInternalServerError && strings.HasPrefix(got.Message, "cannot know whether volume "+s.Namespace):
				unknown++
			case got.Code == http.StatusInternalServerError && strings.Contains(got.Message, " cannot be taken for west: "):
				unknown++ // 25 pods want one image, and take turns
			case name == "the monitor" && got.Allowed == (i%2 == 1):
				// Who is connected already needs no monitor.
			default:
				t.Errorf("with %s frozen, answer %d: %+v", name, i, got)
			}
		}
		if slowest > answerLimit {
			t.Errorf("with %s frozen the slowest answer took %s", name, slowest)
		}
		if most > before+2*wave {
			t.Errorf("with %s frozen there were %v goroutines, before %v", name, most, before)
		}
		if name != "the monitor" && gauge != 0 {
			t.Errorf("with %s frozen cephferry_ceph_up is %v", name, gauge)
		}
		begin = time.Now()
		s.Eventually("right answers after the thaw of "+name, right)
		t.Logf("%s frozen for %s: %d of %d unknown, slowest answer %s, %d goroutines instead of %d; right again after %s", name, took.Round(time.Millisecond),
			unknown, len(replies), slowest.Round(time.Millisecond), int(most), int(before), time.Since(begin).Round(time.Millisecond))
		if up() != 1 {
			t.Errorf("after the thaw of %s cephferry_ceph_up is %v", name, up())
		}
		west.Webhook.Client.CloseIdleConnections()
		s.Eventually("the goroutines end", func() error {
			if now := goroutines(t); now > before+10 {
				return fmt.Errorf("there are %v instead of %v", now, before)
			}
			return nil
		})
	}
	s.LetsGo(east, "held")
	s.Create(west, scene.Pod("x", "held"))
	s.Ready(west, "x")
	s.Wrote("held", east, west)
}

func goroutines(t *testing.T) float64 {
	t.Helper()
	value, err := west.Webhook.Metric("go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Not parallel: it stops Ceph and the webhook of west.
func TestAWebhookThatStartsWithoutCephIsReadyAndRefuses(t *testing.T) {
	s := newShop(t)
	s.Volume("free", west)
	if err := west.Webhook.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := storage.Mon.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	started := west.Webhook.Start()
	var bodies []string
	for range wave {
		bodies = append(bodies, s.PodReview(scene.Pod("x", "free")))
	}
	var replies []webhook.Reply
	if started == nil {
		replies = west.Webhook.All("pod", bodies)
	}
	if err := storage.Mon.Thaw(); err != nil {
		t.Fatal(err)
	}
	if started != nil {
		t.Fatal(started)
	}
	t.Logf("answered after %s", time.Since(begin).Round(time.Millisecond))
	for _, got := range replies {
		if got.Problem != nil || got.Code != http.StatusInternalServerError || got.Took > answerLimit || !strings.HasPrefix(got.Message, "cannot know whether volume "+s.Namespace) {
			t.Fatalf("%+v", got)
		}
	}
	begin = time.Now()
	s.Eventually("an answer", func() error {
		if got := west.Webhook.Send("pod", bodies[0]); !got.Allowed {
			return errors.New(got.Message)
		}
		return nil
	})
	t.Logf("it knows %s after the thaw", time.Since(begin).Round(time.Millisecond))
}

// Not parallel: it takes the key away.
func TestAnotherKeyIsUsedWithinTenSeconds(t *testing.T) {
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(east, "data")
	text := s.InUse("data")
	body := s.PodReview(scene.Pod("x", "data"))
	if got := west.Webhook.Send("pod", body); got.Message != text {
		t.Fatalf("%+v", got)
	}
	within := func(what string, check func(webhook.Reply) bool) {
		t.Helper()
		begin := time.Now()
		s.Eventually(what, func() error {
			got := west.Webhook.Send("pod", body)
			if got.Allowed {
				t.Errorf("allowed: %+v", got)
			}
			if got.Problem != nil || !check(got) {
				return errors.New(got.Message)
			}
			return nil
		})
		took := time.Since(begin)
		t.Logf("%s after %s", what, took.Round(time.Millisecond))
		if took > 10*time.Second {
			t.Errorf("%s only after %s", what, took)
		}
	}
	set := func(id, key string) {
		t.Helper()
		if err := west.Apply(t.Context(), webhook.RenamerSecret(id, key)); err != nil {
			t.Fatal(err)
		}
	}
	set("observer-west", storage.Admin.Key) // which is another user's
	within("a wrong key is refused", func(got webhook.Reply) bool {
		return got.Code == http.StatusInternalServerError && strings.HasPrefix(got.Message, "cannot know")
	})
	if err := west.Webhook.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	user, err := storage.CreateUser(t.Context(), "renamer-new", webhook.Renamer...)
	if err != nil {
		t.Fatal(err)
	}
	set(user.ID, user.Key)
	within("the new key works", func(got webhook.Reply) bool { return got.Code == http.StatusForbidden && got.Message == text })
}
