//go:build lab

package provisioner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheTutorials carries out docs/tutorials.md: the release of a chart, and manifests in Git.
func TestTheTutorials(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	dir := t.TempDir()
	blocks := tm.blocks("tutorials.md", 8)
	helm, git := blocks[:4], blocks[4:]
	run := func(commands string) string {
		t.Helper()
		out, err := tm.shell(dir, commands)
		if err != nil {
			t.Fatalf("%v: %s\n%s", err, out, commands)
		}
		return out
	}

	charts, err := filepath.Abs("../../testdata/charts")
	tm.must(err)
	tm.must(os.Symlink(filepath.Join(charts, "db"), filepath.Join(dir, "chart")))
	tm.must(os.Symlink(filepath.Dir(programs.helm), filepath.Join(dir, "bin")))
	tm.must(os.WriteFile(filepath.Join(dir, "values.yaml"), []byte("{persistence: {size: 16Mi}}"), 0o600))
	run(helm[0])
	before := tm.last([]string{"data-db-0"})
	run(helm[1])
	if out := run(helm[2]); !strings.Contains(out, "Nothing ran for") {
		t.Errorf("the move does not say for how long nothing ran: %s", out)
	}
	tm.goesOn(before, east, west)
	run(helm[3])
	tm.Grows("data-db-0")

	run(git[0])
	run(git[1])
	before = tm.last([]string{"data-ledger-0"})
	run(git[2])
	run(git[3])
	tm.goesOn(before, east, west)
}
