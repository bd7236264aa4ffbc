package guard

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flood
		var mu sync.Mutex
		var lines []string
		say := func(line string) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, line)
		}
		comes := func(key string) {
			if f.comes(key, func(times int) { say(fmt.Sprintf("%s again, %d times", key, times)) }) {
				say(key)
			}
		}
		step := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			lines = nil
		}
		// What ends with a window has ended before anything else comes.
		passes := func(d time.Duration) {
			time.Sleep(d) // the bubble's clock
			synctest.Wait()
		}
		for range 1000 {
			comes("a")
		}
		comes("b")
		step("the first of each", "a", "b")
		passes(floodWindow + time.Second)
		step("what came again, and not what came once", "a again, 999 times")
		comes("a")
		comes("b")
		step("it goes on, and something is news", "b")
		passes(floodWindow)
		step("the next window", "a again, 1 times")
		passes(2 * floodWindow)
		comes("a")
		step("after a window without it", "a")
		for i := range 2 * maxFloods {
			comes(fmt.Sprint(i))
		}
		if len(lines) != 2*maxFloods {
			t.Errorf("%d of %d different lines were written", len(lines), 2*maxFloods)
		}
		step("", lines...)
		passes(2 * floodWindow)
		step("nothing came again")
		if len(f.all) != 0 {
			t.Errorf("%d are remembered", len(f.all))
		}
	})
}
