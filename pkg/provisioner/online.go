package provisioner

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A filesystem that is mounted is grown by the kubelet of its node, when the capacity of the
// PersistentVolume says that there is more. So it is raised for an image that has grown, and
// never for one that has not: ceph-csi answers OK to a kubelet whose device has no more room.
// In Kubernetes 1.36:
//
//   - Whenever it syncs a pod, about once a minute, kubelet reads the claim and its volume
//     (checkVolumeFSResize in its package volumemanager/populator). It remembers the claim's
//     status.capacity as the size of what is mounted, the first time only.
//   - Where the volume's capacity is more than that (volumeNeedsExpansion in
//     volumemanager/cache), and where a claim has less than its volume when a pod mounts it
//     (expandVolumeDuringMount), it reads the claim again, and calls NodeExpandVolume
//     (nodeExpandVolume in volume/util/operationexecutor).
//   - For a claim without status.allocatedResources, it then writes the capacity of the volume
//     into the claim (legacyCallNodeExpandOnPlugin).
//   - For others it expands to what is allocated, writes that into the claim and takes the mark
//     away, and nothing without a mark (NodeExpander.expandOnPlugin). Where less is allocated
//     than the volume has, it looks again for ever.
//
// A claim of our class has a mark, for ceph-csi's resizer (see resizer.go), which acts on one
// that has more allocated than its volume. So the volume is raised first, and what is allocated
// a moment later: a kubelet that was faster takes the mark of before, and gets the next one.

// retryRaised is when after a volume what is allocated for its claim is raised: a resizer has
// heard of the volume by then, and no kubelet has carried out anything.
const retryRaised = 50 * time.Millisecond

// errRaised says that a volume was raised, and that there is more to do in a moment.
var errRaised = errors.New("the volume was raised")

// sizes are what is said of one volume's size, in bytes.
type sizes struct {
	// Image is what Ceph has, Asked what the claim asks for.
	Image, Asked int64
	// Volume is the capacity of the PersistentVolume, Claim the one in the claim's status:
	// what its filesystem has.
	Volume, Claim int64
	// Requested: the claim asks by its request, so that ceph-csi's resizer looks at it.
	Requested bool
	// Allocated is what a node is to expand the filesystem to; 0 is nothing.
	Allocated int64
}

// step is what comes next until the filesystem is as large as its image.
type step string

const (
	// done: nobody has anything to do.
	done step = "done"
	// raise the capacity of the PersistentVolume.
	raise step = "raise"
	// allocate as much for the claim as its PersistentVolume has.
	allocate step = "allocate"
	// await what a kubelet does.
	await step = "await"
)

// target is the capacity that the volume is to have: what is asked for and there. Nothing is
// ever lowered.
func (s sizes) target() int64 { return max(s.Volume, min(s.Image, s.Asked)) }

// next is what comes next.
func (s sizes) next() step {
	switch to := s.target(); {
	case to > s.Image:
		return done // somebody else's doing, and nothing to tell a kubelet
	case s.Volume < to:
		return raise
	case s.Claim >= to:
		return done
	case s.Requested && s.Allocated != to:
		return allocate
	default:
		return await
	}
}

// expandingTo is what a node expands the claim's filesystem to, or will as soon as it has it
// mounted; 0 is nothing.
func expandingTo(claim *corev1.PersistentVolumeClaim) int64 {
	status := claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]
	if status != corev1.PersistentVolumeClaimNodeResizePending && status != corev1.PersistentVolumeClaimNodeResizeInProgress {
		return 0
	}
	return claim.Status.AllocatedResources.Storage().Value()
}

// growOnline has the filesystem of an image that has grown follow, in a volume that the
// cluster made: the renderer's volumes are Helm's, which would set them back. It fails until
// the claim says that the filesystem has followed, if that is to be told.
func (c *Claims) growOnline(ctx context.Context, claim *corev1.PersistentVolumeClaim, p *plan, pv *corev1.PersistentVolume, image uint64, tell bool) error {
	s := sizes{
		Image: int64(image), Asked: p.larger().Value(),
		Volume: pv.Spec.Capacity.Storage().Value(), Claim: claim.Status.Capacity.Storage().Value(),
		Requested: doorOf(claim) == byClass, Allocated: expandingTo(claim),
	}
	if s.Requested {
		s.Asked = p.Request.Value()
	}
	todo := s.next()
	to := *resource.NewQuantity(s.target(), resource.BinarySI)
	switch todo {
	case raise:
		if err := c.raiseVolume(ctx, pv, to); err != nil {
			return err
		}
		if s.Requested {
			return errRaised
		}
	case allocate:
		ctrl.LoggerFrom(ctx).Info("a node is to grow the filesystem", "size", to.String())
		if err := c.patchStatus(ctx, claim, func(status *corev1.PersistentVolumeClaimStatus) { allocateFor(status, to) }); err != nil {
			return err
		}
	case done:
		if s.Requested && s.Claim < s.Asked {
			return failure{filesystem, fmt.Sprintf("PersistentVolume %s says %s, which is more than its image %s has, so no node grows the filesystem; "+
				"ceph-csi does when the volume is staged the next time: scale the workload to zero and up again", pv.Name, to.String(), p.Image)}
		}
		return nil
	case await:
	}
	if !tell {
		return nil
	}
	return failure{filesystem, fmt.Sprintf(
		"image %s has %s; the node that has it mounted grows the filesystem, usually within two minutes; where it does not, scale the workload to zero and up again", p.Image, to.String())}
}

// allocateFor marks a claim so that a node expands its filesystem to that size.
func allocateFor(status *corev1.PersistentVolumeClaimStatus, size resource.Quantity) {
	status.AllocatedResources = corev1.ResourceList{corev1.ResourceStorage: size}
	status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{
		corev1.ResourceStorage: corev1.PersistentVolumeClaimNodeResizePending,
	}
}

// raiseVolume raises the capacity of exactly this version of a PersistentVolume.
func (c *Claims) raiseVolume(ctx context.Context, pv *corev1.PersistentVolume, size resource.Quantity) error {
	ctrl.LoggerFrom(ctx).Info("raises the volume", "persistentVolume", pv.Name, "size", size.String())
	raised := pv.DeepCopy()
	raised.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: size}
	if err := c.Client.Patch(ctx, raised, client.MergeFromWithOptions(pv, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("raise the capacity of PersistentVolume %s: %w", pv.Name, err)
	}
	return nil
}
