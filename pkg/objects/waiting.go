package objects

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// maxWaits bounds the volumes that wait to be written.
	maxWaits = 1000
	// repeats is how often it is said again at most that the same workload is refused, and what is
	// missing then.
	repeats = 30 * time.Second
	// takesBack is after what time it is taken back that a workload waits. When it was woken,
	// its volumes become this cluster's next, and the leader shows that nobody waits for
	// those; and one that was woken too early is refused again.
	takesBack = 5 * time.Second
)

// Waiting shows at MigratableVolumes which workload was refused. It runs in every replica, for
// the workloads that this one refused.
type Waiting struct {
	// Client writes and reads at the API server, at a rate that leaves it to others.
	Client client.Client
	Log    logr.Logger
	Now    func() time.Time
	// Missing, unless nil, is what keeps another cluster from releasing the image of a volume.
	Missing func(ctx context.Context, volume volumes.Volume) []ceph.Missing

	mu sync.Mutex
	// queued are the workloads to show, and over when it was heard that nobody waits for a
	// volume any more. A volume is in one of them. said are those that are shown.
	queued map[types.NamespacedName]wanted
	over   map[types.NamespacedName]time.Time
	said   map[types.NamespacedName]saying
	wake   chan struct{}
	// failing is what went wrong the last time, and absent when it was found that the API
	// server does not know the kind: asking for that again takes requests of its own.
	failing string
	absent  time.Time
}

// wanted is a workload that waits for a volume.
type wanted struct {
	workload string
	volume   volumes.Volume
}

// saying is what was said when.
type saying struct {
	workload string
	at       time.Time
}

// Waits hears which workload waits for a volume; none if it is empty.
func (w *Waiting) Waits(volume volumes.Volume, workload string) {
	name := types.NamespacedName{Namespace: volume.Namespace, Name: volume.Claim}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Now().Sub(w.absent) < retry {
		return
	}
	last, known := w.said[name]
	_, queued := w.queued[name]
	if workload == "" {
		delete(w.queued, name)
		if _, over := w.over[name]; known && !over {
			put(&w.over, name, w.Now())
			w.rouse()
		}
		return
	}
	delete(w.over, name)
	isSaid := known && last.workload == workload && w.Now().Sub(last.at) < repeats
	if isSaid || !queued && len(w.queued) >= maxWaits {
		return
	}
	put(&w.queued, name, wanted{workload, volume})
	w.rouse()
}

// put makes the map when it has its first entry.
func put[V any](all *map[types.NamespacedName]V, name types.NamespacedName, value V) {
	if *all == nil {
		*all = map[types.NamespacedName]V{}
	}
	(*all)[name] = value
}

// rouse is for a caller that has mu.
func (w *Waiting) rouse() {
	select {
	case w.wakes() <- struct{}{}:
	default:
	}
}

// wakes is for a caller that has mu.
func (w *Waiting) wakes() chan struct{} {
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	return w.wake
}

// NeedLeaderElection is false: every replica shows those that it refused.
func (w *Waiting) NeedLeaderElection() bool { return false }

// Start runs until ctx ends.
func (w *Waiting) Start(ctx context.Context) error {
	w.mu.Lock()
	wake := w.wakes()
	w.mu.Unlock()
	for ctx.Err() == nil {
		name, is, after := w.next()
		if name.Name == "" {
			var ripe <-chan time.Time
			if after > 0 {
				ripe = time.After(after)
			}
			select {
			case <-ctx.Done():
			case <-wake:
			case <-ripe:
			}
			continue
		}
		if err := w.write(ctx, name, is); err != nil && ctx.Err() == nil {
			w.cannot(err)
			wait(ctx, pause)
		}
	}
	return nil
}

// next takes a volume out of what is queued, or returns after what time there is one, 0 if
// none is.
func (w *Waiting) next() (name types.NamespacedName, is wanted, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, is := range w.queued {
		delete(w.queued, name)
		return name, is, 0
	}
	for name, at := range w.over {
		rest := takesBack - w.Now().Sub(at)
		if rest <= 0 {
			delete(w.over, name)
			return name, wanted{}, 0
		}
		if after == 0 || rest < after {
			after = rest
		}
	}
	return types.NamespacedName{}, wanted{}, after
}

// write shows one workload at one object. Where there is none, nothing is guarded, or nobody
// has read its record yet: the next refusal says it again.
func (w *Waiting) write(ctx context.Context, name types.NamespacedName, waits wanted) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	workload := waits.workload
	var missing []ceph.Missing
	if w.Missing != nil && workload != "" {
		missing = w.Missing(ctx, waits.volume)
	}
	for range tries {
		var object v1alpha1.MigratableVolume
		err := w.Client.Get(ctx, name, &object)
		if meta.IsNoMatchError(err) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.absent, w.queued, w.over, w.said = w.Now(), nil, nil, nil
			return nil
		} else if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read MigratableVolume %s: %w", name, err)
		}
		before := object.DeepCopy()
		w.show(&object.Status, workload, missing)
		if !equality.Semantic.DeepEqual(before.Status, object.Status) {
			err = w.Client.Status().Patch(ctx, &object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		}
		switch {
		case apierrors.IsConflict(err):
			continue
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("set the status of MigratableVolume %s: %w", name, err)
		}
		w.note(name, workload, object.Status.Waiting == workload)
		return nil
	}
	return nil // it changes all the time
}

// show shows a workload and what is missing for its volume, or that none waits.
func (w *Waiting) show(is *v1alpha1.MigratableVolumeStatus, workload string, missing []ceph.Missing) {
	there := meta.FindStatusCondition(is.Conditions, v1alpha1.ConditionWaiting)
	mine := there != nil && there.Reason == reasonPodsRefused
	next := metav1.Condition{Type: v1alpha1.ConditionWaiting, LastTransitionTime: metav1.NewTime(w.Now().Truncate(time.Second))}
	switch {
	case workload == "" && !mine, workload != "" && !mayWait(*is):
		return
	case workload == "":
		next.Status, next.Reason = metav1.ConditionFalse, reasonNobody
	case there != nil && there.Status == metav1.ConditionTrue && !mine:
		return // the claim itself waits, or a node
	default:
		next.Status, next.Reason, next.Message = metav1.ConditionTrue, reasonPodsRefused, refusedText(workload, *is, w.Now())
		if len(missing) > 0 {
			next.Message += "\n" + missingText(missing)
		}
		next.Message = next.Message[:min(len(next.Message), maxMessage)]
	}
	is.Waiting, is.Missing = workload, shownMissing(missing)
	meta.SetStatusCondition(&is.Conditions, next)
}

// note remembers what is said.
func (w *Waiting) note(name types.NamespacedName, workload string, shown bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing = ""
	if workload == "" || !shown {
		delete(w.said, name)
		return
	}
	if w.said == nil {
		w.said = map[types.NamespacedName]saying{}
	}
	w.said[name] = saying{workload, w.Now()}
}

// cannot logs an error when it begins.
func (w *Waiting) cannot(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := err.Error(); text != w.failing {
		w.failing = text
		w.Log.Error(err, "cannot show who waits for a volume; nothing else depends on it")
	}
}
