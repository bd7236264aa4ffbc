//go:build lab

package failover

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// What all tests share. It is set before the first of them.
var (
	stage *scene.Scene
	// path leads to kubectl, its plugin and Helm.
	path string
)

func TestMain(m *testing.M) {
	scene.Main(m, scene.Setup{
		Name: "failover", Nodes: lab.Nodes{PerCluster: 5}, Programs: []string{"kubectl", "kubectl-cephferry", "helm", "webhook"},
		Values:  map[string]string{lab.East: "guard.scope=migratable", lab.West: "guard.scope=migratable"},
		Prepare: scene.Deployment("--scope=migratable", "--ceph-secret=rook-ceph/rook-csi-rbd-node", "--webhook-port=9443"),
	}, func(s *scene.Scene) error {
		stage = s
		path = strings.Join([]string{
			filepath.Dir(s.Programs["kubectl"]), filepath.Dir(s.Programs["kubectl-cephferry"]), filepath.Dir(s.Programs["helm"]), "/usr/bin", "/bin",
		}, ":")
		return s.Ceph.KeepWatches(context.Background(), 15*time.Second)
	})
}
