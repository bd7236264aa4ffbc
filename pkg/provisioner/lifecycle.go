package provisioner

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Volumes looks after our PersistentVolumes when their claims are gone.
type Volumes struct {
	Client  client.Client
	API     client.Reader
	Metrics *Metrics

	// refused has what was said of PersistentVolumes that may not change yet, by their names.
	refused sync.Map
}

// fate is what becomes of a PersistentVolume when its claim is gone.
type fate string

const (
	stays   fate = ""
	removed fate = "removed"
	freed   fate = "freed"
)

// fateOf decides. Only volumes that are ours in every respect change, and only
// where deleting the object leaves the image alone.
//
//	made by                                  phase      fate
//	the cluster                              any        removed
//	the renderer                             Released   freed: its next claim can be bound
//	others, or with another reclaim policy   any        stays
func fateOf(pv *corev1.PersistentVolume) fate {
	ref := pv.Spec.ClaimRef
	switch {
	case pv.DeletionTimestamp != nil || ref == nil || ref.UID == "",
		pv.Annotations[annotations.Migratable] != "true",
		!staticpv.IsPair(pv, ref.Namespace, ref.Name),
		pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain:
		return stays
	case isClusters(pv):
		return removed
	case pv.Annotations[CreatedBy] == "" && pv.Status.Phase == corev1.VolumeReleased:
		return freed
	default:
		return stays
	}
}

// Reconcile looks at one PersistentVolume.
func (v *Volumes) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var pv corev1.PersistentVolume
	if err := v.Client.Get(ctx, request.NamespacedName, &pv); err != nil {
		v.refused.Delete(request.Name)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	then := fateOf(&pv)
	if then == stays {
		v.refused.Delete(request.Name)
		return reconcile.Result{}, nil
	}
	if pv.Status.Phase != corev1.VolumeReleased && v.hasClaim(ctx, pv.Spec.ClaimRef) {
		return reconcile.Result{}, nil // kube-controller-manager makes it Released, which is watched
	}
	if gone, err := v.claimGone(ctx, pv.Spec.ClaimRef); err != nil || !gone {
		return reconcile.Result{}, err
	}
	var err error
	if then == removed {
		var attached bool
		if attached, err = v.attached(ctx, pv.Name); err != nil || attached {
			return reconcile.Result{}, err // the end of the attachment is watched
		}
		err = v.remove(ctx, &pv)
	} else {
		err = v.free(ctx, &pv)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return reconcile.Result{}, nil // it has changed, so it comes again
	case apierrors.IsForbidden(err):
		// The guard: a pod waits for the volume, and another cluster has the image.
		if said, _ := v.refused.Swap(pv.Name, err.Error()); said != err.Error() {
			ctrl.LoggerFrom(ctx).Info("refused", "fate", then, "message", err.Error())
		}
		return reconcile.Result{RequeueAfter: retryHeld}, nil
	case err != nil:
		return reconcile.Result{}, err
	}
	v.Metrics.volume(then)
	ctrl.LoggerFrom(ctx).Info("the claim is gone", "fate", then, "claim", pv.Spec.ClaimRef.Namespace+"/"+pv.Spec.ClaimRef.Name)
	return reconcile.Result{}, nil
}

// hasClaim reports whether the cache has the claim. It may be gone all the same.
func (v *Volumes) hasClaim(ctx context.Context, ref *corev1.ObjectReference) bool {
	var claim corev1.PersistentVolumeClaim
	err := v.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &claim)
	return err == nil && claim.UID == ref.UID
}

// claimGone asks the API server: a cache may not have a claim yet.
func (v *Volumes) claimGone(ctx context.Context, ref *corev1.ObjectReference) (bool, error) {
	var claim corev1.PersistentVolumeClaim
	err := v.API.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &claim)
	if apierrors.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("read claim %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return claim.UID != ref.UID, nil
}

// attached reports whether the volume is attached to a node, or being detached.
func (v *Volumes) attached(ctx context.Context, name string) (bool, error) {
	attachments, err := usage.Attachments(ctx, v.API, name)
	return len(attachments) > 0, err
}

// remove deletes the object, if it still is as it was looked at.
func (v *Volumes) remove(ctx context.Context, pv *corev1.PersistentVolume) error {
	return v.Client.Delete(ctx, pv, client.Preconditions{UID: &pv.UID, ResourceVersion: &pv.ResourceVersion})
}

// free makes the volume one for the claim's name again, whatever claim that is.
func (v *Volumes) free(ctx context.Context, pv *corev1.PersistentVolume) error {
	changed := pv.DeepCopy()
	changed.Spec.ClaimRef.UID, changed.Spec.ClaimRef.ResourceVersion = "", ""
	return v.Client.Patch(ctx, changed, client.MergeFromWithOptions(pv, client.MergeFromWithOptimisticLock{}))
}
