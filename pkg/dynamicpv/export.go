package dynamicpv

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Share marks a PersistentVolume as one that several clusters describe: guarded, and with
// the policy Retain, because a cluster that deletes its claim must not delete the image of
// the others. It reports whether that changed anything.
func Share(pv *corev1.PersistentVolume) bool {
	changed := pv.Annotations[annotations.Migratable] != "true" || pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain
	pv.Annotations = maps.Clone(pv.Annotations)
	if pv.Annotations == nil {
		pv.Annotations = map[string]string{}
	}
	pv.Annotations[annotations.Migratable] = "true"
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	return staticpv.ByVolume.ShowOn(pv) || changed
}

// Check refuses what is not a bound volume that ceph-csi made, and what another cluster
// could not use.
func Check(pv *corev1.PersistentVolume) error {
	csi, ref := pv.Spec.CSI, pv.Spec.ClaimRef
	switch {
	case csi == nil || !storageclass.IsRBD(csi.Driver) && !storageclass.IsCephFS(csi.Driver):
		return fmt.Errorf("PersistentVolume %s: spec.csi.driver is not ceph-csi's", pv.Name)
	case !staticpv.IsID(csi.VolumeHandle):
		return fmt.Errorf("PersistentVolume %s: spec.csi.volumeHandle %q is not one that ceph-csi gives; a pair that cephferry made needs no copy: install the application in the other cluster as well", pv.Name, csi.VolumeHandle)
	case ref == nil || ref.Namespace == "" || ref.Name == "":
		return fmt.Errorf("PersistentVolume %s: spec.claimRef names no claim; export a volume that is bound", pv.Name)
	case pv.DeletionTimestamp != nil:
		return fmt.Errorf("PersistentVolume %s is being deleted", pv.Name)
	case pv.Spec.NodeAffinity != nil:
		return fmt.Errorf("PersistentVolume %s: spec.nodeAffinity ties it to nodes of this cluster", pv.Name)
	}
	return nil
}

// Export returns the copy of a volume for another cluster: without what this cluster's
// servers have put there, shared, and for the claim of that name, whichever that will be.
func Export(pv *corev1.PersistentVolume) (*corev1.PersistentVolume, error) {
	if err := Check(pv); err != nil {
		return nil, err
	}
	copied := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: pv.Name, Annotations: map[string]string{provisionedBy: pv.Spec.CSI.Driver}},
		Spec:       *pv.Spec.DeepCopy(),
	}
	ref := pv.Spec.ClaimRef
	copied.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: ref.Namespace, Name: ref.Name}
	Share(copied)
	return copied, nil
}

// provisionedBy says who made a volume, for Kubernetes' controllers.
const provisionedBy = "pv.kubernetes.io/provisioned-by"
