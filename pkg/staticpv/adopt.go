package staticpv

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// RefuseAdoption returns why the image or subvolume of that name and class must not
// be adopted as long as the cluster's PersistentVolumes are these: one of them was
// made by ceph-csi for it and is in use or could be, or takes the image with it when
// it goes. Every reason names the volume, the field and the command that mends it.
//
// The volumes of other clusters are not known here; whoever has the image open is
// the guard's concern.
func RefuseAdoption(pvs []corev1.PersistentVolume, name string, class storageclass.Class) error {
	var reasons []string
	for i := range pvs {
		if pv := &pvs[i]; dynamicOf(pv, name, class) {
			reasons = append(reasons, inTheWay(pv)...)
		}
	}
	if len(reasons) == 0 {
		return nil
	}
	return errors.New(strings.Join(reasons, "; then "))
}

// RefuseAdoption is [RefuseAdoption] for the claim's image. One that is to lose its name
// must not be the image of another pair either: that would lead nowhere.
func (p Plan) RefuseAdoption(pvs []corev1.PersistentVolume) error {
	if p.OldName == "" {
		return RefuseAdoption(pvs, p.Image, p.Class)
	}
	for i := range pvs {
		image, ok, err := ImageOf(&pvs[i])
		if ok && err == nil && image.Static && image.Name == p.OldName && (image.Pool == "" || image.Pool == p.Class.RBD.Pool) {
			return fmt.Errorf("PersistentVolume %s: spec.csi.volumeHandle leads to the image by the name that it is to lose; scale the workload down, then delete its claim and `kubectl delete pv %[1]s`, or let the image keep its name with %s: \"true\" and %s: %s",
				pvs[i].Name, annotations.Adopt, annotations.Image, p.OldName)
		}
	}
	return RefuseAdoption(pvs, p.OldName, p.Class)
}

// inTheWay lists what is wrong with a dynamic volume whose image is adopted, in the
// order in which to mend it: the policy goes first, because deleting the claim with
// the policy Delete deletes the image.
func inTheWay(pv *corev1.PersistentVolume) []string {
	var reasons []string
	if policy := pv.Spec.PersistentVolumeReclaimPolicy; policy != corev1.PersistentVolumeReclaimRetain {
		reasons = append(reasons, fmt.Sprintf("PersistentVolume %s: spec.persistentVolumeReclaimPolicy is %s, so the data would be deleted with its claim; run `kubectl patch pv %[1]s -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`", pv.Name, policy))
	}
	switch ref := pv.Spec.ClaimRef; {
	case pv.Status.Phase == corev1.VolumeReleased, pv.Status.Phase == corev1.VolumeFailed:
	case ref != nil && pv.Status.Phase == corev1.VolumeBound:
		reasons = append(reasons, fmt.Sprintf("PersistentVolume %s: spec.claimRef still binds it to claim %s/%s; scale the workload down, then run `kubectl delete pvc %[3]s --namespace %[2]s`", pv.Name, ref.Namespace, ref.Name))
	default:
		reasons = append(reasons, fmt.Sprintf("PersistentVolume %s: status.phase is %q, so a claim can still get it; run `kubectl delete pv %[1]s` once its reclaim policy is Retain", pv.Name, pv.Status.Phase))
	}
	return reasons
}

// dynamicOf reports whether ceph-csi made pv, and made it for that image or
// subvolume. The clusterID is not compared: two of them may lead to one Ceph
// cluster, and ceph-csi's names are unique. What a volume of an early ceph-csi does
// not say counts as equal, if its handle has the same uuid as the name.
func dynamicOf(pv *corev1.PersistentVolume, name string, class storageclass.Class) bool {
	var there, theirs, where string
	switch {
	case class.RBD != nil:
		image, ok, _ := ImageOf(pv)
		if !ok || image.Static {
			return false
		}
		there, theirs, where = image.Pool, image.Name, class.RBD.Pool
	case class.CephFS != nil:
		subvolume, ok := SubvolumeOf(pv)
		if !ok || subvolume.Static {
			return false
		}
		there, theirs, where = subvolume.Filesystem, subvolume.Name, class.CephFS.Filesystem
	}
	if there != "" && there != where {
		return false
	}
	if theirs != "" {
		return theirs == name
	}
	uuid := uuidOf(pv.Spec.CSI.VolumeHandle)
	return uuid != "" && strings.HasSuffix(name, uuid)
}

// uuidLength is that of the uuids in ceph-csi's ids and names.
const uuidLength = 36

// uuidOf returns the uuid that an id of ceph-csi ends in, and nothing for another
// handle.
func uuidOf(handle string) string {
	if !csiID().MatchString(handle) {
		return ""
	}
	return handle[len(handle)-uuidLength:]
}
