//go:build lab

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// West has ceph-csi's configuration in the other of its two forms.
func TestTheSameInstallInASecondClusterUsesTheSameImages(t *testing.T) {
	eachHelm(t, func(team *team) {
		install := func(c *cluster) {
			team.Helper()
			team.must(c, team.rendered("install", "web", web, migratable)...)
			team.must(c, team.rendered("install", "db", db, migratable, replicas("2"))...)
		}
		install(east)
		before := team.look(east)
		install(west)
		for _, claim := range []string{"web-files", "data-db-0", "data-db-1"} {
			there, here := team.bound(east, claim), team.bound(west, claim)
			there.Volume.Spec.ClaimRef, here.Volume.Spec.ClaimRef = nil, nil
			if diff := cmp.Diff(there.Volume.Spec, here.Volume.Spec); diff != "" {
				team.Errorf("volume of %s (-east +west):\n%s", claim, diff)
			}
		}
		if diff := cmp.Diff(before.Images, team.look(west).Images); diff != "" {
			team.Errorf("images (-before +after):\n%s", diff)
		}
	})
}

// An image that was grown in one cluster still has the claim size of the other.
func TestASecondClusterKeepsTheRecordedSizeOfAGrownImage(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "db", db, migratable)...)
		team.must(west, team.rendered("install", "db", db, migratable, size("2Gi"))...)
		for _, c := range []*cluster{east, west} {
			if got, want := team.sizes(c, "data-db-0"), "claim 1Gi 1Gi, volume 1Gi, image 2048Mi"; got != want {
				team.Errorf("in %s: %s; want %s", c.Name, got, want)
			}
		}
		team.must(east, team.rendered("upgrade", "db", db, migratable, size("2Gi"))...)
	})
}

// That an image belongs to one claim is kept by Helm: the volume is called like
// the image, and has one owner.
func TestASecondReleaseOnTheSameImageIsRefused(t *testing.T) {
	eachHelm(t, func(team *team) {
		name := imageName(team.namespace + ".orders")
		team.must(east, team.rendered("install", "first", web, migratable, name)...)
		team.bound(east, "first-files")
		before := team.look(east)

		got := team.fails(east, team.rendered("install", "second", web, migratable, name)...)
		for _, want := range []string{
			`PersistentVolume "` + team.namespace + `.orders"`,
			"exists and cannot be imported into the current release",
			`must equal "second": current value is "first"`,
		} {
			if !strings.Contains(got, want) {
				team.Errorf("%q is not in:\n%s", want, got)
			}
		}
		team.volumesUnchanged(east, before)
		team.bound(east, "first-files")
	})
}
