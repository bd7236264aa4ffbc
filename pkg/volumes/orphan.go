package volumes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
// PersistentVolume is named as [staticpv] names them.
func OrphanOf(place Place, image string, owner ceph.Owner) Volume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: image}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: owner.Namespace, Name: owner.Claim}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: place.Driver, VolumeHandle: image}
	return Volume{
		Namespace: owner.Namespace, Claim: owner.Claim, PV: pv, Orphan: true,
		Image: staticpv.Image{ClusterID: place.ClusterID, Pool: place.Pool, Name: image, Static: true},
	}
}

// LeadsTo returns the PersistentVolume that may lead to the image, or that has the name
// of the one that did; empty if there is none. One with an equal image of another Ceph
// cluster or rados namespace counts.
func LeadsTo(pvs []corev1.PersistentVolume, pool, image string) string {
	for i := range pvs {
		if pvs[i].Name == image || staticpv.MayLeadTo(&pvs[i], pool, image) {
			return pvs[i].Name
		}
	}
	return ""
}

// Stray is a use of an RBD volume on a node whose PersistentVolume is gone, so that
// nothing says which image it is of.
type Stray struct{ Node, What string }

// Strays are all there are. An orphan is proven idle only if there is none: its
// PersistentVolume may have had another name and handle than OrphanOf gives it.
func Strays(ctx context.Context, api client.Reader) ([]Stray, error) {
	var attachments storagev1.VolumeAttachmentList
	if err := api.List(ctx, &attachments); err != nil {
		return nil, fmt.Errorf("list VolumeAttachments: %w", err)
	}
	var nodes corev1.NodeList
	if err := api.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	// After those: they come after their volumes.
	var pvs corev1.PersistentVolumeList
	if err := api.List(ctx, &pvs); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return strays(attachments.Items, nodes.Items, pvs.Items), nil
}

// inUse is how the names of CSI volumes in a node's status.volumesInUse begin; driver,
// "^" and volumeHandle follow.
const inUse = "kubernetes.io/csi/"

func strays(attachments []storagev1.VolumeAttachment, nodes []corev1.Node, pvs []corev1.PersistentVolume) []Stray {
	names, handles := map[string]bool{}, map[string]bool{}
	for _, pv := range pvs {
		names[pv.Name] = true
		if csi := pv.Spec.CSI; csi != nil {
			handles[csi.Driver+"^"+csi.VolumeHandle] = true
		}
	}
	var all []Stray
	for _, attachment := range attachments {
		pv := attachment.Spec.Source.PersistentVolumeName
		if pv != nil && !names[*pv] && storageclass.IsRBD(attachment.Spec.Attacher) {
			all = append(all, Stray{attachment.Spec.NodeName, fmt.Sprintf("volumeattachment %s (of PersistentVolume %s, which is gone)", attachment.Name, *pv)})
		}
	}
	for _, node := range nodes {
		for _, name := range node.Status.VolumesInUse {
			volume, csi := strings.CutPrefix(string(name), inUse)
			driver, _, _ := strings.Cut(volume, "^")
			if csi && storageclass.IsRBD(driver) && !handles[volume] {
				all = append(all, Stray{node.Name, fmt.Sprintf("status.volumesInUse of node %s (%s, whose PersistentVolume is gone)", node.Name, volume)})
			}
		}
	}
	return all
}
