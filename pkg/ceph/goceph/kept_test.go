package goceph

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// handles opens and closes fakes of handles, and notices what would end the
// process.
type handles struct {
	t      *testing.T
	opened atomic.Int32
	mu     sync.Mutex
	open   map[*handle]bool
}

type handle struct {
	key    string
	inside atomic.Int32
}

func newHandles(t *testing.T, limit int) (*handles, *kept[string, *handle]) {
	h := &handles{t: t, open: map[*handle]bool{}}
	return h, newKept[string](limit, h.close)
}

func (h *handles) opener(key string) func() (*handle, error) {
	return func() (*handle, error) {
		h.opened.Add(1)
		made := &handle{key: key}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open[made] = true
		return made, nil
	}
}

func (h *handles) close(closed *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open[closed] {
		h.t.Errorf("handle of %q is closed twice", closed.key)
	}
	if closed.inside.Load() != 0 {
		h.t.Errorf("handle of %q is closed with a call inside", closed.key)
	}
	delete(h.open, closed)
}

// isOpen lists the keys of the open handles that are among keys.
func (h *handles) isOpen(keys ...string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var open []string
	for _, key := range keys {
		for made := range h.open {
			if made.key == key {
				open = append(open, key)
			}
		}
	}
	return open
}

// use borrows the handle of each key and gives it back.
func (h *handles) use(k *kept[string, *handle], keys ...string) {
	h.t.Helper()
	for _, key := range keys {
		e, err := k.borrow(key, h.opener(key))
		if err != nil || e.handle.key != key {
			h.t.Fatalf("borrowed %+v, %v; want %s", e, err, key)
		}
		k.giveBack(e, true)
	}
}

func TestHandleIsOpenedOnce(t *testing.T) {
	h, k := newHandles(t, 10)
	started, finish := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	borrow := func(open func() (*handle, error)) {
		wg.Go(func() {
			e, err := k.borrow("a", open)
			if err != nil {
				t.Error(err)
				return
			}
			k.giveBack(e, true)
		})
	}
	borrow(func() (*handle, error) {
		close(started)
		<-finish
		return h.opener("a")()
	})
	<-started
	for range 100 {
		borrow(h.opener("a"))
	}
	close(finish)
	wg.Wait()
	if n := h.opened.Load(); n != 1 {
		t.Errorf("opened %d times; want 1", n)
	}
}

func TestErrorOfOpeningIsNotKept(t *testing.T) {
	h, k := newHandles(t, 10)
	want := errors.New("x")
	for range 2 {
		if e, err := k.borrow("a", func() (*handle, error) { return nil, want }); e != nil || err != want {
			t.Errorf("got %v, %v; want %v", e, err, want)
		}
	}
	h.use(k, "a")
	if n := h.opened.Load(); n != 1 {
		t.Errorf("opened %d times; want 1", n)
	}
	k.closeAll()
}

func TestLeastRecentlyUsedHandleIsClosed(t *testing.T) {
	h, k := newHandles(t, 3)
	h.use(k, "a", "b", "c", "a", "d")
	if diff := cmp.Diff([]string{"a", "c", "d"}, h.isOpen("a", "b", "c", "d")); diff != "" {
		t.Errorf("open handles -want +got:\n%s", diff)
	}
	h.use(k, "b")
	if diff := cmp.Diff([]string{"a", "b", "d"}, h.isOpen("a", "b", "c", "d")); diff != "" {
		t.Errorf("open handles -want +got:\n%s", diff)
	}
	if n := h.opened.Load(); n != 5 {
		t.Errorf("opened %d times; want 5", n)
	}
}

func TestHandleInUseIsClosedByItsLastUser(t *testing.T) {
	tests := map[string]func(h *handles, k *kept[string, *handle]){
		"when there are too many": func(h *handles, k *kept[string, *handle]) {
			h.use(k, "b", "c")
		},
		"when another user found it unfit": func(h *handles, k *kept[string, *handle]) {
			for range 2 {
				again, err := k.borrow("a", h.opener("a"))
				if err != nil {
					h.t.Fatal(err)
				}
				k.giveBack(again, false)
			}
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			h, k := newHandles(t, 2)
			first, err := k.borrow("a", h.opener("a"))
			if err != nil {
				t.Fatal(err)
			}
			second, err := k.borrow("a", h.opener("a"))
			if err != nil || second != first {
				t.Fatalf("borrowed %v, %v; want %v", second, err, first)
			}
			end(h, k)
			k.giveBack(first, true)
			if !h.open[first.handle] {
				t.Error("closed while in use")
			}
			k.giveBack(second, true)
			if h.open[first.handle] {
				t.Error("its last user did not close it")
			}
			h.use(k, "a")
			k.closeAll()
			if n := len(h.open); n != 0 {
				t.Errorf("%d handles are open after the end", n)
			}
		})
	}
}

func TestHandlesOfMany(t *testing.T) {
	h, k := newHandles(t, 5)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 2000 {
				key := fmt.Sprint(rand.IntN(10))
				fails := rand.IntN(20) == 0
				e, err := k.borrow(key, func() (*handle, error) {
					if fails {
						return nil, errors.New("x")
					}
					return h.opener(key)()
				})
				if err != nil {
					continue
				}
				e.handle.inside.Add(1)
				if e.handle.key != key {
					t.Errorf("got the handle of %q for %q", e.handle.key, key)
				}
				e.handle.inside.Add(-1)
				k.giveBack(e, rand.IntN(20) != 0)
			}
		})
	}
	wg.Wait()
	if n := len(h.open); n > 5 {
		t.Errorf("%d handles are open; want at most 5", n)
	}
	k.closeAll()
	if n := len(h.open); n != 0 {
		t.Errorf("%d handles are open after the end", n)
	}
}
