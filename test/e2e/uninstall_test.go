//go:build lab

package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnUninstallKeepsTheImageAndAReinstallFindsIt(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.bound(east, "web-files")
		before := team.look(east)
		team.must(east, "uninstall", "web")
		team.gone(east)

		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.bound(east, "web-files")
		if diff := cmp.Diff(before.Images, team.look(east).Images); diff != "" {
			team.Errorf("the image is another one (-before +after):\n%s", diff)
		}
	})
}

func TestAnUninstallKeepsThePairsOfAStatefulSet(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "db", db, migratable, replicas("2"))...)
		team.bound(east, "data-db-0")
		team.bound(east, "data-db-1")
		before := team.look(east)
		team.must(east, "uninstall", "db")
		after := team.look(east)
		if len(after.Releases) > 0 {
			team.Errorf("releases after uninstall: %v", after.Releases)
		}
		team.volumesUnchanged(east, before)

		team.must(east, team.rendered("install", "db", db, migratable, replicas("2"))...)
		team.volumesUnchanged(east, before)
	})
}

// gone waits until the namespace has neither claims nor volumes.
func (team *team) gone(c *cluster) {
	team.Helper()
	for deadline := time.Now().Add(bindLimit); ; time.Sleep(pollInterval) {
		seen := team.look(c)
		if len(seen.Claims) == 0 && len(seen.Volumes) == 0 {
			return
		}
		if time.Now().After(deadline) {
			team.Fatalf("after %s there are still claims %v and volumes %v", bindLimit, seen.Claims, seen.Volumes)
		}
	}
}
