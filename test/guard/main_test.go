//go:build lab

package guard

import (
	"context"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// What all tests share. It is set before the first of them.
var (
	stage      *scene.Scene
	storage    *lab.Ceph
	east, west *scene.Cluster
)

func TestMain(m *testing.M) {
	scene.Main(m, scene.Setup{
		Name: "guard", Nodes: lab.Nodes{PerCluster: 5}, Programs: []string{"kubectl", "helm", "postrender", "webhook"},
		Values: map[string]string{
			lab.East: "guard.scope=all,guard.scale.enabled=false",
			lab.West: "guard.customResources[0].apiGroups[0]=example.com,guard.customResources[0].resources[0]=databases",
		},
		Prepare: prepare, Parallel: 12,
	}, func(s *scene.Scene) error {
		stage, storage, east, west = s, s.Ceph, s.East, s.West
		return nil
	})
}

// prepare keeps pods from the nodes that are for accidents, and makes two kinds that can be
// scaled.
func prepare(ctx context.Context, c *scene.Cluster) error {
	for _, node := range c.Nodes[min(2, len(c.Nodes)):] {
		if _, err := c.Run(ctx, "taint", "node", node.Name, "accidents=true:NoSchedule"); err != nil {
			return err
		}
	}
	// The chart lets the webhook in west read the first one.
	return c.Apply(ctx, scene.Definition("Database")+scene.Definition("Hidden"))
}
