//go:build lab

package provisioner

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
	programs   struct{ helm, helm4, postrender string }
)

func TestMain(m *testing.M) {
	scene.Main(m, scene.Setup{
		Name: "provisioner", Nodes: lab.Nodes{PerCluster: 2}, Rook: map[string]lab.Rook{lab.West: otherNames},
		Programs: []string{"kubectl", "kubectl-cephferry", "helm", "helm4", "webhook", "postrender", "csi-driver", "csi-resizer"},
		Values:   map[string]string{lab.East: "replicas=1" + ownClasses("ceph-block", "ceph-filesystem"), lab.West: "replicas=1" + valuesForOtherNames + ownClasses(otherNames.BlockClass, otherNames.FilesystemClass)},
		Prepare:  withDeployment,
		Parallel: 8, Denied: []string{othersSecret},
	}, func(s *scene.Scene) error {
		stage, storage, east, west = s, s.Ceph, s.East, s.West
		programs.helm, programs.helm4, programs.postrender = s.Programs["helm"], s.Programs["helm4"], s.Programs["postrender"]
		return nil
	})
}

// withDeployment makes the webhook's Deployment, in which the plugin finds how Ceph is reached.
func withDeployment(ctx context.Context, c *scene.Cluster) error {
	flags := []string{"--ceph-secret=rook-ceph/rook-csi-rbd-node"}
	if c.Name == lab.West {
		flags = []string{"--ceph-config-namespace=storage-operator", "--ceph-secret=storage/ceph-user-rbd-node"}
	}
	return scene.Deployment(flags...)(ctx, c)
}
