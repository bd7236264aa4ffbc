package count

import "testing"

func TestOf(t *testing.T) {
	for n, want := range map[int]string{0: "0 volumes", 1: "1 volume", 2: "2 volumes", 21: "21 volumes"} {
		if got := Of(n, "volume"); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
