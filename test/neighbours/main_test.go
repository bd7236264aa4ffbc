//go:build neighbours

package neighbours

import (
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// migratable is the class that people name.
const migratable = "migratable"

// What all tests share. It is set before the first of them.
var (
	stage      *scene.Scene
	east, west *scene.Cluster
)

func TestMain(m *testing.M) {
	values := "replicas=1,classes[0].name=" + migratable + ",classes[0].from=ceph-block"
	scene.Main(m, scene.Setup{
		Name: "neighbours", Nodes: lab.Nodes{PerCluster: 2},
		Programs: []string{"kubectl", "helm", "webhook", "postrender", "cloudnative-pg", "helm-controller", "argocd"},
		Values:   map[string]string{lab.East: values, lab.West: values},
		Parallel: 4,
	}, func(s *scene.Scene) error {
		stage, east, west = s, s.East, s.West
		return nil
	})
}
