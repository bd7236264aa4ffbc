package guard

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestTurns(t *testing.T) {
	var all turns
	end, err := all.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := all.take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all.take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a turn that somebody else has: %v", err)
	}
	end()

	// One at a time.
	var group sync.WaitGroup
	count := 0
	for range 100 {
		group.Go(func() {
			end, err := all.take(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			defer end()
			count++
		})
	}
	group.Wait()
	if count != 100 {
		t.Errorf("%d turns", count)
	}
}
