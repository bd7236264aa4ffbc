package keeper

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// evict deletes the pods of this cluster that are bound to a node with a keyed image which
// another cluster owns, as after a failover, or when an etcd was restored: Ceph lets none of
// them map it, and what was mapped before is fenced, so nothing can be lost. Their kubelets
// take the dead devices away then, which a return of the image needs. What replaces such a
// pod is refused at admission.
//
// Without keys a pod may have the image mapped, and so it may as long as the name of its own
// volume leads there, because the owner has not renamed it yet, or the volume has the owner's
// key. Then it is left to people.
func (k *Keeper) evict(ctx context.Context, storage idle.Ceph, look idle.Look) {
	if !lost(look.Record, k.Self) || look.Image.Key == "" || look.Image.Named == look.Image.Own() || look.Volume.Orphan {
		return
	}
	log := ctrl.LoggerFrom(ctx).WithValues("volume", look.Volume.Namespace+"/"+look.Volume.Claim)
	doomed, err := k.doomed(ctx, storage, look)
	if err != nil {
		log.Error(err, "cannot find the pods that can never have their volume")
		return
	}
	for i := range doomed {
		pod := &doomed[i]
		err := k.Client.Delete(ctx, pod.DeepCopy(), client.Preconditions{UID: &pod.UID})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue // it is gone, or was recreated
		}
		if err != nil {
			log.Error(err, "cannot delete a pod that can never have its volume", "pod", pod.Name)
			continue
		}
		k.Events.OwnedElsewhere(pod, look.Volume.PV, fmt.Sprintf("%s(image %s): cluster %s owns the image, and pod %s can never have it on node %s, so it is deleted",
			prefix(look.Volume), look.Image, look.Record.Owner.Name, pod.Name, pod.Spec.NodeName))
		log.Info("deleted a pod that can never have its volume", "pod", pod.Name, "node", pod.Spec.NodeName, "owner", look.Record.Owner.Name)
	}
}

// lost reports whether the image is keyed, and another cluster's for good. One that is being
// taken may yet be given back.
func lost(record ceph.Record, self ceph.Party) bool {
	return record.Keyed && record.State == ceph.Held && !ownership.Owns(record, self)
}

// doomed are the bound pods. The record is read again after them: had this cluster owned the
// image in between, one of them could have been admitted then.
func (k *Keeper) doomed(ctx context.Context, storage idle.Ceph, look idle.Look) ([]corev1.Pod, error) {
	// If the claim is bound to another volume, its pods use that one.
	claim, err := k.claimOf(ctx, look.Volume)
	if claim == nil || err != nil {
		return nil, err
	}
	// The API server is asked only if the cache has such a pod.
	var bound []corev1.Pod
	for _, source := range []usage.Source{k.Usage.Cached(), k.Usage.Live()} {
		pods, err := k.Usage.Pods(ctx, source, look.Volume)
		if err != nil {
			return nil, err
		}
		bound = slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return pod.Spec.NodeName == "" || pod.DeletionTimestamp != nil })
		if len(bound) == 0 {
			return nil, nil
		}
	}
	now, err := ownership.Read(ctx, storage, look.Image)
	if err != nil || !lost(now, k.Self) || now.Epoch != look.Record.Epoch {
		return nil, err
	}
	return bound, nil
}
