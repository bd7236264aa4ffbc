// Package staticpv knows what a static PV/PVC pair looks like and how its parts
// are named. It is pure: claim and class settings in, PersistentVolume out; or
// a PersistentVolume in, its image or subvolume out. No other package forms a name or a
// volumeHandle.
package staticpv

import (
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Made is what the image or subvolume of a plan turned out to be, and what else the
// PersistentVolume says.
type Made struct {
	// Size is what the PersistentVolume shows.
	Size resource.Quantity
	// Annotations go to the PV, beside the one that marks it as ours.
	Annotations map[string]string
	// Door is how the claim asked for the volume. It is shown, and nothing else.
	Door Door
	// Features are those of an image that was not made by its class. Nil means the
	// class's.
	Features []string
	// RootPath is where a subvolume is in its file system.
	RootPath string
	// Exclusive says that every client maps the image with krbd's option exclusive, and
	// Private with noshare: the mapping is a client of its own, beside the others of the
	// node.
	Exclusive, Private bool
	// Key is that of the cluster that the PV is for, if the image is keyed.
	Key string
}

// staticVolume marks a volume that ceph-csi did not make (its
// docs/static-pvc.md).
const staticVolume = "staticVolume"

// PV returns the PersistentVolume of the claim's image:
//
//	apiVersion: v1
//	kind: PersistentVolume
//	metadata:
//	  name: shop.data                  # the image's name, see VolumeName
//	  labels:
//	    cephferry.io/door: class       # how its claim asked for it
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
//	    volumeAttributes: {clusterID: rook-ceph, imageFeatures: "exclusive-lock,layering", mapOptions: "exclusive,noshare", pool: replicapool, staticVolume: "true"}
//	    volumeHandle: shop.data        # ceph-csi opens the image of this name; shop.data~east in cluster east, if it is keyed
//	  persistentVolumeReclaimPolicy: Retain
//	  storageClassName: ""             # the claim's, if that has a class with our provisioner
//	  volumeMode: Filesystem
//
// or, on a CephFS class, of its subvolume, with this source:
//
//	csi:
//	  driver: rook-ceph.cephfs.csi.ceph.com
//	  nodeStageSecretRef: {name: rook-csi-cephfs-node, namespace: rook-ceph}
//	  volumeAttributes: {clusterID: rook-ceph, fsName: cephfs, rootPath: /volumes/csi/shop.data/7ba5c3c4-…, staticVolume: "true"}
//	  volumeHandle: shop.data          # any name that is not ceph-csi's own kind of id
//
// The claimRef keeps other class-less claims from taking the PV. It has no uid:
// the binder fills in the claim's. There is no expand secret, because ceph-csi
// cannot expand a static volume (ceph-csi issue 5776).
func (p Plan) PV(made Made) *corev1.PersistentVolume {
	class, mode := p.Class, p.VolumeMode
	if mode == "" {
		mode = corev1.PersistentVolumeFilesystem
	}
	csi := &corev1.CSIPersistentVolumeSource{
		Driver:             class.Driver,
		VolumeHandle:       p.Image,
		VolumeAttributes:   map[string]string{staticVolume: "true", "clusterID": class.ClusterID},
		NodeStageSecretRef: &class.NodeStageSecret,
	}
	maps.Copy(csi.VolumeAttributes, class.Attributes)
	switch {
	case class.RBD != nil:
		csi.VolumeAttributes["pool"] = class.RBD.Pool
		features := made.Features
		if features == nil {
			features = class.RBD.Layout.Features
		}
		csi.VolumeAttributes["imageFeatures"] = strings.Join(features, ",")
		csi.VolumeHandle = Handle(p.Image, made.Key)
		if made.Exclusive {
			csi.VolumeAttributes[mapOptions] = withOption(csi.VolumeAttributes[mapOptions], exclusive)
		}
		if made.Private {
			csi.VolumeAttributes[mapOptions] = withOption(csi.VolumeAttributes[mapOptions], noshare)
		}
		if mode == corev1.PersistentVolumeFilesystem {
			csi.FSType = class.RBD.FSType
		}
	case class.CephFS != nil:
		csi.VolumeAttributes["fsName"] = class.CephFS.Filesystem
		csi.VolumeAttributes["rootPath"] = made.RootPath
	}
	pv := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: VolumeName(p.Image), Annotations: map[string]string{annotations.Migratable: "true"}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: p.AccessModes,
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: made.Size},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1",
				Kind:       "PersistentVolumeClaim",
				Namespace:  p.Namespace,
				Name:       p.Claim,
			},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: csi},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              p.StorageClassName,
			VolumeMode:                    &mode,
		},
	}
	made.Door.ShowOn(pv)
	maps.Copy(pv.Annotations, made.Annotations)
	if mode == corev1.PersistentVolumeFilesystem {
		pv.Spec.MountOptions = class.MountOptions
	}
	return pv
}

// IsPair reports whether pv is a static volume of ceph-csi, made for that claim,
// and named as one of its image or subvolume is, with or without a key: what [Plan.PV]
// returns, whatever the class was.
func IsPair(pv *corev1.PersistentVolume, namespace, claim string) bool {
	name, ref := ImageOfPair(pv), pv.Spec.ClaimRef
	return name != "" && VolumeName(name) == pv.Name && ref != nil && ref.Namespace == namespace && ref.Name == claim
}

// ImageOfPair is the name of the image or subvolume that a pair's volume has, as
// [Names.Image]. It is empty for what is no static volume of ceph-csi.
func ImageOfPair(pv *corev1.PersistentVolume) string {
	csi := pv.Spec.CSI
	switch {
	case csi == nil || !isStatic(csi):
		return ""
	case storageclass.IsRBD(csi.Driver):
		return baseOf(csi.VolumeHandle)
	case storageclass.IsCephFS(csi.Driver):
		return csi.VolumeHandle
	}
	return ""
}
