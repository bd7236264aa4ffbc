//go:build lab && cgo

package goceph

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/test/lab"
)

// replica is a pool that every lab has.
var replica = ceph.ImageSpec{Pool: lab.Pool, Name: "image"}

func TestMonitorDoesNotAnswer(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	config := h.config(cephtest.Provisioner)

	unreachable := func(t *testing.T, config Config) {
		t.Helper()
		start := time.Now()
		_, err := Dial(t.Context(), config)
		if took := time.Since(start); !errors.Is(err, ceph.ErrUnreachable) || took > h.Bound() {
			t.Errorf("dial: %v after %v; want %v within %v", err, took, ceph.ErrUnreachable, h.Bound())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start = time.Now()
		_, err = Dial(ctx, config)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > labTimeout {
			t.Errorf("dial with a deadline: %v after %v; want %v at once", err, took, context.DeadlineExceeded)
		}
	}
	t.Run("because nothing listens", func(t *testing.T) {
		nowhere := config
		nowhere.Monitors = []string{"v2:127.0.0.1:1"}
		unreachable(t, nowhere)
	})
	t.Run("because it hangs", func(t *testing.T) {
		connected, err := Dial(t.Context(), config)
		must(t, err)
		defer connected.Close()
		if _, err := connected.Image(t.Context(), replica); !errors.Is(err, ceph.ErrImageNotFound) {
			t.Fatal(err)
		}
		must(t, h.Mon.Freeze())
		unreachable(t, config)
		// Those who have found their OSDs need no monitor.
		if _, err := connected.CreateImage(t.Context(), replica, ceph.Layout{Size: 1 << 20}); err != nil {
			t.Errorf("create image meanwhile: %v", err)
		}
		must(t, h.Mon.Thaw())
		again, err := Dial(t.Context(), config)
		must(t, err)
		must(t, again.Close())
	})
}

// A write that timed out is carried out when the OSD returns; the caller must not
// be told that somebody else changed the record.
func TestRecordWriteThatTimedOut(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	cluster := h.connect(t)
	image, err := cluster.CreateImage(t.Context(), replica, ceph.Layout{Size: 1 << 20})
	must(t, err)
	for _, step := range []string{"create", "swap"} {
		t.Run(step, func(t *testing.T) {
			before, err := cluster.Record(t.Context(), image)
			if err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
				t.Fatal(err)
			}
			must(t, h.OSD.Freeze())
			// After the write has timed out, and long before its reading back does.
			thawed := make(chan error, 1)
			time.AfterFunc(labTimeout+labTimeout/4, func() { thawed <- h.OSD.Thaw() })
			start := time.Now()
			put, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: before.ClaimSize + 1, Revision: before.Revision})
			must(t, <-thawed)
			must(t, err)
			if took := time.Since(start); took < labTimeout {
				t.Fatalf("the write took %v: it did not time out", took)
			}
			stored, err := cluster.Record(t.Context(), image)
			must(t, err)
			if !cmp.Equal(stored, put) || stored.Token == before.Token {
				t.Errorf("stored is %+v, PutRecord returned %+v", stored, put)
			}
		})
	}
}

func TestAbandonedCallsLeaveNothingBehind(t *testing.T) {
	h := startHarness(t, nil)
	cluster := h.connect(t)
	abandon := func() {
		for range 2 * maxCalls {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := cluster.Image(ctx, replica)
			cancel()
			if !errors.Is(err, ceph.ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; want %v", err, ceph.ErrUnreachable)
			}
		}
	}
	_, err := cluster.Image(t.Context(), replica)
	if !errors.Is(err, ceph.ErrImageNotFound) {
		t.Fatal(err)
	}
	goroutines, threadsBefore := runtime.NumGoroutine(), threads(t)
	for range 2 {
		must(t, h.OSD.Freeze())
		start := time.Now()
		abandon()
		if took := time.Since(start); took > labTimeout {
			t.Errorf("%d abandoned calls took %v; want less than one timeout", 2*maxCalls, took)
		}
		if _, abandoned := cluster.calls.counts(); abandoned != maxCalls {
			t.Errorf("%d calls are abandoned; want %d", abandoned, maxCalls)
		}
		must(t, h.OSD.Thaw())
		awaitCounts(t, cluster.calls, 0, 0)
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, before %d", n, goroutines)
	}
	// Go keeps threads for later, so there are as many as once were needed, twice
	// as many calls or not.
	if n := threads(t); n > threadsBefore+maxCalls+10 {
		t.Errorf("%d threads, before %d", n, threadsBefore)
	}
	if _, err := cluster.Image(t.Context(), replica); !errors.Is(err, ceph.ErrImageNotFound) {
		t.Errorf("afterwards: %v; want %v", err, ceph.ErrImageNotFound)
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	return len(tasks)
}

// Shutting a connection down, or closing an image, under a call that is inside
// it is the end of the process.
func TestCloseDuringCalls(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	image, err := h.connect(t).CreateImage(t.Context(), replica, ceph.Layout{Size: 1 << 20})
	must(t, err)

	t.Run("that return", func(t *testing.T) {
		for range 20 {
			cluster, err := dial(t.Context(), h.config(cephtest.Provisioner))
			must(t, err)
			results := make(chan error)
			for range 8 {
				go func() {
					for {
						if _, err := cluster.Image(t.Context(), replica); err != nil {
							results <- err
							return
						}
					}
				}()
			}
			must(t, cluster.Close())
			for range 8 {
				if err := <-results; !errors.Is(err, fs.ErrClosed) {
					t.Errorf("got %v; want %v", err, fs.ErrClosed)
				}
			}
		}
	})
	t.Run("that hang", func(t *testing.T) {
		cluster, err := dial(t.Context(), h.config(cephtest.Provisioner))
		must(t, err)
		must(t, h.OSD.Freeze())
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error)
		for _, do := range []func() error{
			func() error { _, err := cluster.Image(ctx, replica); return err },
			func() error { return cluster.GrowImage(ctx, replica, 2<<20) },
			func() error { _, err := cluster.PutRecord(ctx, image, ceph.Record{}); return err },
		} {
			go func() { results <- do() }()
		}
		for inside := 0; inside != 3; inside, _ = cluster.calls.counts() {
			runtime.Gosched()
		}
		cancel()
		for range 3 {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v; want %v", err, context.Canceled)
			}
		}
		start := time.Now()
		if err := cluster.Close(); err != nil && !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("close: %v; want none or %v", err, ceph.ErrUnreachable)
		}
		if took := time.Since(start); took > h.Bound() {
			t.Errorf("close took %v; want at most %v", took, h.Bound())
		}
		must(t, h.OSD.Thaw())
		<-cluster.calls.released
		if inside, _ := cluster.calls.counts(); inside != 0 {
			t.Errorf("closed with %d calls inside", inside)
		}
	})
}

// connect is a connection of the provisioner, for tests that look inside.
func (h *harness) connect(t *testing.T) *connection {
	t.Helper()
	return h.connectAs(t, h.users[cephtest.Provisioner])
}

func (h *harness) connectAs(t *testing.T, user lab.User) *connection {
	t.Helper()
	config := h.config(cephtest.Provisioner)
	config.User, config.Key = user.ID, user.Key
	cluster, err := dial(t.Context(), config)
	must(t, err)
	t.Cleanup(func() { must(t, cluster.Close()) })
	return cluster
}
