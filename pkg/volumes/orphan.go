package volumes

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Place is where images of RBD volumes are.
type Place struct{ Driver, ClusterID, Pool string }

// Places are those that the StorageClasses and the PersistentVolumes name, each
// clusterID and pool once.
func Places(classes []storagev1.StorageClass, pvs []corev1.PersistentVolume) []Place {
	var all []Place
	add := func(place Place) {
		same := func(p Place) bool { return p.ClusterID == place.ClusterID && p.Pool == place.Pool }
		if storageclass.IsRBD(place.Driver) && place.ClusterID != "" && place.Pool != "" && !slices.ContainsFunc(all, same) {
			all = append(all, place)
		}
	}
	for _, class := range classes {
		add(Place{class.Provisioner, class.Parameters["clusterID"], class.Parameters["pool"]})
	}
	for i := range pvs {
		if image, rbd, _ := staticpv.ImageOf(&pvs[i]); rbd {
			add(Place{pvs[i].Spec.CSI.Driver, image.ClusterID, image.Pool})
		}
	}
	return all
}

// OrphanOf is the volume that led to the image, by what the image's owner was for. Its
// PersistentVolume is named as [staticpv] names them. image is the name that it carries, with
// its owner's key if it has one.
func OrphanOf(place Place, image string, owner ceph.Owner) Volume {
	of := staticpv.StaticImage(image)
	of.ClusterID, of.Pool = place.ClusterID, place.Pool
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: staticpv.VolumeName(of.Name)}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: owner.Namespace, Name: owner.Claim}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: place.Driver, VolumeHandle: image}
	return Volume{Namespace: owner.Namespace, Claim: owner.Claim, PV: pv, Orphan: true, Image: of}
}

// LeadsTo returns the PersistentVolume that may lead to the image, or that has the name
// of the one that did; empty if there is none. One with an equal image of another Ceph
// cluster or rados namespace counts, and one with another key.
func LeadsTo(pvs []corev1.PersistentVolume, pool, image string) string {
	orphan := staticpv.VolumeName(staticpv.StaticImage(image).Name)
	for i := range pvs {
		if pvs[i].Name == orphan || staticpv.MayLeadTo(&pvs[i], pool, image) {
			return pvs[i].Name
		}
	}
	return ""
}
