package staticpv

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// inTree is the prefix of ceph-csi's handles for volumes that Kubernetes' own RBD driver made.
const inTree = "mig_"

// Doubts are what is probably a mistake in an RBD volume: it can be read as nobody's, or its image
// may go with its claim although clusters share it. Nothing is refused for them. The chart's
// policy cephferry-volumes says the same when the volume is written.
//
// Volumes that ceph-csi made have the policy of their class, Delete as a rule. That is no mistake
// unless somebody has said that other clusters have the image as well.
func Doubts(pv *corev1.PersistentVolume) field.ErrorList {
	csi := pv.Spec.CSI
	if csi == nil || !storageclass.IsRBD(csi.Driver) {
		return nil
	}
	var errs field.ErrorList
	spec := field.NewPath("spec")
	static := isStatic(csi)
	if !static && !csiID().MatchString(csi.VolumeHandle) && !strings.HasPrefix(csi.VolumeHandle, inTree) {
		errs = append(errs, field.Invalid(spec.Child("csi", "volumeAttributes").Key(staticVolume), csi.VolumeAttributes[staticVolume], fmt.Sprintf(
			`must be "true" for a volume that ceph-csi did not make: it takes the volumeHandle %q for an id of its own and finds no image, and cephferry does not guard the image; the source of a PersistentVolume cannot be changed, so recreate it`, csi.VolumeHandle)))
	}
	shared := static || pv.Annotations[annotations.Migratable] == "true"
	if policy := pv.Spec.PersistentVolumeReclaimPolicy; shared && policy == corev1.PersistentVolumeReclaimDelete {
		errs = append(errs, field.Invalid(spec.Child("persistentVolumeReclaimPolicy"), policy, fmt.Sprintf(
			"the image may be deleted with the claim of this cluster, whichever cluster has the data in it then; run `kubectl patch pv %s -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`", pv.Name)))
	}
	return errs
}
