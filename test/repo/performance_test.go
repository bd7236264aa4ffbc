package repo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cephferry/cephferry/test/bench/document"
)

// TestPerformanceIsOfThisCode: figures that were measured with other code than this one
// mislead whoever looks for what got slower.
func TestPerformanceIsOfThisCode(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	published, err := document.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(published.Marks()) == 0 {
		t.Fatal("docs/performance.md has no tables")
	}
	for _, mark := range published.Marks() {
		now, err := document.Hash(root, mark.Code)
		switch {
		case err != nil:
			t.Errorf("table %q of docs/performance.md: %v", mark.Title, err)
		case mark.Title == "":
			t.Errorf("docs/performance.md has no table of part %s yet: measure it with make bench-write PART=%s", mark.Part, mark.Part)
		case mark.Measured != now:
			t.Errorf("table %q of docs/performance.md is older than its code (%q, now %s): measure it anew with make bench-write PART=%s",
				mark.Title, mark.Measured, now, mark.Part)
		}
	}
}
