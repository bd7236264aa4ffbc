package provisioner

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/claims"
)

// ceph-csi's external-resizer acts on every bound claim that asks for more than its
// status.capacity and whose volume has its driver, ours as well, and ceph-csi cannot expand a
// static volume. It leaves a claim alone whose status says that a node is to expand what is
// allocated, as long as the volume has that much (expandAndRecover in its package
// controller, since v1.13):
//
//	status:
//	  allocatedResources: {storage: 8Gi}
//	  allocatedResourceStatuses: {storage: NodeResizePending}
//
// So each claim whose request may rise says so from the beginning, with the size that its
// volume has then. A volume's capacity only rises, so this also holds for a resizer
// that sees an old one. A kubelet expands a volume of more than it was mounted with to what
// is allocated, and takes the mark away. Therefore a capacity is raised while the volume is
// mounted only to have it expanded (online.go), and otherwise while nobody can have it
// mounted, see [Claims.showOnVolume].

// isRaised reports whether a claim of our class asks for more than it has.
func isRaised(claim *corev1.PersistentVolumeClaim) bool {
	has, ok := claim.Status.Capacity[corev1.ResourceStorage]
	asks := requestOf(claim)
	return ok && doorOf(claim) == byClass && asks.Cmp(has) > 0
}

func requestOf(claim *corev1.PersistentVolumeClaim) resource.Quantity {
	return claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

// isMarked reports whether the external-resizer leaves the claim of the volume alone
// whatever it asks for.
func isMarked(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	allocated, ok := claim.Status.AllocatedResources[corev1.ResourceStorage]
	return ok && claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] == corev1.PersistentVolumeClaimNodeResizePending &&
		allocated.Cmp(pv.Spec.Capacity[corev1.ResourceStorage]) <= 0
}

// isExpanding reports whether a kubelet expands the claim's filesystem: it takes the mark away
// when it is done, if nobody has written to the claim meanwhile. The resizer waits for it.
func isExpanding(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	allocated := claim.Status.AllocatedResources.Storage()
	return claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage] == corev1.PersistentVolumeClaimNodeResizeInProgress &&
		allocated.Cmp(*claim.Status.Capacity.Storage()) > 0 && allocated.Cmp(*pv.Spec.Capacity.Storage()) <= 0
}

// mark marks a bound claim for the external-resizer, if its class lets requests rise. An
// API server before 1.32 drops the mark, and then requests do not rise.
func (c *Claims) mark(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if doorOf(claim) != byClass {
		return nil
	}
	var class storagev1.StorageClass
	if err := c.Client.Get(ctx, client.ObjectKey{Name: *claims.ClassName(claim)}, &class); err != nil {
		return client.IgnoreNotFound(err) // then no request rises
	}
	if !mayExpand(&class) {
		return nil
	}
	var pv corev1.PersistentVolume
	if err := c.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv); err != nil {
		return fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	if isMarked(claim, &pv) || isExpanding(claim, &pv) || !isOurPair(&pv, claim) {
		return nil
	}
	return c.patchStatus(ctx, claim, func(status *corev1.PersistentVolumeClaimStatus) {
		has := pv.Spec.Capacity[corev1.ResourceStorage]
		if allocated, ok := status.AllocatedResources[corev1.ResourceStorage]; ok && allocated.Cmp(has) <= 0 {
			has = allocated
		}
		allocateFor(status, has)
	})
}

// showOnClaim says on a claim that its volume is as large as it asks for. The resizer goes by
// that too.
func (c *Claims) showOnClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	size := requestOf(claim)
	ctrl.LoggerFrom(ctx).Info("grown as requested", "size", size.String())
	return c.patchStatus(ctx, claim, func(status *corev1.PersistentVolumeClaimStatus) {
		status.Capacity = corev1.ResourceList{corev1.ResourceStorage: size}
		// The resizer's, if nothing kept it away.
		status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
			return c.Type == corev1.PersistentVolumeClaimResizing
		})
	})
}

// patchStatus changes the status of exactly this version of the claim: what a kubelet, a
// resizer or a person has written meanwhile is looked at first.
func (c *Claims) patchStatus(ctx context.Context, claim *corev1.PersistentVolumeClaim, change func(*corev1.PersistentVolumeClaimStatus)) error {
	before := claim.DeepCopy()
	change(&claim.Status)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Status().Patch(ctx, claim, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the size of claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}
