package keeper

import (
	"context"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// gather is how long a use that begins or goes on is waited for: a pod that starts is stored,
// bound, attached and reported in a row, and one look sees all of it. What ends is looked
// at at once, because somebody may wait for the image.
const gather = 300 * time.Millisecond

// change is what an event says: which volumes it concerns, and whether a use of them has
// ended.
type change struct {
	volumes []string
	ended   bool
}

// hears makes Reconcile run for the volumes that a change concerns. before is nil for an object
// that is new, now for one that is gone. What is there when the leader begins, the first sweep
// looks at.
func (k *Keeper) hears(concerns func(ctx context.Context, before, now client.Object) change) handler.EventHandler {
	tell := func(ctx context.Context, q lookQueue, before, now client.Object) {
		what := concerns(ctx, before, now)
		for _, pv := range what.volumes {
			if what.ended {
				q.Add(requestFor(pv))
			} else {
				q.AddAfter(requestFor(pv), gather)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q lookQueue) {
			if !e.IsInInitialList {
				tell(ctx, q, nil, e.Object)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q lookQueue) { tell(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q lookQueue) { tell(ctx, q, e.Object, nil) },
	}
}

func requestFor(pv string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: pv}}
}

// ofVolume: the volume itself. One that is deleted is remembered until its image is released:
// nothing else leads there.
func (k *Keeper) ofVolume(_ context.Context, before, now client.Object) change {
	old, _ := before.(*corev1.PersistentVolume)
	pv, _ := now.(*corev1.PersistentVolume)
	switch {
	case pv == nil && old == nil:
		return change{}
	case pv == nil:
		if volume, guarded, err := k.Finder.Guarded(old); guarded && volume.Claim != "" && err == nil {
			k.known.Store(old.Name, volume)
		}
		return change{volumes: []string{old.Name}, ended: true}
	case old != nil && reflect.DeepEqual(old.Spec, pv.Spec) && reflect.DeepEqual(old.Annotations, pv.Annotations) &&
		(old.DeletionTimestamp == nil) == (pv.DeletionTimestamp == nil):
		return change{} // its status and labels do not matter here
	}
	return change{volumes: []string{pv.Name}}
}

// ofAttachment: the volume that is attached, or not any more. That it is attached by now changes
// nothing: the node counts from the beginning, and reports the volume before it maps it.
func (k *Keeper) ofAttachment(_ context.Context, before, now client.Object) change {
	old, _ := before.(*storagev1.VolumeAttachment)
	attachment, _ := now.(*storagev1.VolumeAttachment)
	switch {
	case attachment == nil && old == nil:
		return change{}
	case attachment == nil:
		return change{volumes: named(usage.VolumeOf(old)), ended: true}
	case old != nil:
		return change{}
	}
	return change{volumes: named(usage.VolumeOf(attachment))}
}

func named(pv string) []string {
	if pv == "" {
		return nil
	}
	return []string{pv}
}

// ofNode: the volumes that it reports, or does not any more; and if it is another boot, was made
// or deleted, or begins or ceases to report, those of which it is a holder.
func (k *Keeper) ofNode(ctx context.Context, before, now client.Object) change {
	old, _ := before.(*corev1.Node)
	node, _ := now.(*corev1.Node)
	var was, is []corev1.UniqueVolumeName
	var all []ceph.Node
	if old != nil {
		was, all = old.Status.VolumesInUse, append(all, usage.RecordedNode(old))
	}
	if node != nil {
		is, all = node.Status.VolumesInUse, append(all, usage.RecordedNode(node))
	}
	var what change
	for _, volume := range was {
		if !slices.Contains(is, volume) {
			what.volumes, what.ended = append(what.volumes, k.reported(ctx, volume)...), true
		}
	}
	for _, volume := range is {
		if !slices.Contains(was, volume) {
			what.volumes = append(what.volumes, k.reported(ctx, volume)...)
		}
	}
	if len(all) != 2 || !reflect.DeepEqual(all[0], all[1]) {
		what.volumes = append(what.volumes, k.ledger.heldBy(func(holder ceph.Node) bool {
			return slices.ContainsFunc(all, func(n ceph.Node) bool { return ownership.Concerns(holder, n) })
		})...)
	}
	if old != nil && node != nil {
		_, before := usage.SilentSince(old)
		if _, now := usage.SilentSince(node); before != now {
			what.volumes = append(what.volumes, k.on(node.Name)...)
		}
	}
	slices.Sort(what.volumes)
	what.volumes = slices.Compact(what.volumes)
	return what
}

// reported are the volumes by that name in status.volumesInUse. One may be among them twice: the index
// has it by several of the keys.
func (k *Keeper) reported(ctx context.Context, name corev1.UniqueVolumeName) []string {
	_, handle, ok := volumes.OfInUse(name)
	if !ok {
		return nil
	}
	var all []string
	for _, key := range staticpv.KeysOfImage(handle) {
		for _, pv := range k.find(ctx, client.MatchingFields{volumes.ByImage: key}) {
			if pv.Spec.CSI != nil && volumes.InUse(pv.Spec.CSI) == name {
				all = append(all, pv.Name)
			}
		}
	}
	return all
}

// ofPod: the volumes of its claims, when it is stored, bound to a node, ready to start its
// containers, runs, or is gone. When it is ready to start them, its node has mapped all of them, and
// their watchers are there. A pod with init containers runs only after those. That it runs tells the
// same where the kubelet does not say that it is ready.
func (k *Keeper) ofPod(ctx context.Context, before, now client.Object) change {
	old, _ := before.(*corev1.Pod)
	pod, _ := now.(*corev1.Pod)
	what := change{ended: pod == nil || usage.IsFinished(pod)}
	switch {
	case pod == nil && old == nil:
		return change{}
	case pod == nil:
		pod = old
	case old != nil && old.Spec.NodeName == pod.Spec.NodeName && old.Status.Phase == pod.Status.Phase && usage.IsReadyToStart(old) == usage.IsReadyToStart(pod):
		return change{}
	}
	for _, claim := range volumes.ClaimsOfPod(pod.Name, &pod.Spec) {
		for _, pv := range k.find(ctx, client.MatchingFields{volumes.ByClaim: pod.Namespace + "/" + claim}) {
			what.volumes = append(what.volumes, pv.Name)
		}
	}
	return what
}

// find looks in the cache, whose objects are not to be changed. It does not fail but for
// a cache that ends.
func (k *Keeper) find(ctx context.Context, options ...client.ListOption) []corev1.PersistentVolume {
	var list corev1.PersistentVolumeList
	if err := k.Finder.Cache.List(ctx, &list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list PersistentVolumes")
	}
	return list.Items
}
