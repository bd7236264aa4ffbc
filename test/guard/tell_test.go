//go:build lab

package guard

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

// A cluster that lost an image says so at what still uses it, the second time as well, and
// takes it back when that is over.
func TestTheLosingClusterTellsEachTime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	for _, name := range []string{"first", "second"} {
		// On a node of its own: all images of a node have one client, and it is fenced.
		s.Create(east, scene.Pod(name, "data", scene.On(east.Nodes[4])))
		s.Ready(east, name)
		s.Holders("data")
		s.takeOver(west, "data")
		s.Holds(west, "data")

		parts := []string{fmt.Sprintf("volume %s/data (image %s): cluster west owns the image, and pod %s uses it here on node east-", s.Namespace, s.Image("data"), name)}
		s.Event(east, "OwnedElsewhere", "Pod/"+name, parts...)
		s.Event(east, "OwnedElsewhere", "PersistentVolumeClaim/data", parts...)
		s.Eventually("an event at the PersistentVolume", func() error {
			// Those of objects without a namespace are in this one.
			out := s.Kubectl(east, "get", "events", "--namespace=default", "--field-selector=reason=OwnedElsewhere,involvedObject.kind=PersistentVolume,involvedObject.name="+s.Namespace+".data")
			if !strings.Contains(out, parts[0]) {
				return errors.New(out)
			}
			return nil
		})
		for _, object := range []string{"pod/" + name, "pvc/data"} {
			s.Eventually("a condition at "+object, func() error { return contains(s.ownedElsewhere(east, object), parts[0]) })
		}
		if value, err := east.Webhook.Metric("cephferry_volumes_owned_elsewhere"); err != nil || value < 1 {
			t.Errorf("cephferry_volumes_owned_elsewhere is %v: %v", value, err)
		}
		// What others write does not take it away, nor the other way round.
		for _, condition := range []string{"Ready", "PodScheduled"} {
			if got := s.Kubectl(east, "get", "pod/"+name, `-o=jsonpath={.status.conditions[?(@.type=="`+condition+`")].status}`); got == "" {
				t.Errorf("pod %s has no condition %s any more", name, condition)
			}
		}

		s.Kubectl(east, "delete", "pod", name)
		s.Eventually("the claim says nothing", func() error {
			if got := s.ownedElsewhere(east, "pvc/data"); got != "" {
				return errors.New(got)
			}
			return nil
		})
		s.LetsGo(west, "data")
	}
	s.Holds(east, "data")
	if got := s.ownedElsewhere(east, "pod/holder"); got != "" {
		t.Errorf("a pod of the owner says %q", got)
	}
}

// ownedElsewhere is what an object says in that condition, if it is true.
func (s *shop) ownedElsewhere(c *scene.Cluster, object string) string {
	s.Helper()
	return s.Kubectl(c, "get", object, `-o=jsonpath={.status.conditions[?(@.type=="cephferry.io/OwnedElsewhere")].message}`)
}

func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("it is %q", text)
	}
	return nil
}
