//go:build lab

package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/test/scene"
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

// Helm uninstalls the manifest of the last revision, also of one that failed, and
// one without the renderer has no volume in it. A claim of that name cannot be
// bound to the volume again, because the volume is reserved for the claim that
// is gone.
func TestAVolumeLeftBehindByAnUnrenderedRevisionIsInTheWayUntilItIsDeleted(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable)...)
		name := team.bound(east, "web-files").Volume.Name
		before := team.look(east)
		team.fails(east, "upgrade", "web", web, migratable)
		team.must(east, "uninstall", "web")
		scene.Until(team.T, "the volume is released", func() bool {
			return get[corev1.PersistentVolume](team, east, volumes, "", name).Status.Phase == corev1.VolumeReleased
		})

		if _, err := east.Run(team.Context(), "delete", "persistentvolume", name); err != nil {
			team.Fatal(err)
		}
		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.bound(east, "web-files")
		if diff := cmp.Diff(before.Images, team.look(east).Images); diff != "" {
			team.Errorf("the image is another one (-before +after):\n%s", diff)
		}
	})
}

// gone waits until the namespace has neither claims nor volumes.
func (team *team) gone(c *cluster) {
	team.Helper()
	scene.Until(team.T, "claims and volumes are gone", func() bool {
		seen := team.look(c)
		return len(seen.Claims) == 0 && len(seen.Volumes) == 0
	})
}
