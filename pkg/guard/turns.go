package guard

import (
	"context"
	"sync"
)

// turns are locks by name that wait no longer than their caller does. The zero value
// is ready.
type turns struct{ locks sync.Map }

// take returns when nobody else has the name, and how to give it back.
func (t *turns) take(ctx context.Context, name string) (end func(), err error) {
	value, known := t.locks.Load(name)
	if !known {
		value, _ = t.locks.LoadOrStore(name, make(chan struct{}, 1))
	}
	lock := value.(chan struct{})
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
