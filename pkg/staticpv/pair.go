// Package staticpv knows what a static PV/PVC pair looks like and how its parts
// are named. It is pure: claim and class settings in, PersistentVolume out; and
// a PersistentVolume in, its image out. No other package forms a name or a
// volumeHandle.
package staticpv

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Claim is what a pair is made for.
type Claim struct {
	Namespace, Name string
	// Image is the image's name.
	Image       string
	Size        resource.Quantity
	AccessModes []corev1.PersistentVolumeAccessMode
	// VolumeMode is empty for Filesystem.
	VolumeMode corev1.PersistentVolumeMode
	// Annotations go to the PV, beside the one that marks it as ours.
	Annotations map[string]string
}

// staticVolume marks a volume that ceph-csi did not make (its
// docs/static-pvc.md).
const staticVolume = "staticVolume"

// RBD returns the PV of an RBD image:
//
//	apiVersion: v1
//	kind: PersistentVolume
//	metadata:
//	  name: shop.data                  # the image's name
//	  annotations:
//	    cephferry.io/migratable: "true"
//	spec:
//	  accessModes: [ReadWriteOnce]
//	  capacity: {storage: 8Gi}
//	  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: shop, name: data}
//	  csi:
//	    driver: rook-ceph.rbd.csi.ceph.com
//	    fsType: ext4
//	    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
//	    volumeAttributes: {clusterID: rook-ceph, imageFeatures: "exclusive-lock,layering", pool: replicapool, staticVolume: "true"}
//	    volumeHandle: shop.data        # ceph-csi opens the image of this name
//	  persistentVolumeReclaimPolicy: Retain
//	  volumeMode: Filesystem
//
// The claimRef keeps other class-less claims from taking the PV. It has no uid:
// the binder fills in the claim's. There is no expand secret, because ceph-csi
// cannot expand a static volume (ceph-csi issue 5776).
func RBD(claim Claim, class storageclass.RBD) *corev1.PersistentVolume {
	attributes := map[string]string{
		staticVolume:    "true",
		"clusterID":     class.ClusterID,
		"pool":          class.Pool,
		"imageFeatures": strings.Join(class.Layout.Features, ","),
	}
	maps.Copy(attributes, class.Attributes)
	mode := claim.VolumeMode
	if mode == "" {
		mode = corev1.PersistentVolumeFilesystem
	}
	pv := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: claim.Image, Annotations: map[string]string{annotations.Migratable: "true"}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: claim.AccessModes,
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Size},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1",
				Kind:       "PersistentVolumeClaim",
				Namespace:  claim.Namespace,
				Name:       claim.Name,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver:             class.Driver,
				VolumeHandle:       claim.Image,
				VolumeAttributes:   attributes,
				NodeStageSecretRef: &class.NodeStageSecret,
			}},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			VolumeMode:                    &mode,
		},
	}
	maps.Copy(pv.Annotations, claim.Annotations)
	if mode == corev1.PersistentVolumeFilesystem {
		pv.Spec.CSI.FSType = class.FSType
		pv.Spec.MountOptions = class.MountOptions
	}
	return pv
}

// Image is where an RBD volume's data is. Its rados namespace stands only in
// ceph-csi's configuration, by ClusterID.
type Image struct {
	ClusterID, Pool, Name string
	// Static is true for a volume that ceph-csi did not make.
	Static bool
}

// ImageOf returns the image of an RBD volume, static or made by ceph-csi, and
// false for a volume that is not RBD. It fails for an RBD volume that does not say
// where its image is, and then returns what the volume does say.
//
// The node plugin opens what this returns: of a static volume the image that the
// volumeHandle names, of another one the image that ceph-csi noted when it made it
// (ceph-csi, internal/rbd: genVolFromVolumeOptions and ToCSI).
func ImageOf(pv *corev1.PersistentVolume) (Image, bool, error) {
	csi := pv.Spec.CSI
	if csi == nil || !storageclass.IsRBD(csi.Driver) {
		return Image{}, false, nil
	}
	attributes := csi.VolumeAttributes
	image := Image{ClusterID: attributes["clusterID"], Pool: attributes["pool"], Name: attributes["imageName"]}
	if image.Static = isStatic(csi); image.Static && attributes["migration"] != "true" {
		image.Name = csi.VolumeHandle
	}
	for _, attribute := range []struct{ name, value string }{{"clusterID", image.ClusterID}, {"pool", image.Pool}, {"imageName", image.Name}} {
		if attribute.value == "" {
			return image, true, fmt.Errorf("PersistentVolume %s: spec.csi.volumeAttributes[%s] is missing, so its image is not known", pv.Name, attribute.name)
		}
	}
	return image, true, nil
}

// isStatic reads the flag as ceph-csi does.
func isStatic(csi *corev1.CSIPersistentVolumeSource) bool {
	static, err := strconv.ParseBool(csi.VolumeAttributes[staticVolume])
	return err == nil && static
}

// IsPair reports whether pv is a static RBD volume, made for that claim, whose
// image has the PV's name: what [RBD] returns, whatever the class was.
func IsPair(pv *corev1.PersistentVolume, namespace, claim string) bool {
	csi, ref := pv.Spec.CSI, pv.Spec.ClaimRef
	return csi != nil && storageclass.IsRBD(csi.Driver) &&
		isStatic(csi) && csi.VolumeHandle == pv.Name &&
		ref != nil && ref.Namespace == namespace && ref.Name == claim
}
