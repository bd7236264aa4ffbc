package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// limit bounds one look at a volume.
	limit = 10 * time.Second
	// settled is how often a volume is looked at of which nothing is expected.
	settled = 30 * time.Second
	// unsettled is how often at least one is looked at that is to become idle, or
	// whose holders are not all known.
	unsettled = 5 * time.Second
	// done: never again.
	done time.Duration = 0
	// parallel is how many volumes are looked at at a time.
	parallel = 8
)

// Events notes at a volume what its record says against it.
type Events interface {
	Conflict(object client.Object, message string)
}

// Keeper keeps the records of one cluster.
type Keeper struct {
	*guard.Guard
	Quiet   *ownership.Quiet
	Metrics *guard.Metrics
	Events  Events

	// acquired are the volumes that this replica let pods start on. Nothing else tells
	// of a pod that is attached nowhere.
	acquired chan event.GenericEvent
	patience patience
	// known are the volumes that were looked at, by the names of their
	// PersistentVolumes.
	known sync.Map
}

// SetupWithManager makes Reconcile run for every PersistentVolume, in the leader.
func (k *Keeper) SetupWithManager(manager ctrl.Manager) error {
	k.acquired = make(chan event.GenericEvent, 100)
	k.Guard.Acquired = k.look
	return ctrl.NewControllerManagedBy(manager).
		Named("owners").
		For(&corev1.PersistentVolume{}).
		Watches(&storagev1.VolumeAttachment{}, handler.EnqueueRequestsFromMapFunc(volumeOf)).
		WatchesRawSource(source.Channel(k.acquired, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: parallel,
			// After an outage nobody waits for a quarter of an hour.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](shortest, settled),
		}).
		Complete(k)
}

// look makes Reconcile run soon, if this replica is the leader. Another one looks
// after a while by itself.
func (k *Keeper) look(volume volumes.Volume) {
	select {
	case k.acquired <- event.GenericEvent{Object: volume.PV}:
	default:
	}
}

// volumeOf is the PersistentVolume of a VolumeAttachment.
func volumeOf(_ context.Context, object client.Object) []reconcile.Request {
	attachment, ok := object.(*storagev1.VolumeAttachment)
	if !ok || attachment.Spec.Source.PersistentVolumeName == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: *attachment.Spec.Source.PersistentVolumeName}}}
}

// Reconcile looks at one PersistentVolume.
func (k *Keeper) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	volume, ok, err := k.volume(ctx, request.Name)
	if !ok {
		k.forget(request.Name)
		return reconcile.Result{}, err
	}
	wait, err := k.keep(ctx, volume)
	switch {
	case err == nil && wait == done, errors.Is(err, ceph.ErrImageNotFound) && volume.PV.DeletionTimestamp != nil:
		k.forget(request.Name)
		return reconcile.Result{}, nil
	case errors.Is(err, ceph.ErrRecordChanged):
		return reconcile.Result{RequeueAfter: shortest}, nil
	case errors.Is(err, ceph.ErrImageNotFound):
		return reconcile.Result{RequeueAfter: settled}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("keep the record of volume %s/%s: %w", volume.Namespace, volume.Claim, err)
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

// volume is the volume of a PersistentVolume, if there is something to keep. One that
// was deleted stays until its image is released: nothing else leads there.
func (k *Keeper) volume(ctx context.Context, name string) (volumes.Volume, bool, error) {
	var pv corev1.PersistentVolume
	err := k.Finder.Cache.Get(ctx, client.ObjectKey{Name: name}, &pv)
	if apierrors.IsNotFound(err) {
		last, ok := k.known.Load(name)
		if !ok {
			return volumes.Volume{}, false, nil
		}
		volume := last.(volumes.Volume)
		volume.PV = volume.PV.DeepCopy()
		now := metav1.NewTime(k.Now())
		volume.PV.DeletionTimestamp = &now
		return volume, true, nil
	} else if err != nil {
		return volumes.Volume{}, false, err
	}
	volume, guarded, err := k.Finder.Guarded(&pv)
	if !guarded || volume.Claim == "" || err != nil {
		// The guard refuses a volume whose image is not known, and says so.
		return volumes.Volume{}, false, nil
	}
	k.known.Store(name, volume)
	return volume, true, nil
}

func (k *Keeper) forget(pv string) {
	k.known.Delete(pv)
	k.Quiet.Forget(pv)
	k.patience.forget(pv)
}

// keep does what is to be done now, and returns when to look again.
func (k *Keeper) keep(ctx context.Context, volume volumes.Volume) (time.Duration, error) {
	storage, radosNamespace, err := k.Clusters.Cluster(ctx, volume.Image.ClusterID)
	if err != nil {
		return 0, err
	}
	image, err := storage.Image(ctx, ceph.ImageSpec{Pool: volume.Image.Pool, Namespace: radosNamespace, Name: volume.Image.Name})
	if err != nil {
		return 0, err
	}
	begin := k.Now()
	record, err := ownership.Read(ctx, storage, image)
	if err != nil {
		return 0, err
	}
	if volume.Orphan && record.Owner != nil {
		volume.Namespace, volume.Claim = record.Owner.Namespace, record.Owner.Claim
	}
	quiet, rest := k.Quiet.Observe(volume.PV.Name, image.ID, record.Admissions, begin, k.Now())

	// The cache is enough to say what is used. That nothing is, only the API server
	// can say.
	var next ceph.Record
	var step ownership.Step
	var reason string
	for _, reader := range []client.Reader{k.Finder.Cache, k.Finder.API} {
		seen, err := k.see(ctx, reader, storage, volume, image, record)
		if err != nil {
			return 0, err
		}
		seen.Quiet = quiet
		next, step, reason = ownership.Keep(record, k.request(volume), seen)
		if step != ownership.LetGo {
			break
		}
	}
	log := ctrl.LoggerFrom(ctx).WithValues("volume", volume.Namespace+"/"+volume.Claim, "image", image.String(), "reason", reason)
	if step == ownership.LetGo && volume.Orphan {
		strays, err := volumes.Strays(ctx, k.Finder.API)
		if err != nil {
			return 0, err
		}
		if len(strays) > 0 {
			if k.patience.isNews(volume.PV.Name, strays[0].What) {
				log.Info("cannot release: a node may use it", "node", strays[0].Node, "use", strays[0].What)
			}
			return settled, nil
		}
	}
	switch step {
	case ownership.Adopt, ownership.Refresh, ownership.LetGo:
		if next, err = storage.PutRecord(ctx, image, next); err != nil {
			return 0, err
		}
		k.Metrics.OwnerChanged(string(step), 1)
		if step != ownership.Refresh {
			log.Info("owner changed", "step", step)
		}
	case ownership.Conflict:
		if k.patience.isNews(volume.PV.Name, reason) {
			log.Info("this cluster uses what is not its own")
			k.Events.Conflict(volume.PV, "image "+image.String()+": "+reason)
		}
	}
	return k.next(volume.PV, next, reason, rest), nil
}

// request is for what is adopted.
func (k *Keeper) request(volume volumes.Volume) ownership.Request {
	capacity := volume.PV.Spec.Capacity[corev1.ResourceStorage]
	return ownership.Request{
		Cluster: k.Cluster, Namespace: volume.Namespace, Claim: volume.Claim,
		ClaimSize: uint64(max(0, capacity.Value())), Exclusive: staticpv.IsExclusive(volume.PV), Now: k.Now(),
	}
}

// next is when to look again. Attachments that come and go are heard of; pods,
// watchers and time that passes are not.
func (k *Keeper) next(pv *corev1.PersistentVolume, record ceph.Record, reason string, rest time.Duration) time.Duration {
	switch {
	case !ownership.Owns(record, k.Cluster) && pv.DeletionTimestamp != nil:
		return done
	case !ownership.Owns(record, k.Cluster) || record.State != ceph.Held:
		return settled
	}
	longest := unsettled
	if len(record.Pending) == 0 && len(record.Owner.Nodes) > 0 && len(record.Owner.Clients) >= len(record.Owner.Nodes) {
		longest = settled
	}
	wait := k.patience.next(pv.Name, record.Token+reason, longest)
	if len(record.Pending) > 0 && rest > 0 {
		wait = min(wait, rest)
	}
	return wait
}
