//go:build lab

package guard

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A cluster that lost an image says so at what still uses it, the second time as well, and
// takes it back when that is over.
func TestTheLosingClusterTellsEachTime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	for _, name := range []string{"first", "second"} {
		s.create(east, pod(name, "data"))
		s.ready(east, name)
		s.holders("data")
		s.takeOver(west, "data")
		s.holds(west, "data")

		parts := []string{fmt.Sprintf("volume %s/data (image %s): cluster west owns the image, and pod %s has it here on node east-", s.namespace, s.image("data"), name)}
		s.event(east, "OwnedElsewhere", "Pod/"+name, parts...)
		s.event(east, "OwnedElsewhere", "PersistentVolumeClaim/data", parts...)
		s.eventually("an event at the PersistentVolume", func() error {
			// Those of objects without a namespace are in this one.
			out := s.kubectl(east, "get", "events", "--namespace=default", "--field-selector=reason=OwnedElsewhere,involvedObject.kind=PersistentVolume,involvedObject.name="+s.namespace+".data")
			if !strings.Contains(out, parts[0]) {
				return errors.New(out)
			}
			return nil
		})
		for _, object := range []string{"pod/" + name, "pvc/data"} {
			s.eventually("a condition at "+object, func() error { return contains(s.ownedElsewhere(east, object), parts[0]) })
		}
		if value, err := east.guard.Metric("cephferry_volumes_owned_elsewhere"); err != nil || value < 1 {
			t.Errorf("cephferry_volumes_owned_elsewhere is %v: %v", value, err)
		}
		// What others write does not take it away, nor the other way round.
		for _, condition := range []string{"Ready", "PodScheduled"} {
			if got := s.kubectl(east, "get", "pod/"+name, `-o=jsonpath={.status.conditions[?(@.type=="`+condition+`")].status}`); got == "" {
				t.Errorf("pod %s has no condition %s any more", name, condition)
			}
		}

		s.kubectl(east, "delete", "pod", name)
		s.eventually("the claim says nothing", func() error {
			if got := s.ownedElsewhere(east, "pvc/data"); got != "" {
				return errors.New(got)
			}
			return nil
		})
		s.letsGo(west, "data")
	}
	s.holds(east, "data")
	if got := s.ownedElsewhere(east, "pod/holder"); got != "" {
		t.Errorf("a pod of the owner says %q", got)
	}
}

// ownedElsewhere is what an object says in that condition, if it is true.
func (s *shop) ownedElsewhere(c *cluster, object string) string {
	s.Helper()
	return s.kubectl(c, "get", object, `-o=jsonpath={.status.conditions[?(@.type=="cephferry.io/OwnedElsewhere")].message}`)
}

func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("it is %q", text)
	}
	return nil
}
