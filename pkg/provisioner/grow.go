package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
)

// isBound reports whether the claim is a migratable one that has its volume.
func isBound(claim *corev1.PersistentVolumeClaim) bool {
	return doorOf(claim) != noDoor && claim.Spec.VolumeName != "" &&
		claim.Status.Phase == corev1.ClaimBound && claim.DeletionTimestamp == nil &&
		(doorOf(claim) == byClass || claim.Annotations[annotations.Migratable] == "true")
}

// grow makes the image of a bound claim as large as its annotation or its request says. The
// API server refuses to raise the request of a claim without a class, so such a claim goes on
// asking for the first size.
func (c *Claims) grow(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	raised := isRaised(claim)
	size := annotationPath(annotations.Size)
	asked, errs := askedOf(claim, annotations.OnTemplate)
	if i := slices.IndexFunc(errs, func(err *field.Error) bool { return err.Field == size.String() }); i >= 0 {
		return mistakes(errs[i : i+1])
	}
	if asked.Size == nil && !raised {
		return c.growByRecord(ctx, claim)
	}
	var pv corev1.PersistentVolume
	if err := c.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv); err != nil {
		return fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	if raised {
		size = claims.SizePath(nil)
	}
	p, err := c.planner().bound(ctx, claim, asked, &pv, size)
	if err != nil {
		return err
	}
	if !raised {
		return c.growImage(ctx, claim, &p, &pv, false, 0)
	}
	has, err := c.mayGrow(ctx, &p, &pv)
	if err != nil {
		return err
	}
	if err := c.growImage(ctx, claim, &p, &pv, true, has); err != nil {
		return err
	}
	return c.showOnClaim(ctx, claim)
}

// bound is the plan of a claim that has its volume, or what is wrong with one of the two.
// size is the field that asks for more.
func (p Planner) bound(ctx context.Context, claim *corev1.PersistentVolumeClaim, asked annotations.Claim, pv *corev1.PersistentVolume, size *field.Path) (plan, error) {
	if !isOurPair(pv, claim) {
		return plan{}, mistakes(field.ErrorList{field.Forbidden(size, "PersistentVolume "+pv.Name+" is not one that cephferry made for this claim")})
	}
	planned, errs, err := p.planFor(ctx, claim, asked, staticpv.Names{Claim: claim.Name, Image: staticpv.ImageOfPair(pv)})
	if err != nil {
		return plan{}, err
	} else if len(errs) > 0 {
		return plan{}, mistakes(errs)
	}
	there, of := whereOf(pv), whereOfClass(planned.Class)
	if same, err := p.isSame(ctx, planned.Class, there); err != nil {
		return plan{}, err
	} else if !same {
		return plan{}, mistakes(field.ErrorList{field.Invalid(annotationPath(annotations.Class), asked.Class, fmt.Sprintf(
			"StorageClass %s is of %s, the volume is in %s; name the class of the volume", planned.Class.Name, of, there))})
	}
	planned.OldName = "" // it is adopted
	return planned, nil
}

// isOurPair reports whether the volume was made for exactly this claim.
func isOurPair(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) bool {
	return pv.Annotations[annotations.Migratable] == "true" && staticpv.IsPair(pv, claim.Namespace, claim.Name) && pv.Spec.ClaimRef.UID == claim.UID
}

// where is where a volume's data is.
type where struct{ clusterID, rest string }

func (w where) String() string { return "clusterID " + w.clusterID + " and " + w.rest }

func whereOf(pv *corev1.PersistentVolume) where {
	if subvolume, ok := staticpv.SubvolumeOf(pv); ok {
		return where{subvolume.ClusterID, "file system " + subvolume.Filesystem}
	}
	image, _, _ := staticpv.ImageOf(pv) // what is missing is not equal
	return where{image.ClusterID, "pool " + image.Pool}
}

// whereOfClass is where the volumes of a class are.
func whereOfClass(class storageclass.Class) where {
	if class.CephFS != nil {
		return where{class.ClusterID, "file system " + class.CephFS.Filesystem}
	}
	return where{class.ClusterID, "pool " + class.RBD.Pool}
}

// isSame reports whether the class's volumes are there. Two clusterIDs may be one: ceph-csi's
// configuration maps one to the other, or leads both to one rados namespace of one Ceph.
func (p Planner) isSame(ctx context.Context, class storageclass.Class, there where) (bool, error) {
	of := whereOfClass(class)
	if of == there || of.rest != there.rest || p.Storages == nil {
		return of == there, nil
	}
	_, ours, err := p.Storages.ClusterAs(ctx, of.clusterID, class.ProvisionerSecret)
	if err != nil {
		return false, err
	}
	_, theirs, err := p.Storages.ClusterAs(ctx, there.clusterID, class.ProvisionerSecret)
	if errors.Is(err, csiconfig.ErrNotFound) {
		return false, nil // ceph-csi does not know it either
	} else if err != nil {
		return false, err
	}
	return csiconfig.SameCeph(ours.Monitors, theirs.Monitors) && ours.RadosNamespace == theirs.RadosNamespace && ours.SubvolumeGroup == theirs.SubvolumeGroup, nil
}

// growImage makes the image or subvolume as large as planned. For a request that was raised
// it ends without a failure only when the filesystem has the size, too. The image is known to
// have had that many bytes before.
func (c *Claims) growImage(ctx context.Context, claim *corev1.PersistentVolumeClaim, p *plan, pv *corev1.PersistentVolume, raised bool, had uint64) error {
	request, err := c.request(ctx, p, keyOf(pv))
	if err != nil {
		return err
	}
	request.Exists, request.Adopt, request.MayBeLarger = true, false, raised
	requests := []provision.Request{request}
	results := provision.Ensure(ctx, requests)
	if results[0].Err != nil {
		return explain(results[0].Err)
	}
	if results[0].Deferred {
		return failure{filesystem, deferred(p.Image, p.larger().String())}
	}
	attached, err := c.attachedBefore(ctx, claim, pv)
	if err != nil {
		return err
	}
	if results[0].Grown {
		c.Metrics.grown()
		c.Events.normal(claim, eventGrown, strings.Join(provision.Summary(requests, results), "; "))
	}
	pending := conditionOf(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	// ceph-csi's node plugin expands no subvolume.
	switch online := isClusters(pv) && p.Class.RBD != nil && raised == (doorOf(claim) == byClass); {
	case raised && (p.atOnce() || !attached):
		return nil // it is shown on the claim, and then on the volume
	case online:
		tell := attached && !p.atOnce() && (raised || results[0].Grown || pending != nil)
		return c.growOnline(ctx, claim, p, pv, max(had, uint64(p.larger().Value())), tell)
	case p.atOnce() || !attached || !raised && !results[0].Grown && pending == nil:
		return nil
	}
	return failure{filesystem, fmt.Sprintf(
		"image %s has %s; ceph-csi grows the filesystem the next time the volume is staged: scale the workload to zero and up again", p.Image, p.larger())}
}

// attachedBefore reports whether a node has had the volume since before the image
// grew: its filesystem is still the old one.
func (c *Claims) attachedBefore(ctx context.Context, claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) (bool, error) {
	attachments, err := usage.Attachments(ctx, c.Client, pv.Name)
	if err != nil {
		return false, err
	}
	pending := conditionOf(claim, corev1.PersistentVolumeClaimFileSystemResizePending)
	return slices.ContainsFunc(attachments, func(a storagev1.VolumeAttachment) bool {
		return pending == nil || !a.CreationTimestamp.After(pending.LastTransitionTime.Time)
	}), nil
}
