//go:build lab

package scene

import (
	"fmt"

	"github.com/cephferry/cephferry/test/lab"
)

// MadeByCSI makes a bound claim whose image and volume are as ceph-csi's provisioner makes
// them for a class of Rook's: features, names, handle and reclaim policy. From then on, the
// claim's image is that one.
func (s *Shop) MadeByCSI(c *Cluster, claim, uuid string) (image, volume string) {
	s.Helper()
	image, volume = "csi-vol-"+uuid, "pvc-"+uuid
	if s.Images == nil {
		s.Images = map[string]string{}
	}
	s.Images[claim] = image
	s.MakeImage(claim, "layering")
	s.Create(c, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s, annotations: {pv.kubernetes.io/provisioned-by: rook-ceph.rbd.csi.ceph.com}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 16Mi}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: %[2]s, name: %[3]s}
  storageClassName: ceph-block
  persistentVolumeReclaimPolicy: Delete
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    fsType: ext4
    volumeHandle: 0001-0009-rook-ceph-0000000000000002-%[4]s
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    controllerExpandSecretRef: {name: rook-csi-rbd-provisioner, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, imageFeatures: layering, imageFormat: "2", imageName: %[5]s, journalPool: %[6]s, pool: %[6]s}
---
%[7]s`, volume, s.Namespace, claim, uuid, image, lab.Pool, Classed(claim, "ceph-block")))
	s.Bound(c, claim)
	return image, volume
}

// Classed is a claim that names a class and nothing else.
func Classed(claim, class string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s}
spec: {accessModes: [ReadWriteOnce], storageClassName: %s, resources: {requests: {storage: 16Mi}}}
---
`, claim, class)
}
