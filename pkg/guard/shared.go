package guard

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"
)

// sharedLimit bounds a shared look: whoever began it has gone by then, and whoever joined
// it waits no longer than its own request may.
const sharedLimit = 5 * time.Second

// shared lets requests that need the same look at the same time have one. A workload whose
// pods are refused asks often.
//
// What is found may be older than the request, by as much as a look takes. So refusals
// rest on it, and never an acquisition.
type shared[T any] struct{ group singleflight.Group }

// do returns what look finds, or the error of ctx if that ends first.
func (s *shared[T]) do(ctx context.Context, key string, look func(context.Context) (T, error)) (T, error) {
	found := s.group.DoChan(key, func() (any, error) {
		// The look must not end with the request that began it: others have joined it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedLimit)
		defer cancel()
		return look(ctx)
	})
	var none T
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case result := <-found:
		if result.Err != nil {
			return none, result.Err
		}
		return result.Val.(T), nil
	}
}
