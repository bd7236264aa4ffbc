package guard

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// UnusedAnnotation on a guarded Namespace says that the label is about to go, because
// no guarded volume has a claim there. Whoever wants the label on the namespace removes
// it, and asks the API server whether it is there.
const UnusedAnnotation = "cephferry.io/unused"

// Unused takes the label from namespaces that no guarded volume has a claim in any
// more. Nobody else may: the chart's policy keeps it there.
//
// A volume that nobody sees yet may be on its way: the volume endpoint has labelled
// the namespace, and the API server is about to store the volume. So the namespace
// is marked first. A volume that was admitted before the mark is stored before Grace
// is over, and the last look finds it. One that is admitted later removes the mark,
// and the label is only taken from the namespace as it was when it was marked.
type Unused struct {
	Client client.Client
	Finder volumes.Finder
	// Grace is the time after which an admitted volume is stored, or never.
	Grace time.Duration
	Now   func() time.Time

	// marked are the namespaces with the mark, and when this process first saw it, so that only its
	// own clock counts. Reconcile runs one at a time.
	marked map[string]mark
}

type mark struct {
	version string
	since   time.Time
}

// Reconcile takes the label from one namespace, or waits.
func (u *Unused) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var namespace corev1.Namespace
	err := u.Client.Get(ctx, request.NamespacedName, &namespace)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, err
	}
	if err != nil || namespace.DeletionTimestamp != nil || namespace.Labels[GuardedLabel] != "true" {
		delete(u.marked, request.Name)
		return reconcile.Result{}, nil
	}
	if used, err := u.used(ctx, u.Finder.Cache, request.Name, client.MatchingFields{volumes.ByNamespace: request.Name}); err != nil || used {
		return reconcile.Result{}, err
	}
	if _, ok := namespace.Annotations[UnusedAnnotation]; !ok {
		return reconcile.Result{}, u.patch(ctx, &namespace, `"annotations":{"`+UnusedAnnotation+`":"true"}`)
	}
	if seen, ok := u.marked[request.Name]; !ok || seen.version != namespace.ResourceVersion {
		if u.marked == nil {
			u.marked = map[string]mark{}
		}
		u.marked[request.Name] = mark{namespace.ResourceVersion, u.Now()}
	}
	if left := u.Grace - u.Now().Sub(u.marked[request.Name].since); left > 0 {
		return reconcile.Result{RequeueAfter: left}, nil
	}
	// The cache may lag, so the API server is asked.
	if used, err := u.used(ctx, u.Finder.API, request.Name); err != nil || used {
		return reconcile.Result{}, err
	}
	if err := u.patch(ctx, &namespace, `"labels":{"`+GuardedLabel+`":null},"annotations":{"`+UnusedAnnotation+`":null}`); err != nil {
		return reconcile.Result{}, err
	}
	ctrl.LoggerFrom(ctx).Info("no guarded volume has a claim in the namespace any more: it is not guarded", "namespace", request.Name)
	return reconcile.Result{}, nil
}

// patch changes the namespace unless somebody did so meanwhile, which is another
// event.
func (u *Unused) patch(ctx context.Context, namespace *corev1.Namespace, metadata string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,%s}}`, namespace.ResourceVersion, metadata)
	err := u.Client.Patch(ctx, namespace.DeepCopy(), client.RawPatch("application/merge-patch+json", patch))
	if err == nil || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("change namespace %s: %w", namespace.Name, err)
}

// used reports whether a guarded volume has, had or waits for a claim in the
// namespace. The API server has no index of that.
func (u *Unused) used(ctx context.Context, from client.Reader, namespace string, index ...client.ListOption) (bool, error) {
	var list corev1.PersistentVolumeList
	if err := from.List(ctx, &list, append(index, client.UnsafeDisableDeepCopy)...); err != nil {
		return false, fmt.Errorf("list persistent volumes: %w", err)
	}
	for i := range list.Items {
		if u.namespaceOf(&list.Items[i]) == namespace {
			return true, nil
		}
	}
	return false, nil
}

// namespaceOf is the namespace that a PersistentVolume makes a guarded one. It does
// not matter that the image is not known.
func (u *Unused) namespaceOf(pv *corev1.PersistentVolume) string {
	volume, guarded, _ := u.Finder.Guarded(pv)
	if !guarded {
		return ""
	}
	return volume.Namespace
}

// SetupWithManager makes Reconcile run for labelled namespaces, and for those that
// lose a guarded volume.
func (u *Unused) SetupWithManager(manager ctrl.Manager) error {
	labelled := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetLabels()[GuardedLabel] == "true"
	})
	lost := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := u.namespaceOf(e.ObjectOld.(*corev1.PersistentVolume)), u.namespaceOf(e.ObjectNew.(*corev1.PersistentVolume))
			return before != "" && before != after
		},
	}
	claimed := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		ref := object.(*corev1.PersistentVolume).Spec.ClaimRef
		if ref == nil {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: ref.Namespace}}}
	})
	return ctrl.NewControllerManagedBy(manager).
		Named("unused").
		For(&corev1.Namespace{}, builder.WithPredicates(labelled)).
		Watches(&corev1.PersistentVolume{}, claimed, builder.WithPredicates(lost)).
		Complete(u)
}
