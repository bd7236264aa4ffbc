//go:build lab

package failover

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// shop is a namespace of one test, with the words of these tests.
type shop struct {
	*scene.Shop
	east, west *scene.Cluster
}

func newShop(t *testing.T) *shop {
	t.Helper()
	return &shop{stage.Shop(t), stage.East, stage.West}
}

func (s *shop) apply(c *scene.Cluster, manifests string) {
	s.Helper()
	if err := c.Apply(s.Context(), manifests); err != nil {
		s.Fatal(err)
	}
}

// volume makes an image without exclusive-lock, so that nothing but the fence keeps
// its old writer away, and the pair in both clusters.
func (s *shop) volume(claim string) {
	s.Helper()
	s.MakeImage(claim, "layering")
	name := "metadata: {name: " + s.Namespace + "." + claim
	s.Pair(claim, []string{name, name + `, annotations: {cephferry.io/migratable: "true"}`}, s.east, s.west)
}

// starts makes a pod on a node that has the claim open, and returns when it writes.
func (s *shop) starts(c *scene.Cluster, node *lab.Node, name, claim string) {
	s.Helper()
	s.apply(c, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: %s}
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: none}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]
`, name, s.Namespace, node.Name, claim))
	s.Ready(c, name)
	s.Grows(claim)
}

// deletes takes a pod away, and waits until nobody has the claim open.
func (s *shop) deletes(c *scene.Cluster, name, claim string) {
	s.Helper()
	if _, err := c.Run(s.Context(), "delete", "pod", name, "-n", s.Namespace); err != nil {
		s.Fatal(err)
	}
	s.Free(claim)
}

// owns waits until the cluster's webhook has written into the record that the image is
// its own, on that node, and by those clients that have it open, or had it open a moment before.
func (s *shop) owns(c *scene.Cluster, node *lab.Node, claim string) {
	s.Helper()
	boot := s.bootID(c, node)
	s.Eventually("the record of "+claim+" names "+c.Name, func() error {
		record := s.Record(claim)
		watchers := s.Watchers(claim)
		unknown := func(w scene.Watcher) bool { return !slices.Contains(record.Owner.Instances(), w.Address) }
		if record.State != ceph.Held || record.Owner.Name != c.Name ||
			len(record.Owner.Nodes) != 1 || record.Owner.Nodes[0].BootID != boot || !cmp.Equal(record.Owner.Nodes[0].Addresses, []string{node.Address}) ||
			len(watchers) == 0 || slices.ContainsFunc(watchers, unknown) || len(record.Unbound) > 0 {
			return fmt.Errorf("it says %s, %+v", record.State, record.Owner)
		}
		return nil
	})
}

// releases waits until the owner's webhook has given the image up.
func (s *shop) releases(claim string) {
	s.Helper()
	s.Eventually("the record of "+claim+" names nobody", func() error {
		if record := s.Record(claim); record.State != ceph.Free {
			return fmt.Errorf("it says %s, %+v", record.State, record.Owner)
		}
		return nil
	})
}

func (s *shop) bootID(c *scene.Cluster, node *lab.Node) string {
	s.Helper()
	out, err := c.Run(s.Context(), "get", "node", node.Name, "-o=jsonpath={.status.nodeInfo.bootID}")
	if err != nil || len(out) == 0 {
		s.Fatalf("node %s has bootID %q, %v", node.Name, out, err)
	}
	return string(out)
}
