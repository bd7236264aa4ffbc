package keeper

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// WokenAnnotation is changed at a workload whose pods were refused, when their
// volumes are free. A change of the object makes its controller try again at once;
// otherwise it waits longer after each refusal, up to 17 minutes.
const WokenAnnotation = "cephferry.io/woken"

const (
	// interval is how often the refused volumes are looked at.
	interval = 400 * time.Millisecond
	// looks bounds a pass: it ends after so many looks at volumes, or so many woken workloads. The
	// last workload may exceed it.
	looks = 50
	// remembered is longer than any controller waits before it tries again.
	remembered = 30 * time.Minute
	// asks is how often to ask whether a waiting workload still wants its pods.
	asks = 5 * time.Minute
	// maxVolumes bounds the volumes that are remembered. A volume of two workloads counts twice.
	maxVolumes = 1000
)

// Waker wakes workloads. Namespaces take turns, so that one in which many wait does not
// keep the others waiting.
type Waker struct {
	// Free reports whether pods may start on the volume now. It is called for several at a time.
	Free   func(ctx context.Context, volume volumes.Volume) bool
	Client client.Client
	Log    logr.Logger
	// Now is for how long a workload is remembered.
	Now func() time.Time
	// Waits, unless nil, hears which workload waits for a volume, as kind and name. An empty
	// workload means that nobody waits any more, as far as this replica knows. It returns at once.
	Waits func(volume volumes.Volume, workload string)
	// Woken, unless nil, hears that a workload, as kind and name, was woken because the volume is free.
	Woken func(volume volumes.Volume, workload string)
	// State may be nil.
	State *State

	queue queue
	// vain are the workloads that were woken a short while ago.
	vain map[types.UID]rest
}

// rest is since when a workload is not woken again, and for how long.
type rest struct {
	since time.Time
	wait  time.Duration
}

// sleeper is a workload that waits for volumes.
type sleeper struct {
	object  *metav1.PartialObjectMetadata
	volumes []volumes.Volume
	since   time.Time
	// asked is when it was last asked whether it still wants its pods.
	asked time.Time
	// last is the volume that was not free the last time.
	last int
	// pass is the last one in which it had its turn.
	pass int
}

// kinds are those whose controllers sync an object when it has changed. Who made
// another pod is asked again by nobody, or not known to us.
var kinds = map[string]bool{
	"apps/v1/ReplicaSet": true, "apps/v1/StatefulSet": true, "apps/v1/DaemonSet": true,
	"batch/v1/Job": true, "v1/ReplicationController": true,
}

// Refused remembers a workload until its volumes are free.
func (w *Waker) Refused(object client.Object, all []volumes.Volume) {
	kind := object.GetObjectKind().GroupVersionKind()
	if !kinds[kind.GroupVersion().String()+"/"+kind.Kind] || len(all) == 0 {
		return
	}
	s := &sleeper{object: &metav1.PartialObjectMetadata{}, volumes: all, since: w.Now(), asked: w.Now()}
	s.object.SetGroupVersionKind(kind)
	s.object.Namespace, s.object.Name, s.object.UID = object.GetNamespace(), object.GetName(), object.GetUID()
	for _, gone := range w.queue.add(s) {
		w.over(gone)
	}
	if w.Waits != nil {
		for _, volume := range all {
			w.Waits(volume, kind.Kind+"/"+s.object.Name)
		}
	}
}

// over says that a workload does not wait any more, or is not remembered.
func (w *Waker) over(s *sleeper) {
	if w.Waits == nil {
		return
	}
	for _, volume := range s.volumes {
		w.Waits(volume, "")
	}
}

// NeedLeaderElection is false: every replica wakes those that it refused.
func (w *Waker) NeedLeaderElection() bool { return false }

// Start runs until ctx ends.
func (w *Waker) Start(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.pass(ctx)
			w.State.Waiting(w.queue.workloads())
		}
	}
}

// pass looks at those whose turn it is. It ends after a slow look, and the next pass goes on
// with the next namespace: one whose Ceph does not answer delays the others by one look.
func (w *Waker) pass(ctx context.Context) {
	begin := w.Now()
	w.queue.begin()
	for left := looks; left > 0 && w.Now().Sub(begin) < interval && ctx.Err() == nil; {
		s, forgotten := w.queue.next(w.Now())
		for _, gone := range forgotten {
			w.over(gone)
		}
		if s == nil {
			return
		}
		left -= w.tryToWake(ctx, s)
	}
}

// rests notes that a workload is woken. Refused again although its volumes look free, as when
// nobody may give the image its name, it is woken less and less often: each time its pods
// are made, and the record is written.
func (w *Waker) rests(uid types.UID) {
	now := w.Now()
	for other, last := range w.vain {
		if now.Sub(last.since)-last.wait > settled {
			delete(w.vain, other)
		}
	}
	wait := interval
	if last, ok := w.vain[uid]; ok {
		wait = min(settled, 2*last.wait)
	}
	if w.vain == nil {
		w.vain = map[types.UID]rest{}
	}
	w.vain[uid] = rest{now, wait}
}

// areFree reports whether all volumes of a workload are free, and at how many it has looked.
// It begins with the one that was not free the last time, so that a workload that waits costs
// one look, and then looks at several at a time.
func (w *Waker) areFree(ctx context.Context, s *sleeper) (free bool, looked int) {
	if !w.Free(ctx, s.volumes[s.last]) {
		return false, 1
	}
	var busy, count atomic.Int32
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, volume := range s.volumes {
		if i == s.last || busy.Load() > 0 {
			continue
		}
		group.Go(func() error {
			count.Add(1)
			if !w.Free(ctx, volume) {
				busy.Store(int32(i) + 1)
			}
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	if found := busy.Load(); found > 0 {
		s.last = int(found) - 1
		return false, 1 + int(count.Load())
	}
	return true, 1 + int(count.Load())
}

// wants reports whether a workload may still want its pods: not if it is gone, or was scaled to zero
// while it waited. Refused again, it comes back.
func (w *Waker) wants(ctx context.Context, s *sleeper) bool {
	var now unstructured.Unstructured
	now.SetGroupVersionKind(s.object.GroupVersionKind())
	if err := w.Client.Get(ctx, client.ObjectKeyFromObject(s.object), &now); err != nil {
		return !apierrors.IsNotFound(err)
	}
	replicas, has, err := unstructured.NestedInt64(now.Object, "spec", "replicas")
	return now.GetUID() == s.object.UID && (err != nil || !has || replicas > 0)
}

// tryToWake wakes a workload whose volumes are free. It returns what that counts of a pass.
func (w *Waker) tryToWake(ctx context.Context, s *sleeper) int {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if last, ok := w.vain[s.object.UID]; ok && w.Now().Sub(last.since) < last.wait {
		return 0
	}
	if free, looked := w.areFree(ctx, s); !free {
		delete(w.vain, s.object.UID)
		if now := w.Now(); now.Sub(s.asked) >= asks {
			s.asked = now
			if !w.wants(ctx, s) {
				w.queue.remove(s)
				w.over(s)
			}
		}
		return looked
	}
	// If it is refused again, it comes back.
	w.queue.remove(s)
	w.over(s)
	w.rests(s.object.UID)
	// The patch goes to the status subresource: the right to that does not include the pods'
	// template.
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, s.object.UID, WokenAnnotation, w.Now().UTC().Format(time.RFC3339Nano))
	err := w.Client.Status().Patch(ctx, s.object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
	log := w.Log.WithValues("kind", s.object.Kind, "namespace", s.object.Namespace, "name", s.object.Name)
	switch {
	case err == nil:
		log.Info("woken")
		for _, volume := range s.volumes {
			if w.Woken != nil {
				w.Woken(volume, s.object.Kind+"/"+s.object.Name)
			}
		}
	case !apierrors.IsNotFound(err) && !apierrors.IsConflict(err): // gone, or made again
		log.Error(err, "cannot wake; its controller tries again by itself, later")
	}
	return 1
}
