package count

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for n, want := range map[int]string{0: "0 volumes", 1: "1 volume", 2: "2 volumes", 21: "21 volumes"} {
		if got := Of(n, "volume"); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

func TestFew(t *testing.T) {
	for names, want := range map[string]string{"": "", "a": "a", "a b": "a, b", "a b c": "a, b and 1 other", "a b c d": "a, b and 2 others"} {
		if got := Few(strings.Fields(names), 2); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
