package rekey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// protection is the finalizer with which Kubernetes keeps a volume that is bound. The
// proof that nothing uses it is better than that.
const protection = "kubernetes.io/pv-protection"

const poll = 200 * time.Millisecond

// delete takes the volume out of the cluster, if it still is the one that was looked at.
func (r *Rekeyer) delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.DeletionTimestamp == nil {
		err := r.API.Delete(ctx, pv, client.Preconditions{UID: &pv.UID, ResourceVersion: &pv.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete PersistentVolume %s: %w", pv.Name, err)
		}
	}
	var left []string
	err := wait.PollUntilContextTimeout(ctx, poll, r.Limit, true, func(ctx context.Context) (bool, error) {
		var now corev1.PersistentVolume
		err := r.API.Get(ctx, client.ObjectKeyFromObject(pv), &now)
		if apierrors.IsNotFound(err) || err == nil && now.UID != pv.UID {
			return true, nil
		} else if err != nil {
			return false, err
		}
		left = now.Finalizers
		if !slices.Contains(left, protection) {
			return false, nil
		}
		before := now.DeepCopy()
		now.Finalizers = slices.DeleteFunc(now.Finalizers, func(f string) bool { return f == protection })
		err = r.API.Patch(ctx, &now, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			err = nil // it has changed, so it is read again
		}
		return false, err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("wait until PersistentVolume %s is deleted: its finalizers keep it (%s); once they are gone, run the same command again", pv.Name, strings.Join(left, ", "))
	}
	return err
}

// make creates the volume, unless a run that died has done so.
func (r *Rekeyer) make(ctx context.Context, next *corev1.PersistentVolume) error {
	create := next.DeepCopy()
	create.UID, create.ResourceVersion = "", ""
	err := r.API.Create(ctx, create)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			err = fmt.Errorf("make PersistentVolume %s: %w; run the same command again, or `kubectl create --filename %s`", next.Name, err, r.Copies.Path(next.Name))
		}
		return err
	}
	var now corev1.PersistentVolume
	if err := r.API.Get(ctx, client.ObjectKeyFromObject(next), &now); err != nil {
		return fmt.Errorf("read PersistentVolume %s: %w", next.Name, err)
	}
	if now.Spec.CSI == nil || now.Spec.CSI.VolumeHandle != next.Spec.CSI.VolumeHandle {
		return fmt.Errorf("somebody else has created PersistentVolume %s in the meantime, with another handle; delete that one, then run `kubectl create --filename %s`", next.Name, r.Copies.Path(next.Name))
	}
	return nil
}

// finish waits until volume and claim are bound, and forgets the copy.
func (r *Rekeyer) finish(ctx context.Context, pair Pair, say func(string)) error {
	var volume, claim string
	err := wait.PollUntilContextTimeout(ctx, poll, r.Limit, true, func(ctx context.Context) (bool, error) {
		var pv corev1.PersistentVolume
		if err := r.API.Get(ctx, client.ObjectKey{Name: pair.Claim.Spec.VolumeName}, &pv); err != nil {
			return false, err
		}
		var pvc corev1.PersistentVolumeClaim
		if err := r.API.Get(ctx, client.ObjectKeyFromObject(pair.Claim), &pvc); err != nil {
			return false, err
		}
		volume, claim = string(pv.Status.Phase), string(pvc.Status.Phase)
		return pv.Status.Phase == corev1.VolumeBound && pvc.Status.Phase == corev1.ClaimBound, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("wait until the claim is bound again: the claim is %s, PersistentVolume %s is %s; run the same command again, and look at the events of the claim", claim, pair.Claim.Spec.VolumeName, volume)
	} else if err != nil {
		return err
	}
	if err := r.Copies.Remove(pair.Claim.Spec.VolumeName); err != nil {
		return err
	}
	say("keyed, and bound")
	return nil
}
