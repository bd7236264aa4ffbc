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
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
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
	// lateAgain is after what time who opened an image late is looked at again.
	lateAgain = 500 * time.Millisecond
	// done: never again.
	done time.Duration = 0
	// parallel is how many volumes are looked at at a time.
	parallel = 8
)

// Events are those of package recorder, or a test's.
type Events interface {
	// OwnedElsewhere notes at a pod, a claim or a PersistentVolume that the cluster uses
	// what another one owns. related may be nil.
	OwnedElsewhere(object, related client.Object, message string)
}

// Metrics count.
type Metrics interface {
	// OwnerChanged notes how often this cluster has changed the owner of an image.
	OwnerChanged(change string, times int)
	// OwnedElsewhere notes how many volumes this cluster uses and does not own.
	OwnedElsewhere(volumes int)
}

// Keeper keeps the records of one cluster.
type Keeper struct {
	*idle.Prover
	Finder volumes.Finder
	// Storage leads from a clusterID to its Ceph cluster and to the rados namespace of its
	// images.
	Storage func(ctx context.Context, clusterID string) (idle.Ceph, string, error)
	Metrics Metrics
	Events  Events
	// Client writes conditions.
	Client client.Client

	// acquired are the volumes that this replica let pods start on. Nothing else tells
	// of a pod that is attached nowhere.
	acquired  chan event.GenericEvent
	patience  patience
	comers    comers
	incidents incidents
	// known are the volumes that were looked at, by the names of their
	// PersistentVolumes.
	known sync.Map
}

// SetupWithManager makes Reconcile run for every PersistentVolume, in the leader. It has
// to be called before [Keeper.Acquired].
func (k *Keeper) SetupWithManager(manager ctrl.Manager) error {
	k.acquired = make(chan event.GenericEvent, 100)
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

// Acquired hears of a volume whose image a pod has acquired. It makes Reconcile run soon,
// if this replica is the leader. Another one looks after a while by itself.
func (k *Keeper) Acquired(volume volumes.Volume) {
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
		k.noVolume(ctx, request.Name)
		k.forget(request.Name)
		return reconcile.Result{}, err
	}
	wait, err := k.keep(ctx, volume)
	if errors.Is(err, ceph.ErrImageNotFound) {
		k.noVolume(ctx, request.Name)
	}
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
	k.comers.forget(pv)
}

// keep does what is to be done now, and returns when to look again.
func (k *Keeper) keep(ctx context.Context, volume volumes.Volume) (time.Duration, error) {
	storage, radosNamespace, err := k.Storage(ctx, volume.Image.ClusterID)
	if err != nil {
		return 0, err
	}
	spec := volume.Image.Spec(radosNamespace)
	// The cache is enough to say what is used.
	cached, live := k.Usage.Cached(), k.Usage.Live()
	due, rest := k.comers.due(volume.PV, k.Quiet.Grace, k.Now())
	if due {
		cached, live = cached.WithPods(), live.WithPods()
	}
	look, err := k.Look(ctx, storage, volume, spec, cached, live)
	if err != nil {
		return 0, err
	}
	defer func() {
		k.tell(ctx, look)
		k.evict(ctx, storage, look)
	}()
	log := ctrl.LoggerFrom(ctx).WithValues("volume", look.Volume.Namespace+"/"+look.Volume.Claim, "image", look.Image.String(), "reason", look.Reason)
	if look.Stray != nil {
		if k.patience.isNews(volume.PV.Name, look.Stray.What) {
			log.Info("cannot release: a node may use it", "node", look.Stray.Node, "use", look.Stray.What)
		}
		return settled, nil
	}
	next := look.Next
	switch look.Step {
	case ownership.Adopt, ownership.Refresh, ownership.LetGo:
		if next, err = k.Carry(ctx, storage, look); err != nil {
			return 0, err
		}
		k.Metrics.OwnerChanged(string(look.Step), 1)
		if look.Step != ownership.Refresh {
			log.Info("owner changed", "step", look.Step)
		}
	}
	if err := k.name(ctx, storage, look.Image, next); err != nil {
		if k.patience.isNews(volume.PV.Name, err.Error()) {
			log.Info("cannot give the image its name yet", "error", err.Error(), "advice", ceph.Advice(err))
		}
		return unsettled, nil
	}
	again, err := k.fenceLate(ctx, storage, look, next)
	if err != nil && k.patience.isNews(volume.PV.Name, err.Error()) {
		log.Error(err, "cannot fence who has the image open without being its owner", "advice", ceph.Advice(err))
	}
	wait := k.next(volume.PV, next, look.Reason, look.Rest)
	if again {
		wait = min(wait, lateAgain)
	}
	if due {
		k.comers.looked(volume.PV)
	} else if rest > 0 && wait != done {
		wait = min(wait, rest)
	}
	return wait, nil
}

// next is when to look again. Attachments that come and go are heard of; pods,
// watchers and time that passes are not.
func (k *Keeper) next(pv *corev1.PersistentVolume, record ceph.Record, reason string, rest time.Duration) time.Duration {
	switch {
	case !ownership.Owns(record, k.Self) && pv.DeletionTimestamp != nil:
		return done
	case !ownership.Owns(record, k.Self) || record.State != ceph.Held:
		return settled
	}
	longest := unsettled
	if len(record.Pending) == 0 && len(record.Owner.Nodes) > 0 && len(record.Unbound) == 0 && len(record.Owner.Instances()) >= len(record.Owner.Nodes) {
		longest = settled
	}
	wait := k.patience.next(pv.Name, record.Token+reason, longest)
	if len(record.Pending) > 0 && rest > 0 {
		wait = min(wait, rest)
	}
	return wait
}
