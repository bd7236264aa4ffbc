package goceph

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// gate is a fake of a call into C: it returns when it is opened.
type gate struct {
	entered chan struct{}
	opened  chan struct{}
}

func newGate() gate { return gate{make(chan struct{}, maxCalls+1), make(chan struct{})} }

func (g gate) call() (string, error) {
	g.entered <- struct{}{}
	<-g.opened
	return "answer", nil
}

const (
	soon = 10 * time.Millisecond
	late = time.Minute
)

func TestCallReturnsWhatTheFunctionReturns(t *testing.T) {
	c := newCalls(late, func() {})
	want := errors.New("x")
	got, err := call(t.Context(), c, func() (int, error) { return 7, want })
	if got != 7 || !errors.Is(err, want) {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestCallerStopsWaiting(t *testing.T) {
	tests := map[string]struct {
		wait time.Duration
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want []error
	}{
		"when the bound is reached": {soon, context.WithCancel, []error{ceph.ErrUnreachable}},
		"when its own deadline is reached": {late, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, soon)
		}, []error{ceph.ErrUnreachable, context.DeadlineExceeded}},
		"when it is cancelled": {late, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(soon, cancel)
			return ctx, cancel
		}, []error{context.Canceled}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, g := newCalls(test.wait, func() {}), newGate()
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				_, err := call(ctx, c, g.call)
				for _, want := range test.want {
					if !errors.Is(err, want) {
						t.Errorf("got %v; want %v", err, want)
					}
				}
				if inside, abandoned := c.counts(); inside != 1 || abandoned != 1 {
					t.Errorf("%d calls inside, %d abandoned; want 1, 1", inside, abandoned)
				}
				close(g.opened)
				awaitCounts(t, c, 0, 0)
			})
		})
	}
}

func TestContextThatEndedMakesNoCall(t *testing.T) {
	c := newCalls(late, func() {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := call(ctx, c, func() (int, error) {
		t.Error("the call was made")
		return 0, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A limit of our own is not the caller's context.
func TestEnded(t *testing.T) {
	limited, cancel := context.WithTimeoutCause(t.Context(), 0, ceph.ErrUnreachable)
	defer cancel()
	theirs, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	both, cancel := context.WithTimeoutCause(theirs, 0, ceph.ErrUnreachable)
	defer cancel()
	for _, test := range []struct {
		ctx  context.Context
		want error
	}{
		{t.Context(), nil},
		{limited, ceph.ErrUnreachable},
		{theirs, context.DeadlineExceeded},
		{both, context.DeadlineExceeded},
	} {
		if got := ended(test.ctx); !errors.Is(got, test.want) {
			t.Errorf("got %v; want %v", got, test.want)
		}
	}
}

func TestAbandonedCallsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, g := newCalls(soon, func() {}), newGate()
		for range maxCalls {
			if _, err := call(t.Context(), c, g.call); !errors.Is(err, ceph.ErrUnreachable) {
				t.Fatal(err)
			}
		}
		c.wait = late // a call that waits would now not return
		_, err := call(t.Context(), c, func() (int, error) {
			t.Error("one more call was made")
			return 0, nil
		})
		if !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("got %v; want %v", err, ceph.ErrUnreachable)
		}
		close(g.opened)
		awaitCounts(t, c, 0, 0)
		if got, err := call(t.Context(), c, g.call); got != "answer" || err != nil {
			t.Errorf("after they returned: %q, %v", got, err)
		}
	})
}

func TestCallWaitsForASlotThatIsInUse(t *testing.T) {
	c, g := newCalls(late, func() {}), newGate()
	results := make(chan error)
	for range maxCalls + 1 {
		go func() {
			_, err := call(t.Context(), c, g.call)
			results <- err
		}()
	}
	for range maxCalls {
		<-g.entered
	}
	if len(g.entered) != 0 {
		t.Errorf("more than %d calls are inside", maxCalls)
	}
	close(g.opened)
	for range maxCalls + 1 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestHandleIsClosedByTheLastCallThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int32
		c, g := newCalls(soon, func() { released.Add(1) }), newGate()
		for range 2 {
			if _, err := call(t.Context(), c, g.call); !errors.Is(err, ceph.ErrUnreachable) {
				t.Fatal(err)
			}
		}
		if err := c.close(); !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("close with calls inside: %v; want %v", err, ceph.ErrUnreachable)
		}
		if n := released.Load(); n != 0 {
			t.Fatal("the handle was closed with calls inside")
		}
		if _, err := call(t.Context(), c, g.call); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("call after close: %v; want %v", err, fs.ErrClosed)
		}
		close(g.opened)
		<-c.released
		for range 2 {
			if err := c.close(); err != nil {
				t.Error(err)
			}
		}
		if n := released.Load(); n != 1 {
			t.Errorf("the handle was closed %d times; want 1", n)
		}
	})
}

func TestCloseWaitsForACall(t *testing.T) {
	var released atomic.Bool
	c, g := newCalls(late, func() { released.Store(true) }), newGate()
	result := make(chan error)
	go func() {
		_, err := call(t.Context(), c, g.call)
		result <- err
	}()
	<-g.entered
	closed := make(chan error)
	go func() { closed <- c.close() }()
	for !c.isClosed() {
		time.Sleep(time.Millisecond)
	}
	if released.Load() {
		t.Error("the handle was closed with a call inside")
	}
	close(g.opened)
	if err := <-result; err != nil {
		t.Errorf("the call that was inside: %v", err)
	}
	if err := <-closed; err != nil || !released.Load() {
		t.Errorf("close: %v; handle closed: %v", err, released.Load())
	}
}

func (c *calls) counts() (inside, abandoned int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inside, c.abandoned
}

func (c *calls) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// awaitCounts waits until that many calls are inside and abandoned; a call
// leaves a moment after its caller has the answer.
func awaitCounts(t *testing.T, c *calls, inside, abandoned int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		i, a := c.counts()
		if i == inside && a == abandoned {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls inside, %d abandoned; want %d, %d", i, a, inside, abandoned)
		}
		time.Sleep(time.Millisecond)
	}
}
