package version

import "testing"

func TestString(t *testing.T) {
	if got := String(); got == "" {
		t.Error("a program without a version")
	}
	build = "1.2.3"
	t.Cleanup(func() { build = "" })
	if got := String(); got != "1.2.3" {
		t.Errorf("got %q; want what the linker set", got)
	}
}
