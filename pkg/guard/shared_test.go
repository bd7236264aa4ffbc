package guard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks shared[int]
		begun, proceed := 0, make(chan struct{})
		look := func(ctx context.Context) (int, error) {
			begun++
			select {
			case <-proceed:
				return begun, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		type found struct {
			number int
			err    error
		}
		ask := func(ctx context.Context, key string) chan found {
			answer := make(chan found, 1)
			go func() {
				number, err := looks.do(ctx, key, look)
				answer <- found{number, err}
			}()
			synctest.Wait()
			return answer
		}
		first, cancel := context.WithCancel(t.Context())
		gone, joined := ask(first, "data"), ask(t.Context(), "data")
		cancel()
		if got := <-gone; !errors.Is(got.err, context.Canceled) {
			t.Errorf("who has gone gets %+v", got)
		}
		close(proceed)
		if got := <-joined; got != (found{1, nil}) {
			t.Errorf("who joined gets %+v", got)
		}
		if got := <-ask(t.Context(), "data"); got != (found{2, nil}) {
			t.Errorf("who comes later gets %+v", got)
		}

		proceed = make(chan struct{})
		if got := <-ask(t.Context(), "data"); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("a look without an end gives %+v", got)
		}
	})
}
