//go:build lab

package guard

import (
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/scene"
)

// shop is a namespace of one test, with the words of these tests.
type shop struct{ *scene.Shop }

func newShop(t *testing.T) *shop {
	t.Helper()
	return &shop{stage.Shop(t)}
}

// unchanged looks at all objects of the namespace that a refusal could have
// changed, and returns a check that they are the same.
func (s *shop) unchanged(c *scene.Cluster) (check func()) {
	s.Helper()
	look := func() (versions string) {
		s.Helper()
		s.Eventually("controllers to have seen what is in "+c.Name, func() (err error) {
			versions, err = c.Versions(s.Context(), s.Namespace, "pods", "replicationcontrollers", "deployments", "replicasets", "statefulsets",
				"daemonsets", "jobs", "cronjobs", "services", "horizontalpodautoscalers", "persistentvolumeclaims", "databases", "hiddens")
			return err
		})
		for _, known := range [][2]string{{"namespaces", s.Namespace}, {"persistentvolumes", s.Namespace + ".data"}} {
			object, err := c.Get(s.Context(), "", known[0], known[1])
			if err != nil {
				s.Fatal(err)
			}
			if object != nil {
				versions += known[1] + " " + object.GetResourceVersion() + "\n"
			}
		}
		return versions
	}
	before := look()
	return func() {
		s.Helper()
		if after := look(); after != before {
			s.Errorf("something changed in %s:\n%s\nbefore:\n%s", c.Name, after, before)
		}
	}
}

// takeOver does by hand what `kubectl cephferry failover` does: it fences those that
// the record names, and gives the image to the cluster.
func (s *shop) takeOver(c *scene.Cluster, claim string) {
	s.Helper()
	image, err := s.Admin().Image(s.Context(), s.Spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	ann := ownership.Taker{Cluster: s.Party(c), By: "ann", Now: time.Now()}
	begun, err := ownership.Change(s.Context(), s.Admin(), image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.BeginFence(stored, ann)
	})
	if err != nil {
		s.Fatal(err)
	}
	for _, client := range begun.Owner.Instances() {
		if _, err := s.Ceph.Run(s.Context(), "osd", "blocklist", "add", client, "36000"); err != nil {
			s.Fatal(err)
		}
	}
	s.Free(claim)
	if _, err := ownership.Change(s.Context(), s.Admin(), image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.FinishFence(stored, begun, ann, s.Namespace, claim, begun.Owner.Instances())
	}); err != nil {
		s.Fatal(err)
	}
}

// waits is what kubectl shows when a workload is created whose pods are refused with that
// text, of one volume.
func (s *shop) waits(workload, text string) string {
	s.Helper()
	lines := strings.Split(text, "\n")
	holder, ok := strings.CutPrefix(lines[1], "  held by ")
	if !ok {
		s.Fatalf("%q does not say who holds the volume", text)
	}
	return "Warning: the pods of " + workload + " wait: " + lines[0] + ", held by " + strings.TrimSpace(holder)
}
