package keeper

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
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
	// settled is the longest time between two looks at a volume that is about to become idle, whose
	// holders are not all known, or that is used here and owned elsewhere: such a volume can change
	// without an event.
	settled = 30 * time.Second
	// calm is the first wait while a volume is still in use.
	calm = 3 * time.Second
	// unsettled is how long to wait before trying again to give an image its name.
	unsettled = 5 * time.Second
	// lateAgain is how long to wait before looking again at a client that opened an image late.
	lateAgain = 500 * time.Millisecond
	// closely is how long after a change an image is still looked at every settled, although its
	// holders are known. A map that has resolved an earlier name may open the image late, and only
	// fenceLate keeps that client off for good: if the image is mapped exclusively, the client may
	// have got the lock before the owner did, and Ceph's own blocklist entry ends after an hour.
	closely = 2 * time.Minute
	// round is the longest time between two looks at such an image after that. These looks find
	// only a client that opens the image without any event, or a mapping that is made again without
	// Kubernetes. With more than 6,000 images it is longer, so that at most ten are looked at in a
	// second.
	round     = 10 * time.Minute
	roundStep = 100 * time.Millisecond
	// untilChange: look again when something has changed. done: never look again.
	untilChange time.Duration = 0
	done        time.Duration = -1
	// parallel is how many volumes are looked at at a time.
	parallel = 8
)

// Events are those of package recorder, or a test's.
type Events interface {
	// OwnedElsewhere writes an event on a pod, a claim or a PersistentVolume: this cluster uses an
	// image that another one owns. related may be nil.
	OwnedElsewhere(object, related client.Object, message string)
	// Missing writes an event on a claim, a PersistentVolume or a pod: what keeps its image from
	// being released.
	Missing(object client.Object, is ceph.Missing, message string)
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
	// Shown may be nil.
	Shown Shown
	// Changed, unless nil, hears of each volume whose image this cluster owns from now on, or
	// does not own any more.
	Changed func(volume volumes.Volume, owns bool)
	// State may be nil.
	State *State

	patience  patience
	incidents incidents
	ledger    ledger
	remarks   remarks
	notes     notes
	// known are the volumes whose PersistentVolume was deleted, and orphans, by the names of
	// their PersistentVolumes.
	known sync.Map
	// queue is the controller's once it runs, and started is closed then.
	queue   lookQueue
	started chan struct{}
}

// lookQueue is where volumes wait for a look.
type lookQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// SetupWithManager makes Reconcile run, in the leader, for the volumes that a change concerns. It
// has to be called before [Keeper.Acquired] and before a [Sweep] is started.
func (k *Keeper) SetupWithManager(manager ctrl.Manager) error {
	k.started = make(chan struct{})
	return ctrl.NewControllerManagedBy(manager).
		Named("owners").
		Watches(&corev1.PersistentVolume{}, k.hears(k.ofVolume)).
		Watches(&storagev1.VolumeAttachment{}, k.hears(k.ofAttachment)).
		Watches(&corev1.Node{}, k.hears(k.ofNode)).
		Watches(&corev1.Pod{}, k.hears(k.ofPod)).
		WatchesRawSource(source.Func(func(_ context.Context, q lookQueue) error {
			k.queue = q
			close(k.started)
			return nil
		})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: parallel,
			// The default backoff would let volumes wait for a quarter of an hour after an outage.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](shortest, settled),
		}).
		Complete(k)
}

// Acquired hears of a volume whose image a pod has acquired. It makes Reconcile run soon, if
// this replica is the leader: the pod may never be stored, and then nothing else tells of it.
// Of other replicas' pods, the next sweep does.
func (k *Keeper) Acquired(volume volumes.Volume) { k.wake(volume.PV.Name, acquired) }

// acquired is after what time a volume is looked at that a pod has acquired: most pods are
// stored and bound by then.
const acquired = time.Second

// wake makes Reconcile look at a volume, if the controller runs.
func (k *Keeper) wake(pv string, after time.Duration) {
	select {
	case <-k.started:
		k.queue.AddAfter(requestFor(pv), after)
	default:
	}
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
	} else if err == nil {
		k.patience.hasImage(request.Name)
	}
	switch {
	case err == nil && wait == done, errors.Is(err, ceph.ErrImageNotFound) && volume.PV.DeletionTimestamp != nil:
		k.forget(request.Name)
		return reconcile.Result{}, nil
	case errors.Is(err, ceph.ErrRecordChanged):
		return reconcile.Result{RequeueAfter: shortest}, nil
	case errors.Is(err, ceph.ErrImageNotFound):
		// If the image appears and gets a record, the sweep sees that.
		k.ledger.note(request.Name, ceph.Record{}, false)
		k.showUnknown(ctx, volume, err)
		return reconcile.Result{RequeueAfter: k.patience.nextWithout(request.Name, k.Now(), round)}, nil
	case err != nil:
		if errors.Is(err, ceph.ErrRecordUnknown) {
			k.showUnknown(ctx, volume, err)
		}
		return reconcile.Result{}, fmt.Errorf("keep the record of volume %s/%s: %w", volume.Namespace, volume.Claim, err)
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

// volume is the volume of a PersistentVolume, if there is something to keep. One that
// was deleted stays until its image is released.
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
		// If the image is unknown, the guard refuses the volume and says so.
		return volumes.Volume{}, false, nil
	}
	k.known.Delete(name)
	return volume, true, nil
}

func (k *Keeper) forget(pv string) {
	k.known.Delete(pv)
	k.Quiet.Forget(pv)
	k.patience.forget(pv)
	k.ledger.forget(pv)
	k.remarks.note(pv, remark{})
	k.notes.forget(pv)
}

// keep does what is to be done now, and returns when to look again.
func (k *Keeper) keep(ctx context.Context, volume volumes.Volume) (time.Duration, error) {
	storage, radosNamespace, err := k.Storage(ctx, volume.Image.ClusterID)
	if err != nil {
		return 0, err
	}
	spec := volume.Image.Spec(radosNamespace)
	// The cache is good enough to see what is used.
	look, err := k.Look(ctx, storage, volume, spec, k.Usage.Cached(), k.Usage.Together())
	if err == nil && k.isNewConflict(look) && look.Evidence.Cached {
		// A cache may lag, and people must not be told what it says wrongly.
		look, err = k.Look(ctx, storage, volume, spec, k.Usage.Live())
	}
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
		lasting, again := k.missing(ctx, storage, look, look.Record)
		k.show(look, look.Record, lasting)
		return soon(settled, again), nil
	}
	next := look.Next
	switch look.Step {
	case ownership.Leave, ownership.Conflict: // the record stays as it is
	case ownership.Adopt, ownership.Refresh, ownership.LetGo:
		if next, err = k.Carry(ctx, storage, look); err != nil {
			return 0, err
		}
		k.Metrics.OwnerChanged(string(look.Step), 1)
		if look.Step != ownership.Refresh {
			log.Info("owner changed", "step", look.Step)
			if k.Changed != nil {
				k.Changed(look.Volume, look.Step == ownership.Adopt)
			}
		}
	}
	lasting, soonest := k.missing(ctx, storage, look, next)
	k.show(look, next, lasting)
	if err := k.name(ctx, storage, look.Image, next); err != nil {
		if k.patience.isNews(volume.PV.Name, err.Error()) {
			log.Info("cannot give the image its name yet", "error", err.Error(), "advice", ceph.Advice(err))
		}
		return unsettled, nil
	}
	again, err := k.fenceLate(ctx, storage, look, next)
	if err != nil && k.patience.isNews(volume.PV.Name, err.Error()) {
		log.Error(err, "cannot fence clients of other clusters that have the image open", "advice", ceph.Advice(err))
	}
	k.ledger.note(volume.PV.Name, next, ownership.Owns(next, k.Self))
	wait := soon(k.next(look, next), soonest)
	if again {
		wait = min(wait, lateAgain)
	}
	return wait, nil
}

// soon is the earlier of two waits, of which the second is none if it is 0.
func soon(wait, other time.Duration) time.Duration {
	if other == 0 || wait <= 0 {
		return wait
	}
	return min(wait, max(shortest, other))
}

// next is when to look again. What Kubernetes does with the volume is heard of, and what is
// done to the record is seen by the next sweep. Watchers that come and go, and time that
// passes, are not.
func (k *Keeper) next(look idle.Look, record ceph.Record) time.Duration {
	pv := look.Volume.PV
	switch {
	case !ownership.Owns(record, k.Self) && pv.DeletionTimestamp != nil:
		return done
	case look.Step == ownership.Conflict:
		return settled
	case !ownership.Owns(record, k.Self) || record.State != ceph.Held:
		return untilChange
	}
	lasts := k.patience.lasts(pv.Name, record.Token+look.Reason, k.Now())
	wait := waitFor(lasts, first(record, look.Evidence.Seen), settled)
	switch {
	case len(record.Pending) > 0 && !look.Evidence.Quiet:
		return min(wait, max(shortest, look.Rest))
	case lasts >= closely && isSettled(record, look.Evidence.Seen):
		return k.turn(pv.Name)
	}
	return wait
}

// first is after what time an image of this cluster is looked at again for what nobody tells of:
// watchers. At the end of a use somebody waits for the last of them to go. While there is a pod, an
// attachment, or an admission that may become one, what comes next is heard of, but for the client
// by which the node has the image open; that is looked for when the pod can start. Until one is
// recorded, a failover fences the machine. Once one is, it fences that client alone, and not
// another one of the same boot that opens the image later: the new owner's leader has to, see
// fenceLate.
//
// An image that is not mapped exclusively may have a stranger who writes beside the owner, see
// fenceLate. Of one that is, only the holder of the lock writes, and a silent holder that loses it is
// kept away for an hour.
func first(record ceph.Record, seen ownership.Seen) time.Duration {
	goesOn := len(seen.Pods) > 0 || len(seen.Attached) > 0 || len(record.Pending) > 0
	if goesOn && !(record.Keyed && !record.Exclusive) {
		return calm
	}
	return shortest
}

// isSettled reports whether nothing about the holders in a record of this cluster is open, and
// nothing but a change that is heard of can make the image idle.
func isSettled(record ceph.Record, seen ownership.Seen) bool {
	nodes := record.Owner.Nodes
	known := len(nodes) > 0 && len(record.Owner.Instances()) >= len(nodes)
	return known && len(record.Pending) == 0 && len(record.Unbound) == 0 && len(seen.Attached) > 0
}

// turn is when an image has its next look in the round. It differs from volume to volume: those
// of a node, or all of them when a leader begins, would go on being looked at at once.
func (k *Keeper) turn(pv string) time.Duration {
	longest := max(round, time.Duration(k.ledger.onNodes())*roundStep)
	hash := fnv.New32a()
	hash.Write([]byte(pv))
	return longest/2 + time.Duration(hash.Sum32()%1000)*longest/2000
}
