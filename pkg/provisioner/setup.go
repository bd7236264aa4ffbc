package provisioner

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
)

// parallel is how many claims are worked on at a time. A Ceph that does not answer
// holds each of them for some seconds.
const parallel = 8

// options are those of both controllers.
func options() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: parallel,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, maxBackoff),
		// A controller whose watches do not begin, because a right is missing, ends
		// the whole process after this time; the webhook in it has to live on.
		CacheSyncTimeout: 10 * 365 * 24 * time.Hour,
	}
}

// SetupWithManager makes Reconcile run for every claim with our annotations or a class
// of ours, and again for those that wait when a class, their namespace, or a volume in their way
// has changed.
func (c *Claims) SetupWithManager(manager ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(object client.Object) bool {
		claim, ok := object.(*corev1.PersistentVolumeClaim)
		return ok && (annotations.Has(claim.Annotations) || doorOf(claim) != noDoor)
	})
	waiting := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, changed client.Object) []reconcile.Request {
		if _, ok := changed.(*corev1.Namespace); ok {
			return c.waiting(ctx, client.InNamespace(changed.GetName()))
		}
		return c.waiting(ctx)
	})
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	outOfTheWay := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool { return !isReleased(e.ObjectOld) && isReleased(e.ObjectNew) },
	}
	expands := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false }, // each claim comes by itself
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool { return !mayExpand(e.ObjectOld) && mayExpand(e.ObjectNew) },
	}
	bound := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, class client.Object) []reconcile.Request {
		return c.those(ctx, func(claim *corev1.PersistentVolumeClaim) bool {
			return doorOf(claim) == byClass && isBound(claim) && *claims.ClassName(claim) == class.GetName()
		})
	})
	c.again = make(chan event.GenericEvent)
	if err := manager.Add(look{c}); err != nil {
		return fmt.Errorf("set up the look at what claims wait for: %w", err)
	}
	err := ctrl.NewControllerManagedBy(manager).
		Named("claims").
		For(&corev1.PersistentVolumeClaim{}, builder.WithPredicates(ours)).
		Watches(&storagev1.StorageClass{}, waiting, builder.WithPredicates(changed)).
		Watches(&storagev1.StorageClass{}, bound, builder.WithPredicates(expands)).
		Watches(&corev1.Namespace{}, waiting, builder.WithPredicates(changed)).
		Watches(&corev1.PersistentVolume{}, waiting, builder.WithPredicates(outOfTheWay)).
		WatchesRawSource(source.Channel(c.again, &handler.EnqueueRequestForObject{})).
		WithOptions(options()).
		Complete(c)
	if err != nil {
		return fmt.Errorf("set up the claims' controller: %w", err)
	}
	return nil
}

func isReleased(object client.Object) bool {
	pv, ok := object.(*corev1.PersistentVolume)
	return ok && pv.Status.Phase == corev1.VolumeReleased
}

// mayExpand reports whether requests of a class of ours may rise.
func mayExpand(object client.Object) bool {
	class, ok := object.(*storagev1.StorageClass)
	return ok && storageclass.IsOurs(class) && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}

// waiting are the claims that have no volume yet.
func (c *Claims) waiting(ctx context.Context, in ...client.ListOption) []reconcile.Request {
	return c.those(ctx, waits, in...)
}

// those are the claims for which that holds.
func (c *Claims) those(ctx context.Context, which func(*corev1.PersistentVolumeClaim) bool, in ...client.ListOption) []reconcile.Request {
	var list corev1.PersistentVolumeClaimList
	if err := c.Client.List(ctx, &list, append(in, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list claims")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if which(&list.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// SetupWithManager makes Reconcile run for every PersistentVolume of ours, and when
// one of them was detached.
func (v *Volumes) SetupWithManager(manager ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetAnnotations()[annotations.Migratable] == "true"
	})
	detached := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		if attachment, ok := object.(*storagev1.VolumeAttachment); ok && usage.VolumeOf(attachment) != "" {
			return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: usage.VolumeOf(attachment)}}}
		}
		return nil
	})
	err := ctrl.NewControllerManagedBy(manager).
		Named("volumes").
		For(&corev1.PersistentVolume{}, builder.WithPredicates(ours)).
		Watches(&storagev1.VolumeAttachment{}, detached, builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return false },
			UpdateFunc: func(event.UpdateEvent) bool { return false },
		})).
		WithOptions(options()).
		Complete(v)
	if err != nil {
		return fmt.Errorf("set up the volumes' controller: %w", err)
	}
	return nil
}
