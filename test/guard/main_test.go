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

// prepare keeps pods from the nodes that are for accidents, and makes the kinds of
// definitions.
func prepare(ctx context.Context, c *scene.Cluster) error {
	for _, node := range c.Nodes[min(2, len(c.Nodes)):] {
		if _, err := c.Run(ctx, "taint", "node", node.Name, "accidents=true:NoSchedule"); err != nil {
			return err
		}
	}
	return c.Apply(ctx, definitions)
}

// definitions are two kinds with a scale subresource. The chart lets the webhook
// in west read the first one.
const definitions = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: databases, singular: database, kind: Database}
  versions: [{name: v1, served: true, storage: true, subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}},
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {size: {type: integer}}},
      status: {type: object, properties: {size: {type: integer}}}}}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: hiddens.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: hiddens, singular: hidden, kind: Hidden}
  versions: [{name: v1, served: true, storage: true, subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}},
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {size: {type: integer}}},
      status: {type: object, properties: {size: {type: integer}}}}}}}]
`
