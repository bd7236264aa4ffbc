package adopt

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/count"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// shortName is how long a name may be that fits the key of any cluster whose name is a DNS label.
const shortName = annotations.MaxImageName - len("~") - 63

// Refusal is why a claim is not adopted. Nothing was changed by this run.
type Refusal struct{ Reasons []string }

func (r *Refusal) Error() string { return strings.Join(r.Reasons, "\n") }

func refuse(format string, arguments ...any) *Refusal {
	return &Refusal{[]string{fmt.Sprintf(format, arguments...)}}
}

// Seen is what there is of a claim.
type Seen struct {
	Name types.NamespacedName
	// Claim and PV are nil if they are not there. PV is the claim's, or that of the file.
	Claim *corev1.PersistentVolumeClaim
	PV    *corev1.PersistentVolume
	Saved *Saved

	// Namespace is the claim's. The others are those of the cluster, and the pods those of the
	// namespace.
	Namespace   *corev1.Namespace
	Pods        []corev1.Pod
	Attachments []storagev1.VolumeAttachment
	Nodes       []corev1.Node
	PVs         []corev1.PersistentVolume
	Classes     []storagev1.StorageClass
	// Owner is another cluster that has the image, as this one shows it.
	Owner string
	// Snapshots are the names of the VolumeSnapshots made of the claim.
	Snapshots []string
	// Unlisted: the person may not list VolumeSnapshots.
	Unlisted bool
}

// Step is what is to be done next.
type Step int

// The steps, in their order. Each includes those after it.
const (
	// Begin: nothing was changed yet.
	Begin Step = iota
	// ClaimGoes: the old claim is being deleted.
	ClaimGoes
	// VolumeGoes: the claim is gone.
	VolumeGoes
	// Make the new claim: claim and volume are gone.
	Make
	// Bind: the new claim is there.
	Bind
	// Done: the claim is a pair, and there is no file any more.
	Done
)

// Plan is what becomes of a claim.
type Plan struct {
	Step Step
	Name types.NamespacedName
	// Image is the old name of the image or the subvolume, and Becomes the new one.
	Image, Becomes string
	// Old is what the file has.
	Old *Saved
	// New is the claim that is made.
	New *corev1.PersistentVolumeClaim
	// Notes are for the person who confirms.
	Notes []string

	claim *corev1.PersistentVolumeClaim
	pv    *corev1.PersistentVolume
}

// Decide says what is next for a claim, or why nothing is: a [*Refusal]. class is the StorageClass
// of ours that the new claim names; empty: it gets the annotations, and its old class there.
func Decide(seen Seen, class, path string) (*Plan, error) {
	saved := seen.Saved
	switch {
	case saved == nil && seen.Claim != nil && seen.PV != nil && seen.Claim.Status.Phase == corev1.ClaimBound && staticpv.IsPair(seen.PV, seen.Name.Namespace, seen.Name.Name):
		return &Plan{Step: Done, Name: seen.Name}, nil
	case seen.Claim == nil && saved == nil:
		return nil, refuse("claim %s does not exist, and neither does %s, which an interrupted run would have left; name its directory with --save", seen.Name, path)
	case seen.Claim != nil && saved != nil && isNew(seen.Claim, saved):
		return after(seen, Bind, class)
	case seen.Claim != nil && saved != nil && seen.Claim.DeletionTimestamp != nil && seen.Claim.Spec.VolumeName == saved.PV.Name:
		return after(seen, ClaimGoes, class)
	case seen.Claim == nil && seen.PV != nil:
		return after(seen, VolumeGoes, class)
	case seen.Claim == nil:
		return after(seen, Make, class)
	case saved != nil && seen.Claim.Spec.VolumeName != saved.PV.Name:
		return nil, refuse("claim %s: spec.volumeName is %q, and not %s, whose adoption %s has begun: somebody else has created the claim again; delete it if it is empty, or move the file away if you mean to keep it",
			seen.Name, seen.Claim.Spec.VolumeName, saved.PV.Name, path)
	}
	if reasons := refuseBegin(seen); len(reasons) > 0 {
		return nil, &Refusal{reasons}
	}
	seen.Saved = save(seen)
	plan, err := after(seen, Begin, class)
	if err != nil {
		return nil, err
	}
	if mistakes := claims.Refuse(plan.New, nil); len(mistakes) > 0 {
		return nil, refuse("claim %s: %v", seen.Name, mistakes.ToAggregate())
	}
	return plan, nil
}

// refuseBegin are the reasons why a claim that nobody has begun with is not adopted.
func refuseBegin(seen Seen) []string {
	claim, pv := seen.Claim, seen.PV
	var reasons []string
	add := func(format string, arguments ...any) { reasons = append(reasons, fmt.Sprintf(format, arguments...)) }
	switch {
	case claim.DeletionTimestamp != nil:
		add("claim %s: metadata.deletionTimestamp is set: it is being deleted, and not by this command", seen.Name)
	case claim.Spec.VolumeName == "" || claim.Status.Phase != corev1.ClaimBound:
		add("claim %s: status.phase is %q, spec.volumeName %q; only one that is Bound has a volume to adopt", seen.Name, claim.Status.Phase, claim.Spec.VolumeName)
	case pv == nil:
		add("claim %s: PersistentVolume %s (spec.volumeName) is not there", seen.Name, claim.Spec.VolumeName)
	}
	if len(reasons) > 0 {
		return reasons
	}
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != claim.UID || pv.Status.Phase != corev1.VolumeBound {
		add("PersistentVolume %s: status.phase is %q, and spec.claimRef %s; it is not bound to claim %s", pv.Name, pv.Status.Phase, nameOf(ref), seen.Name)
	}
	if pv.DeletionTimestamp != nil {
		add("PersistentVolume %s: metadata.deletionTimestamp is set: it is being deleted", pv.Name)
	}
	csi := pv.Spec.CSI
	switch {
	case csi == nil:
		return append(reasons, fmt.Sprintf("PersistentVolume %s: spec.csi is missing; only volumes that ceph-csi made are adopted", pv.Name))
	case !storageclass.IsRBD(csi.Driver) && !storageclass.IsCephFS(csi.Driver):
		return append(reasons, fmt.Sprintf("PersistentVolume %s: spec.csi.driver is %s; only volumes that ceph-csi made are adopted", pv.Name, csi.Driver))
	case !staticpv.IsID(csi.VolumeHandle):
		return append(reasons, fmt.Sprintf("PersistentVolume %s: spec.csi.volumeHandle is %s, which is not one of ceph-csi's: it is a static pair already, or somebody else's", pv.Name, csi.VolumeHandle))
	}
	if name, attribute := imageOf(pv); name == "" {
		add("PersistentVolume %s: spec.csi.volumeAttributes[%s] is missing, so its image is not known", pv.Name, attribute)
	}
	if encrypted := csi.VolumeAttributes["encrypted"]; encrypted != "" && encrypted != "false" {
		add("PersistentVolume %s: spec.csi.volumeAttributes[encrypted] is %q, and what a static pair leads to would be mounted without its key", pv.Name, encrypted)
	}
	if seen.Owner != "" {
		add("claim %s: cluster %s has its image; move or release it there first", seen.Name, seen.Owner)
	}
	wanted, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	if wanted.Cmp(has) > 0 && !has.IsZero() {
		add("claim %s: spec.resources.requests[storage] is %s, and status.capacity %s: let it grow first", seen.Name, wanted.String(), has.String())
	}
	return append(append(reasons, pods(seen)...), others(seen)...)
}

// pods are those that use the claim, or will.
func pods(seen Seen) []string {
	var reasons []string
	for _, pod := range seen.Pods {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if slices.Contains(volumes.ClaimsOfPod(pod.Name, &pod.Spec), seen.Name.Name) {
			reasons = append(reasons, fmt.Sprintf("pod %s/%s: spec.volumes has claim %s; %sscale its workload to zero, and wait until the pod is gone", pod.Namespace, pod.Name, seen.Name.Name, retainFirst(seen.PV)))
		}
	}
	return reasons
}

// retainFirst is what a person does before the workload is scaled down: that may delete the claim
// (a StatefulSet's persistentVolumeClaimRetentionPolicy, a chart), and with it the image.
func retainFirst(pv *corev1.PersistentVolume) string {
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
		return ""
	}
	return fmt.Sprintf("first kubectl patch pv %s --patch '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}', so that nothing deletes the image with the claim; then ", pv.Name)
}

// mapped says on which nodes a volume is, or may be.
func mapped(pv *corev1.PersistentVolume, attachments []storagev1.VolumeAttachment, nodes []corev1.Node) []string {
	var reasons []string
	for _, attachment := range attachments {
		if name := attachment.Spec.Source.PersistentVolumeName; name != nil && *name == pv.Name {
			reasons = append(reasons, fmt.Sprintf("VolumeAttachment %s: spec.source is PersistentVolume %s, on node %s; wait until it is gone", attachment.Name, pv.Name, attachment.Spec.NodeName))
		}
	}
	for _, node := range nodes {
		if slices.Contains(node.Status.VolumesInUse, volumes.InUse(pv.Spec.CSI)) {
			reasons = append(reasons, fmt.Sprintf("node %s: status.volumesInUse has PersistentVolume %s; wait until it is gone", node.Name, pv.Name))
		}
	}
	return reasons
}

// others are volumes that are in the way: of the same image, or of the name that the new one gets.
func others(seen Seen) []string {
	var reasons []string
	name, _ := imageOf(seen.PV)
	becomes := staticpv.VolumeName(staticpv.ImageName(seen.Name.Namespace, seen.Name.Name))
	for i := range seen.PVs {
		other := &seen.PVs[i]
		subvolume, _ := staticpv.SubvolumeOf(other)
		switch {
		case other.Name == seen.PV.Name:
		case other.Name == becomes:
			reasons = append(reasons, fmt.Sprintf("PersistentVolume %s: metadata.name is the one that the new volume gets; delete it if nobody needs it", other.Name))
		case staticpv.MayLeadTo(other, seen.PV.Spec.CSI.VolumeAttributes["pool"], name) || other.Spec.CSI != nil && other.Spec.CSI.VolumeHandle == seen.PV.Spec.CSI.VolumeHandle || subvolume.Name != "" && subvolume.Name == name:
			reasons = append(reasons, fmt.Sprintf("PersistentVolume %s: spec.csi leads to %s too; delete the one that is not needed, with the policy Retain", other.Name, name))
		}
	}
	return reasons
}

// imageOf is the name of the volume's image or subvolume, and the attribute that has it.
func imageOf(pv *corev1.PersistentVolume) (name, attribute string) {
	attribute = "imageName"
	if storageclass.IsCephFS(pv.Spec.CSI.Driver) {
		attribute = "subvolumeName"
	} else if pv.Spec.CSI.VolumeAttributes["pool"] == "" {
		return "", "pool"
	}
	return pv.Spec.CSI.VolumeAttributes[attribute], attribute
}

func nameOf(ref *corev1.ObjectReference) string {
	if ref == nil {
		return "nobody"
	}
	return fmt.Sprintf("%s/%s (uid %s)", ref.Namespace, ref.Name, ref.UID)
}

// after is the plan of a claim with a file, or with what the file will have.
func after(seen Seen, step Step, class string) (*Plan, error) {
	saved := seen.Saved
	image, attribute := imageOf(saved.PV)
	if image == "" {
		return nil, refuse("PersistentVolume %s in the file: spec.csi.volumeAttributes[%s] is missing", saved.PV.Name, attribute)
	}
	if seen.PV != nil && (seen.PV.Spec.CSI == nil || seen.PV.Spec.CSI.VolumeHandle != saved.PV.Spec.CSI.VolumeHandle) {
		return nil, refuse("PersistentVolume %s: spec.csi.volumeHandle is not the one that the file has: it is another volume", seen.PV.Name)
	}
	plan := &Plan{Step: step, Name: seen.Name, Image: image, Becomes: image, Old: saved, claim: seen.Claim, pv: seen.PV}
	settings, mistake := settingsOf(seen.Classes, saved.PV, class)
	if mistake != nil {
		return nil, mistake
	}
	plan.New = newClaim(saved, image, class, settings)
	if settings.RBD != nil {
		plan.Becomes = staticpv.ImageName(seen.Name.Namespace, seen.Name.Name)
		if features := saved.PV.Spec.CSI.VolumeAttributes["imageFeatures"]; !slices.Contains(strings.Split(features, ","), "exclusive-lock") {
			plan.Notes = append(plan.Notes, fmt.Sprintf("The volume does not name the exclusive-lock feature (%s). If rbd info does not show it either, enable it before you go on; afterwards it is too late: rbd feature enable %s/%s exclusive-lock",
				features, saved.PV.Spec.CSI.VolumeAttributes["pool"], image))
		}
	}
	if note := unchecked(plan.Becomes); settings.RBD != nil && step < Done && note != "" {
		plan.Notes = append(plan.Notes, note)
	}
	if note := snapshots(seen); note != "" {
		plan.Notes = append(plan.Notes, note)
	}
	if saved.PV.Annotations[annotations.Migratable] == "true" {
		plan.Notes = append(plan.Notes, "Other clusters may have copies of the volume: delete their claims and PersistentVolumes first, or they lead nowhere afterwards.")
	}
	return plan, nil
}

// snapshotsNamed is how many VolumeSnapshots a note names.
const snapshotsNamed = 5

// snapshots is what a person has to know of the claim's VolumeSnapshots, or empty.
func snapshots(seen Seen) string {
	switch {
	case seen.Unlisted:
		return "Not checked: whether there are VolumeSnapshots of the claim, which you may not list. They would be kept, but ceph-csi takes no more of it."
	case len(seen.Snapshots) == 0:
		return ""
	}
	return "VolumeSnapshots are kept, and ceph-csi still fills new claims from them, but it takes no more of this claim: " +
		count.Few(seen.Snapshots, snapshotsNamed)
}

// unchecked is what a person has to look at before a name is given to an image, or empty: with whose key
// it would be too long, only Ceph says, which is not asked here.
func unchecked(name string) string {
	if len(name) <= shortName {
		return ""
	}
	return fmt.Sprintf("Not checked: whether the name %s (%d bytes) fits with the key of every cluster: name, \"~\" and key may have %d bytes. A key is the name with which a cluster has registered first; kubectl cephferry clusters lists the names. "+
		"If it does not fit, the new claim stays Pending, and its events say so; the file has the way back.", name, len(name), annotations.MaxImageName)
}
