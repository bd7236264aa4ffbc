package guard

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// GuardedLabel on a Namespace makes the API server ask the pod endpoint about its
// pods. It is put there when a guarded volume gets a claim in the namespace. Only
// Unused takes it away.
const GuardedLabel = "cephferry.io/guarded"

// Namespaces keeps the label on the namespaces of guarded volumes. The volume
// endpoint puts it there first; this is for volumes that were there before the
// webhook, and for labels that somebody removed.
type Namespaces struct {
	Client client.Client
	Finder volumes.Finder
}

// Label makes sure that a namespace has the label, and not the mark that it is unused.
// Whether it is so is read from the API server: a cache that does not know of the mark yet
// would leave it there, see [Unused]. Where it is so, as for all volumes of a namespace but
// its first, nothing is written.
func (n *Namespaces) Label(ctx context.Context, name string) error {
	var namespace corev1.Namespace
	err := n.Finder.API.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	switch {
	case err != nil:
		return notLabelled(name, err)
	case isLabelled(&namespace):
		return nil
	}
	return n.label(ctx, name)
}

func isLabelled(namespace *corev1.Namespace) bool {
	_, unused := namespace.Annotations[UnusedAnnotation]
	return !unused && namespace.Labels[GuardedLabel] == "true"
}

// label puts the label on a namespace, and takes away the mark.
func (n *Namespaces) label(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{}
	namespace.Name = name
	patch := []byte(`{"metadata":{"labels":{"` + GuardedLabel + `":"true"},"annotations":{"` + UnusedAnnotation + `":null}}}`)
	if err := n.Client.Patch(ctx, namespace, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return notLabelled(name, err)
	}
	return nil
}

func notLabelled(name string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("label namespace %s: it does not exist; create it before its volumes", name)
	}
	return fmt.Errorf("label namespace %s: %w", name, err)
}

// Reconcile labels the namespace of one PersistentVolume.
func (n *Namespaces) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var pv corev1.PersistentVolume
	if err := n.Client.Get(ctx, request.NamespacedName, &pv, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	volume, guarded, unknown := n.Finder.Guarded(&pv)
	if !guarded || volume.Namespace == "" {
		return reconcile.Result{}, nil
	}
	var namespace corev1.Namespace
	if err := n.Client.Get(ctx, client.ObjectKey{Name: volume.Namespace}, &namespace, client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !isLabelled(&namespace) {
		if err := n.label(ctx, volume.Namespace); err != nil {
			return reconcile.Result{}, err
		}
	}
	if unknown != nil {
		// The pod endpoint refuses the pods of this volume. Retrying would fail until somebody
		// changes the PV.
		return reconcile.Result{}, reconcile.TerminalError(unknown)
	}
	return reconcile.Result{}, nil
}

// SetupWithManager makes Reconcile run for every PersistentVolume, and for those
// of a namespace that lost the label.
func (n *Namespaces) SetupWithManager(manager ctrl.Manager) error {
	unlabelled := predicate.NewPredicateFuncs(func(object client.Object) bool {
		return object.GetLabels()[GuardedLabel] != "true"
	})
	return ctrl.NewControllerManagedBy(manager).
		Named("namespaces").
		For(&corev1.PersistentVolume{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(n.volumesIn), builder.WithPredicates(unlabelled)).
		Complete(n)
}

// volumesIn are the PersistentVolumes with claims in the namespace.
func (n *Namespaces) volumesIn(ctx context.Context, namespace client.Object) []reconcile.Request {
	var list corev1.PersistentVolumeList
	if err := n.Client.List(ctx, &list, client.MatchingFields{volumes.ByNamespace: namespace.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list persistent volumes", "namespace", namespace.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
