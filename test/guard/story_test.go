//go:build lab

package guard

import (
	"testing"
	"time"
)

// The sample charts, and the values that they take.
const (
	db         = "../../testdata/charts/db"
	web        = "../../testdata/charts/web"
	migratable = `--set-string=persistence.annotations.cephferry\.io/migratable=true`
	// onePair is for an installation that begins with no replicas.
	onePair    = `--set-string=persistence.annotations.cephferry\.io/replicas=1`
	noReplicas = "--set=replicas=0"
)

// The story of the README, from the first installation to the day on which the
// database has moved.
func TestAWorkloadMovesWhenTheOtherClusterIsDoneAndNotBefore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.must(s.helm(east, "install", "db", db, migratable))
	s.ready(east, "db-0")
	s.grows("data-db-0")
	s.must(s.helm(west, "install", "db", db, migratable, onePair, noReplicas))
	s.bound(west, "data-db-0")

	unchanged := s.unchanged(west)
	s.refused(s.run(west, "", "scale", "statefulset/db", "--replicas=1"), forbidden("scale", s.inUse("data-db-0")))
	unchanged()
	holder := s.watchers("data-db-0")[0].host()
	if holder != east.Nodes[0].Address && holder != east.Nodes[1].Address {
		t.Errorf("the refusal names %s, want a node of east", holder)
	}
	s.event(west, "VolumeInUse", "StatefulSet/db", s.inUse("data-db-0"))
	s.grows("data-db-0")

	s.kubectl(east, "scale", "statefulset/db", "--replicas=0")
	begin := time.Now()
	s.released(east, "data-db-0")
	s.kubectl(west, "scale", "statefulset/db", "--replicas=1")
	t.Logf("west may start %s after the scale-down in east", time.Since(begin).Round(time.Millisecond))
	s.ready(west, "db-0")
	t.Logf("west runs %s after the scale-down in east", time.Since(begin).Round(time.Millisecond))
	s.wrote("data-db-0", east, west)

	// And back: in east only the pods' endpoint guards.
	s.kubectl(east, "scale", "statefulset/db", "--replicas=1")
	s.event(east, "FailedCreate", "StatefulSet/db", s.inUseOf(east, "data-db-0"))
	s.kubectl(west, "scale", "statefulset/db", "--replicas=0")
	s.ready(east, "db-0")
	s.wrote("data-db-0", east, west, east)
}
