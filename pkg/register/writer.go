package register

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// interval is how often a registration is written in which nothing has changed.
	interval = time.Minute
	// retry is after what time one is tried again that could not be written, and soon is
	// the same if somebody else was faster.
	retry = 10 * time.Second
	soon  = time.Second
	// limit bounds one attempt. Only the listing of many records takes long.
	limit = time.Minute
	// parallel is how many places are written at a time, so that one whose Ceph does not
	// answer does not keep the others waiting.
	parallel = 8
)

// Ceph is the part of ceph.Cluster that this package uses.
type Ceph interface {
	ceph.Registrar
	ceph.RecordLister
}

// Place is where this cluster has guarded volumes. Two clusterIDs may lead to one
// registration, which is then written twice as often.
type Place struct{ ClusterID, Pool string }

// Writer writes the registrations of one cluster.
type Writer struct {
	// Self is this cluster, as records name it, and Version that of the program.
	Self    ceph.Party
	Version string
	Finder  volumes.Finder
	// Storage leads from a clusterID to its Ceph cluster and to the rados namespace of its
	// images.
	Storage func(ctx context.Context, clusterID string) (Ceph, string, error)
	Metrics *Metrics
	Log     logr.Logger
	Now     func() time.Time

	mu     sync.Mutex
	places map[Place]*state
}

// state is what the Writer remembers of a place.
type state struct {
	// written is when it was written last, failing what has gone wrong since.
	written time.Time
	failing string
}

// SetupWithManager makes Reconcile run, in the leader, for every place: when the first
// volume there comes, and when a Node object has changed in what is registered.
func (w *Writer) SetupWithManager(manager ctrl.Manager) error {
	toPlaces := func(f func(client.Object) []Place) handler.TypedEventHandler[client.Object, Place] {
		return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []Place { return f(object) })
	}
	return builder.TypedControllerManagedBy[Place](manager).
		Named("register").
		Watches(&corev1.PersistentVolume{}, toPlaces(w.comesTo)).
		Watches(&corev1.Node{}, toPlaces(w.known), builder.WithPredicates(predicate.Funcs{UpdateFunc: nodeChanged})).
		WithLogConstructor(func(place *Place) logr.Logger {
			if place == nil {
				return w.Log
			}
			return w.Log.WithValues("clusterID", place.ClusterID, "pool", place.Pool)
		}).
		WithOptions(controller.TypedOptions[Place]{MaxConcurrentReconciles: parallel}).
		Complete(w)
}

// nodeChanged passes over the heartbeats.
func nodeChanged(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*corev1.Node)
	now, same := e.ObjectNew.(*corev1.Node)
	return !ok || !same || !reflect.DeepEqual(usage.RecordedNode(before), usage.RecordedNode(now))
}

// comesTo is the place of a guarded volume, if it is not known yet.
func (w *Writer) comesTo(object client.Object) []Place {
	pv, ok := object.(*corev1.PersistentVolume)
	if !ok {
		return nil
	}
	place, ok := w.placeOf(pv)
	if !ok {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.places[place] != nil {
		return nil
	}
	if w.places == nil {
		w.places = map[Place]*state{}
	}
	w.places[place] = &state{}
	return []Place{place}
}

func (w *Writer) placeOf(pv *corev1.PersistentVolume) (Place, bool) {
	volume, guarded, _ := w.Finder.Guarded(pv)
	place := Place{volume.Image.ClusterID, volume.Image.Pool}
	return place, guarded && place.ClusterID != "" && place.Pool != ""
}

// known are the places that were heard of.
func (w *Writer) known(client.Object) []Place {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Place
	for place := range w.places {
		all = append(all, place)
	}
	return all
}

// Reconcile writes the registration in one place, if it has changed or is old. What goes
// wrong is logged when it begins, and tried again.
func (w *Writer) Reconcile(ctx context.Context, place Place) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	used, err := w.used(ctx, place)
	if err == nil && !used {
		w.Metrics.forget(place)
		return reconcile.Result{RequeueAfter: interval}, nil
	}
	if err == nil {
		err = w.write(ctx, place)
	}
	if errors.Is(err, ceph.ErrRegistrationChanged) {
		return reconcile.Result{RequeueAfter: soon}, nil // somebody who was the leader a moment ago
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.state(place)
	if err == nil {
		if at.failing != "" {
			w.Log.Info("the cluster is registered again", "clusterID", place.ClusterID, "pool", place.Pool)
		}
		at.failing = ""
		return reconcile.Result{RequeueAfter: max(soon, interval-w.Now().Sub(at.written))}, nil
	}
	w.Metrics.failed(place)
	if text := err.Error(); at.failing != text {
		w.Log.Error(err, "cannot register the cluster: a failover may have to be told which nodes to fence",
			"clusterID", place.ClusterID, "pool", place.Pool, "advice", ceph.Advice(err))
		at.failing = text
	}
	return reconcile.Result{RequeueAfter: retry}, nil
}

// state is for a caller that holds mu.
func (w *Writer) state(place Place) *state {
	if w.places == nil {
		w.places = map[Place]*state{}
	}
	if w.places[place] == nil {
		w.places[place] = &state{}
	}
	return w.places[place]
}

// used reports whether a guarded volume leads to the place.
func (w *Writer) used(ctx context.Context, place Place) (bool, error) {
	var pvs corev1.PersistentVolumeList
	if err := w.Finder.Cache.List(ctx, &pvs, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	for i := range pvs.Items {
		if at, ok := w.placeOf(&pvs.Items[i]); ok && at == place {
			return true, nil
		}
	}
	return false, nil
}

// write reads the registration before it looks at the nodes, so that it does not replace
// what was seen later. The cache is enough to say that a node is there. That one is not,
// the API server has to say, and then the records are asked for what they leave open.
func (w *Writer) write(ctx context.Context, place Place) error {
	storage, namespace, err := w.Storage(ctx, place.ClusterID)
	if err != nil {
		return err
	}
	stored, err := storage.Registration(ctx, place.Pool, namespace, w.Self.UID)
	if err != nil && !errors.Is(err, ceph.ErrRegistrationNotFound) {
		return err
	}
	present, err := nodes(ctx, w.Finder.Cache)
	if err == nil && missing(stored, present) {
		present, err = nodes(ctx, w.Finder.API)
	}
	if err != nil {
		return err
	}
	var open Open
	var unread error
	if gone(stored, present) {
		records, err := storage.Records(ctx, place.Pool, namespace)
		if open = OpenBy(records, w.Self); err != nil {
			open.Any, unread = true, err // nodes that have come are written all the same
		}
	}
	next, changed := Next(stored, w.Self, w.Version, present, open, w.Now())
	w.mu.Lock()
	due := w.Now().Sub(w.state(place).written) >= interval
	w.mu.Unlock()
	if !changed && !due {
		return unread
	}
	if _, err := storage.PutRegistration(ctx, place.Pool, namespace, next); err != nil {
		return err
	}
	w.Metrics.wrote(place, w.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state(place).written = w.Now()
	return unread
}

func nodes(ctx context.Context, api client.Reader) ([]ceph.Node, error) {
	var list corev1.NodeList
	if err := api.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return usage.RecordedNodes(list.Items), nil
}
