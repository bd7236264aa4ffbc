//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/scene"
)

const (
	// onePair is for an installation that begins with no replicas.
	onePair    = `--set-string=persistence.annotations.cephferry\.io/replicas=1`
	noReplicas = "--set=replicas=0"
)

// The story of the README, from the first installation to the day on which the
// database has moved.
func TestAWorkloadMovesWhenTheOtherClusterIsDoneAndNotBefore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Must(s.Rendered(east, "install", "db", scene.ChartDB, scene.Migratable))
	s.Ready(east, "db-0")
	s.Grows("data-db-0")
	s.Must(s.Rendered(west, "install", "db", scene.ChartDB, scene.Migratable, onePair, noReplicas))
	s.Bound(west, "data-db-0")

	unchanged := s.unchanged(west)
	s.Refused(s.Run(west, "", "scale", "statefulset/db", "--replicas=1"), scene.Forbidden("scale", s.InUse("data-db-0")))
	unchanged()
	s.Eventually("the refusal to name the pod", func() error {
		r := s.Run(west, "", "scale", "statefulset/db", "--replicas=1")
		if want := "  pod there       " + s.Namespace + "/db-0 on node east-"; !strings.Contains(r.Stderr, want) {
			return fmt.Errorf("%q is not in %s", want, r.Stderr)
		}
		return nil
	})
	holder := s.Watchers("data-db-0")[0].Host()
	if holder != east.Nodes[0].Address && holder != east.Nodes[1].Address {
		t.Errorf("the refusal names %s, want a node of east", holder)
	}
	s.Event(west, "VolumeInUse", "StatefulSet/db", s.InUse("data-db-0"))
	s.Grows("data-db-0")

	s.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	begin := time.Now()
	s.Released(east, "data-db-0")
	s.Kubectl(west, "scale", "statefulset/db", "--replicas=1")
	t.Logf("west may start %s after the scale-down in east", time.Since(begin).Round(time.Millisecond))
	s.Ready(west, "db-0")
	t.Logf("west runs %s after the scale-down in east", time.Since(begin).Round(time.Millisecond))
	s.Wrote("data-db-0", east, west)

	// And back: in east only the pods' endpoint guards.
	s.Kubectl(east, "scale", "statefulset/db", "--replicas=1")
	s.Event(east, "FailedCreate", "StatefulSet/db", s.InUseOf(east, "data-db-0"))
	s.Kubectl(west, "scale", "statefulset/db", "--replicas=0")
	s.Ready(east, "db-0")
	s.Wrote("data-db-0", east, west, east)
}
