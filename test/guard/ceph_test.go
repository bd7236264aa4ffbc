//go:build lab

package guard

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

const (
	// answerLimit is the webhook's 3 s, and something for this machine.
	answerLimit = 3500 * time.Millisecond
	// wave is how many reviews come at a time.
	wave = 50
	// load is for how long they come.
	load = 6 * time.Second
)

// Not parallel: it stops Ceph for everybody. An OSD that was frozen for 16 s may
// not come back.
func TestACephThatDoesNotAnswerIsAnsweredInTimeAndHealsByItself(t *testing.T) {
	s := newShop(t)
	s.volume("held", east, west)
	s.volume("free", east, west)
	s.holds(east, "held")
	held := s.inUse("held")
	var bodies []string
	for range wave / 2 {
		bodies = append(bodies, s.podReview(pod("x", "held")), s.podReview(pod("x", "free")))
	}
	right := func() error {
		for i, got := range west.guard.all("pod", bodies) {
			if want := i%2 == 1; got.problem != nil || got.allowed != want || !want && got.message != held {
				return fmt.Errorf("answer %d: %+v", i, got)
			}
		}
		return nil
	}
	up := func() float64 {
		value, err := west.guard.Metric("cephferry_ceph_up")
		if err != nil {
			t.Error(err)
		}
		return value
	}
	if err := right(); err != nil {
		t.Fatal(err)
	}
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
		var replies []reply
		for time.Since(begin) < load {
			replies = append(replies, west.guard.all("pod", bodies)...)
		}
		if err := west.guard.Ready(); err != nil {
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
			t.Fatalf("frozen for %s, which Ceph does not bear", took)
		}

		var unknown int
		var slowest time.Duration
		for i, got := range replies {
			slowest = max(slowest, got.took)
			switch {
			case got.problem != nil:
				t.Errorf("with %s frozen: %v", name, got.problem)
			case got.code == http.StatusInternalServerError && strings.HasPrefix(got.message, "cannot know whether volume "+s.namespace):
				unknown++
			case name == "the monitor" && got.allowed == (i%2 == 1):
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
		s.eventually("right answers after the thaw of "+name, right)
		t.Logf("%s frozen for %s: %d of %d unknown, slowest answer %s, %d goroutines instead of %d; right again after %s", name, took.Round(time.Millisecond),
			unknown, len(replies), slowest.Round(time.Millisecond), int(most), int(before), time.Since(begin).Round(time.Millisecond))
		if up() != 1 {
			t.Errorf("after the thaw of %s cephferry_ceph_up is %v", name, up())
		}
		west.guard.Client.CloseIdleConnections()
		s.eventually("the goroutines end", func() error {
			if now := goroutines(t); now > before+10 {
				return fmt.Errorf("there are %v instead of %v", now, before)
			}
			return nil
		})
	}
	s.letsGo(east, "held")
	s.create(west, pod("x", "held"))
	s.ready(west, "x")
	s.wrote("held", east, west)
}

func goroutines(t *testing.T) float64 {
	t.Helper()
	value, err := west.guard.Metric("go_goroutines")
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Not parallel: it stops Ceph and the webhook of west.
func TestAWebhookThatStartsWithoutCephIsReadyAndRefuses(t *testing.T) {
	s := newShop(t)
	s.volume("free", west)
	if err := west.guard.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := storage.Mon.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	started := west.guard.Start()
	var bodies []string
	for range wave {
		bodies = append(bodies, s.podReview(pod("x", "free")))
	}
	var replies []reply
	if started == nil {
		replies = west.guard.all("pod", bodies)
	}
	if err := storage.Mon.Thaw(); err != nil {
		t.Fatal(err)
	}
	if started != nil {
		t.Fatal(started)
	}
	t.Logf("answered after %s", time.Since(begin).Round(time.Millisecond))
	for _, got := range replies {
		if got.problem != nil || got.code != http.StatusInternalServerError || got.took > answerLimit || !strings.HasPrefix(got.message, "cannot know whether volume "+s.namespace) {
			t.Fatalf("%+v", got)
		}
	}
	begin = time.Now()
	s.eventually("an answer", func() error {
		if got := west.guard.send("pod", bodies[0]); !got.allowed {
			return errors.New(got.message)
		}
		return nil
	})
	t.Logf("it knows %s after the thaw", time.Since(begin).Round(time.Millisecond))
}

// Not parallel: it takes the key away.
func TestAnotherKeyIsUsedWithinTenSeconds(t *testing.T) {
	s := newShop(t)
	s.volume("data", east, west)
	s.holds(east, "data")
	text := s.inUse("data")
	body := s.podReview(pod("x", "data"))
	if got := west.guard.send("pod", body); got.message != text {
		t.Fatalf("%+v", got)
	}
	within := func(what string, check func(reply) bool) {
		t.Helper()
		begin := time.Now()
		s.eventually(what, func() error {
			got := west.guard.send("pod", body)
			if got.allowed {
				t.Errorf("allowed: %+v", got)
			}
			if got.problem != nil || !check(got) {
				return errors.New(got.message)
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
		if err := west.Apply(t.Context(), webhook.ObserverSecret(id, key)); err != nil {
			t.Fatal(err)
		}
	}
	set("observer-west", storage.Admin.Key) // which is another user's
	within("a wrong key is refused", func(got reply) bool {
		return got.code == http.StatusInternalServerError && strings.HasPrefix(got.message, "cannot know")
	})
	if err := west.guard.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	user, err := storage.CreateUser(t.Context(), "observer-new", webhook.Observer...)
	if err != nil {
		t.Fatal(err)
	}
	set(user.ID, user.Key)
	within("the new key works", func(got reply) bool { return got.code == http.StatusForbidden && got.message == text })
}
