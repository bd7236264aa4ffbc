package goceph

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// maxCalls is how many calls may be inside one connection. Each occupies a thread, or as many
// as it asks at a time: a look two, who looks for the names of an image eight.
const maxCalls = 64

// calls lets calls into one handle, and closes the handle when the last one has
// left it.
type calls struct {
	// wait is how long a caller waits for a call.
	wait  time.Duration
	slots chan struct{}
	// release closes the handle. It is called once.
	release  func()
	released chan struct{}

	mu                sync.Mutex
	inside, abandoned int
	closed            bool
}

// visit is one call inside; its fields belong to calls.mu.
type visit struct{ abandoned, over bool }

func newCalls(wait time.Duration, release func()) *calls {
	return &calls{
		wait:     wait,
		slots:    make(chan struct{}, maxCalls),
		release:  release,
		released: make(chan struct{}),
	}
}

// call runs f, which may block for ever, and waits for it as long as ctx and the
// bound of c allow. When call stops waiting, f goes on, and its result is lost.
func call[T any](ctx context.Context, c *calls, f func() (T, error)) (T, error) {
	var none T
	bounded, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	if err := c.enter(ctx, bounded); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	var v visit
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
		c.leave(&v)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-bounded.Done():
		c.abandon(&v)
		return none, stoppedWaiting(ctx)
	}
}

// stoppedWaiting is the error of a caller that does not wait any longer.
func stoppedWaiting(ctx context.Context) error {
	err := ended(ctx)
	switch {
	case err == nil:
		return ceph.ErrUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ceph.ErrUnreachable, err)
	default:
		return err
	}
}

// ended is the error of a context that has ended: ErrUnreachable when that is why,
// see managed.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, ceph.ErrUnreachable) {
		return cause
	}
	return ctx.Err()
}

// enter takes a slot. While all slots are taken by calls that somebody waits
// for, it waits for one as well; when nobody waits for any of them, Ceph has
// stopped answering, and one more call would only be one more thread.
func (c *calls) enter(ctx, bounded context.Context) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	c.mu.Lock()
	closed, stuck := c.closed, c.abandoned == maxCalls
	c.mu.Unlock()
	if closed {
		return fs.ErrClosed
	}
	if stuck {
		return fmt.Errorf("%w: %d earlier calls have not returned", ceph.ErrUnreachable, maxCalls)
	}
	select {
	case c.slots <- struct{}{}:
	case <-bounded.Done():
		return stoppedWaiting(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		<-c.slots
		return fs.ErrClosed
	}
	c.inside++
	return nil
}

// abandon notes that nobody waits for a call any more.
func (c *calls) abandon(v *visit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !v.over {
		v.abandoned = true
		c.abandoned++
	}
}

// leave notes that a call has returned.
func (c *calls) leave(v *visit) {
	c.mu.Lock()
	v.over = true
	if v.abandoned {
		c.abandoned--
	}
	c.inside--
	last := c.closed && c.inside == 0
	c.mu.Unlock()
	<-c.slots
	if last {
		c.free()
	}
}

func (c *calls) free() {
	c.release()
	close(c.released)
}

// closeLater lets no further call in. The handle is closed when nobody is inside.
func (c *calls) closeLater() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && c.inside == 0 {
		go c.free()
	}
	c.closed = true
}

// close is closeLater and waits, bounded. When calls are still inside then, it
// returns ErrUnreachable, and the last of them closes the handle.
func (c *calls) close() error {
	c.closeLater()
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	select {
	case <-c.released:
		return nil
	case <-timer.C:
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Errorf("close connection: calls that have not returned: %d: %w", c.inside, ceph.ErrUnreachable)
	}
}
