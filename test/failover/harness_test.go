//go:build lab

package failover

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
		Name: "failover", Nodes: lab.Nodes{PerCluster: 4}, Programs: []string{"kubectl", "kubectl-cephferry", "helm", "webhook"},
		Values:  map[string]string{lab.East: "guard.scope=migratable", lab.West: "guard.scope=migratable"},
		Prepare: deployment,
	}, func(s *scene.Scene) error {
		stage = s
		path = strings.Join([]string{
			filepath.Dir(s.Programs["kubectl"]), filepath.Dir(s.Programs["kubectl-cephferry"]), filepath.Dir(s.Programs["helm"]), "/usr/bin", "/bin",
		}, ":")
		return nil
	})
}

// deployment puts the webhook's Deployment into the cluster, without pods: the webhook
// runs beside it.
func deployment(ctx context.Context, c *scene.Cluster) error {
	return c.Apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: cephferry-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cephferry, namespace: cephferry-system, labels: {app.kubernetes.io/name: cephferry}}
spec:
  replicas: 0
  selector: {matchLabels: {app: cephferry}}
  template:
    metadata: {labels: {app: cephferry}}
    spec:
      containers:
      - name: webhook
        image: none
        args: [--cluster-name=%s, --scope=migratable, --ceph-secret=rook-ceph/rook-csi-rbd-node, --webhook-port=9443]
`, c.Name))
}
