//go:build lab

package e2e

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/cephferry/cephferry/test/lab"
)

func TestAnUpgradeThatChangesNothingTouchesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.must(east, team.rendered("install", "db", db, migratable)...)
		team.bound(east, "web-files")
		team.bound(east, "data-db-0")
		before := team.look(east)

		team.must(east, team.rendered("upgrade", "web", web, migratable)...)
		team.must(east, team.rendered("upgrade", "db", db, migratable)...)
		team.volumesUnchanged(east, before)
	})
}

func TestALargerSizeGrowsTheImageAndKeepsTheClaim(t *testing.T) {
	eachHelm(t, func(team *team) {
		for chart, claim := range map[string]string{web: "one-files", db: "data-one-0"} {
			team.must(east, team.rendered("install", "one", chart, migratable)...)
			before := team.bound(east, claim)
			for range 2 { // the second time it is large enough already
				team.must(east, team.rendered("upgrade", "one", chart, migratable, size("2Gi"))...)
				if got, want := team.sizes(east, claim), "claim 1Gi 1Gi, volume 1Gi, image 2048Mi"; got != want {
					team.Errorf("%s: %s; want %s", claim, got, want)
				}
			}
			if after := team.bound(east, claim); after.Claim.UID != before.Claim.UID || after.Volume.UID != before.Volume.UID {
				team.Errorf("%s: the pair was made anew", claim)
			}
			team.must(east, "uninstall", "one")
		}
	})
}

func TestASmallerSizeIsRefusedAndChangesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.must(east, team.rendered("upgrade", "web", web, migratable, size("2Gi"))...)
		before := team.look(east)
		team.refused(east, team.rendered("upgrade", "web", web, migratable, size("512Mi")), fmt.Sprintf(
			"PersistentVolumeClaim %s/web-files: spec.resources.requests[storage]: "+
				"the request is below the volume's size: image %s/%[1]s.web-files has 2Gi, the claim asks for 512Mi; "+
				"images never shrink, so ask for at least 2Gi", team.namespace, lab.Pool))
		team.unchanged(east, before)
	})
}

func TestMoreReplicasGetPairsAndFewerKeepTheirs(t *testing.T) {
	eachHelm(t, func(team *team) {
		upgrade := func(args ...string) {
			team.Helper()
			team.must(east, team.rendered(append([]string{"upgrade", "db", db, migratable}, args...)...)...)
		}
		team.must(east, team.rendered("install", "db", db, migratable)...)
		upgrade(replicas("2"))
		upgrade(replicas("1"))
		team.sameSizes("claim 1Gi 1Gi, volume 1Gi, image 1024Mi", "data-db-0", "data-db-1")

		upgrade(replicas("3"), size("2Gi"))
		team.sameSizes("claim 1Gi 1Gi, volume 1Gi, image 2048Mi", "data-db-0", "data-db-1")
		team.sameSizes("claim 2Gi 2Gi, volume 2Gi, image 2048Mi", "data-db-2")

		upgrade(replicas("0"), size("2Gi"))
		team.sameSizes("claim 1Gi 1Gi, volume 1Gi, image 2048Mi", "data-db-0", "data-db-1")
		set := get[appsv1.StatefulSet](team, east, statefulSets, team.namespace, "db")
		template := set.Spec.VolumeClaimTemplates[0].Spec
		if got := template.Resources.Requests.Storage().String(); got != "1Gi" || *template.StorageClassName != "" || *set.Spec.Replicas != 0 {
			team.Errorf("claim template of size %s and class %q, %d replicas; want 1Gi, none, 0", got, *template.StorageClassName, *set.Spec.Replicas)
		}
	})
}

// A rollback applies what was rendered then; the renderer does not run.
func TestARollbackKeepsVolumesAndImages(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "db", db, migratable)...)
		team.must(east, team.rendered("upgrade", "db", db, migratable, replicas("2"), size("2Gi"))...)
		team.bound(east, "data-db-0")
		team.bound(east, "data-db-1")
		before := team.look(east)
		team.must(east, "rollback", "db", "1")
		team.volumesUnchanged(east, before)
	})
}

func (team *team) sameSizes(want string, claims ...string) {
	team.Helper()
	for _, claim := range claims {
		if got := team.sizes(east, claim); got != want {
			team.Errorf("%s: %s; want %s", claim, got, want)
		}
	}
}

// Helm forgets the renderer from one command to the next.
func TestAnUpgradeWithoutTheRendererFailsAndLosesNothing(t *testing.T) {
	eachHelm(t, func(team *team) {
		team.must(east, team.rendered("install", "web", web, migratable)...)
		team.must(east, team.rendered("install", "db", db, migratable, replicas("2"))...)
		for _, claim := range []string{"web-files", "data-db-0", "data-db-1"} {
			team.bound(east, claim)
		}
		before := team.look(east)

		team.fails(east, "upgrade", "web", web, migratable)
		team.fails(east, "upgrade", "db", db, migratable, replicas("2"))
		team.volumesUnchanged(east, before)

		// With the renderer again, all is as it was.
		team.must(east, team.rendered("upgrade", "web", web, migratable)...)
		team.must(east, team.rendered("upgrade", "db", db, migratable, replicas("2"))...)
		team.volumesUnchanged(east, before)
	})
}
