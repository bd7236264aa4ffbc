package guard

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flood
		var lines []string
		comes := func(key string) {
			if f.comes(key, func(times int) { lines = append(lines, fmt.Sprintf("%s again, %d times", key, times)) }) {
				lines = append(lines, key)
			}
		}
		step := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			lines = nil
		}
		for range 1000 {
			comes("a")
		}
		comes("b")
		step("the first of each", "a", "b")
		time.Sleep(floodWindow + time.Second) // the bubble's clock
		step("what came again, and not what came once", "a again, 999 times")
		comes("a")
		comes("b")
		step("it goes on, and something is news", "b")
		time.Sleep(floodWindow)
		step("the next window", "a again, 1 times")
		time.Sleep(2 * floodWindow)
		comes("a")
		step("after a window without it", "a")
		for i := range 2 * maxFloods {
			comes(fmt.Sprint(i))
		}
		if len(lines) != 2*maxFloods {
			t.Errorf("%d of %d different lines were written", len(lines), 2*maxFloods)
		}
		lines = nil
		time.Sleep(2 * floodWindow)
		step("nothing came again")
		if len(f.all) != 0 {
			t.Errorf("%d are remembered", len(f.all))
		}
	})
}
