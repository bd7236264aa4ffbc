//go:build lab

package outage

import (
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
		Name: "outage", Nodes: lab.Nodes{PerCluster: 2}, Programs: []string{"kubectl", "helm", "postrender", "webhook"},
		Values: map[string]string{lab.East: "guard.scope=all,guard.scale.enabled=false", lab.West: "replicas=1"},
	}, func(s *scene.Scene) error {
		stage, storage, east, west = s, s.Ceph, s.East, s.West
		return nil
	})
}

// shop is a namespace of one test, with the words of these tests.
type shop struct{ *scene.Shop }

func newShop(t *testing.T) *shop {
	t.Helper()
	return &shop{stage.Shop(t)}
}
