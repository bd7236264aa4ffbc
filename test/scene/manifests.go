//go:build lab

package scene

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/test/lab"
)

// The sample charts, and a value that they take.
const (
	ChartDB    = "../../testdata/charts/db"
	ChartWeb   = "../../testdata/charts/web"
	Migratable = `--set-string=persistence.annotations.cephferry\.io/migratable=true`
)

// MakeImage makes the image of a claim, see [Storage.Create].
func (s *Shop) MakeImage(claim string, features ...string) {
	s.Helper()
	if err := s.Ceph.Create(s.Spec(claim), 16<<20, features...); err != nil {
		s.Fatal(err)
	}
}

// Volume makes the image of a claim, and the pair in these clusters.
func (s *Shop) Volume(claim string, clusters ...*Cluster) {
	s.Helper()
	s.MakeImage(claim)
	s.Pair(claim, nil, clusters...)
}

// Pair makes volume and claim in these clusters, edited as [Shop.PV] says, and waits
// until they are bound.
func (s *Shop) Pair(claim string, edit []string, clusters ...*Cluster) {
	s.Helper()
	for _, c := range clusters {
		s.Create(c, s.PV(claim, edit...)+"---\n"+s.PVC(claim))
		s.Bound(c, claim)
	}
}

// PV is the PersistentVolume of a claim; edit replaces parts of it, in pairs of
// old and new.
func (s *Shop) PV(claim string, edit ...string) string {
	return strings.NewReplacer(edit...).Replace(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s.%[2]s}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: %[1]s, name: %[2]s}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: %[1]s.%[2]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, pool: %[3]s, staticVolume: "true"}
`, s.Namespace, claim, lab.Pool))
}

// PVC is the claim, edited alike.
func (s *Shop) PVC(claim string, edit ...string) string {
	return strings.NewReplacer(edit...).Replace(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[2]s}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: %[1]s.%[2]s
  resources: {requests: {storage: 16Mi}}
`, s.Namespace, claim))
}

// PodSpec is that of a pod which uses the claims; more are further fields.
func PodSpec(claims []string, more ...string) string {
	var volumes []string
	for _, claim := range claims {
		volumes = append(volumes, fmt.Sprintf("{name: %s, persistentVolumeClaim: {claimName: %s}}", claim, claim))
	}
	fields := append([]string{"containers: [{name: main, image: none}]", "volumes: [" + strings.Join(volumes, ", ") + "]"}, more...)
	return "{" + strings.Join(fields, ", ") + "}"
}

// Pod is a pod that uses one claim.
func Pod(name, claim string, more ...string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {app: %s}}, spec: %s}\n", name, name, PodSpec([]string{claim}, more...))
}

// Workload is a Deployment or the like whose pods use one claim.
func Workload(kind, name, claim string, replicas int, more ...string) string {
	head, tail := "apps/v1", ""
	switch kind {
	case "ReplicationController":
		return fmt.Sprintf("{apiVersion: v1, kind: %s, metadata: {name: %s}, spec: {replicas: %d, selector: {app: %s}, template: {metadata: {labels: {app: %s}}, spec: %s}}}\n",
			kind, name, replicas, name, name, PodSpec([]string{claim}, more...))
	case "DaemonSet":
		return fmt.Sprintf("{apiVersion: apps/v1, kind: %s, metadata: {name: %s}, spec: {selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}\n",
			kind, name, name, name, PodSpec([]string{claim}, more...))
	case "Database", "Hidden":
		return fmt.Sprintf("{apiVersion: example.com/v1, kind: %s, metadata: {name: %s}, spec: {size: %d, template: {spec: %s}}}\n",
			kind, name, replicas, PodSpec([]string{claim}, more...))
	case "StatefulSet":
		tail = ", serviceName: none"
	}
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: {replicas: %d%s, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}\n",
		head, kind, name, replicas, tail, name, name, PodSpec([]string{claim}, more...))
}

// On are the fields of a pod for one node, whatever its taints.
func On(node *lab.Node) string {
	return "nodeSelector: {kubernetes.io/hostname: " + node.Name + "}, tolerations: [{operator: Exists}]"
}

// Plain is a volume that is no RBD image, and its claim.
func (s *Shop) Plain() string {
	return strings.ReplaceAll(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: plain-NAMESPACE}
spec: {capacity: {storage: 16Mi}, accessModes: [ReadWriteOnce], claimRef: {namespace: NAMESPACE, name: plain}, nfs: {server: localhost, path: /}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: plain}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: plain-NAMESPACE, resources: {requests: {storage: 16Mi}}}
`, "NAMESPACE", s.Namespace)
}

// Definition makes a kind of example.com with a scale subresource, whose spec may have anything
// besides its size.
func Definition(kind string) string {
	singular := strings.ToLower(kind)
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: %[1]ss, singular: %[1]s, kind: %[2]s}
  versions: [{name: v1, served: true, storage: true, subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}},
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {size: {type: integer}}},
      status: {type: object, properties: {size: {type: integer}}}}}}}]
---
`, singular, kind)
}
