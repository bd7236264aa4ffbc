package keeper

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Queue is the controller's as a test sees it: which volumes Reconcile is to look at, and
// after what time.
type Queue struct {
	lookQueue
	Waits map[string]time.Duration
}

// Run makes k believe that its controller runs.
func Run(k *Keeper) *Queue {
	q := &Queue{workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]()), map[string]time.Duration{}}
	k.queue, k.started = q, make(chan struct{})
	close(k.started)
	return q
}

// Add is AddAfter without a wait.
func (q *Queue) Add(request reconcile.Request) { q.AddAfter(request, 0) }

// AddAfter keeps the earlier of two.
func (q *Queue) AddAfter(request reconcile.Request, after time.Duration) {
	if before, ok := q.Waits[request.Name]; !ok || after < before {
		q.Waits[request.Name] = after
	}
}

// Take empties the queue, and returns the volumes in it, sorted.
func (q *Queue) Take() []string {
	var all []string
	for pv := range q.Waits {
		all = append(all, pv)
	}
	slices.Sort(all)
	clear(q.Waits)
	return all
}

// Pass is one sweep.
func (s *Sweep) Pass(ctx context.Context) { s.pass(ctx) }

// Pass is one look at those that wait.
func (w *Waker) Pass(ctx context.Context) { w.pass(ctx) }

// Orphans are those that a sweep finds.
func (s *Sweep) Orphans(ctx context.Context) []volumes.Volume {
	pvs := s.Keeper.find(ctx)
	return s.orphans(ctx, pvs, s.read(ctx, pvs))
}

// OrphansAmong are those that a sweep finds that has read these volumes and no record.
func (s *Sweep) OrphansAmong(ctx context.Context, pvs []corev1.PersistentVolume) []volumes.Volume {
	return s.orphans(ctx, pvs, nil)
}

// Adopt makes the keeper know an orphan.
func (k *Keeper) Adopt(orphan volumes.Volume) { k.adopt(orphan) }

// Gone is what the keeper hears when a PersistentVolume was deleted.
func (k *Keeper) Gone(t testing.TB, pv client.Object) { k.ofVolume(t.Context(), pv, nil) }

// Heard are the volumes that the keeper looks at because an object was made, has changed or is
// gone, and whether that is at once.
func (k *Keeper) Heard(t testing.TB, before, now client.Object) (names []string, atOnce bool) {
	concerns := map[string]func(context.Context, client.Object, client.Object) change{
		"*v1.PersistentVolume": k.ofVolume, "*v1.VolumeAttachment": k.ofAttachment, "*v1.Node": k.ofNode, "*v1.Pod": k.ofPod,
	}
	object := now
	if object == nil {
		object = before
	}
	what := concerns[fmt.Sprintf("%T", object)](t.Context(), before, now)
	return what.volumes, what.ended
}

// First is the first wait.
func First(record ceph.Record, seen ownership.Seen) time.Duration { return first(record, seen) }

// Hears makes the keeper hear of a change as its controller does.
func (k *Keeper) Hears(t testing.TB, before, now client.Object) {
	names, atOnce := k.Heard(t, before, now)
	for _, pv := range names {
		if atOnce {
			k.wake(pv, 0)
		} else {
			k.wake(pv, gather)
		}
	}
}

// Count counts volumes of so many clusters: one of the first, two of the second, and so on.
func Count(s *State, clusters int) {
	var c census
	for i := range clusters {
		for range i + 1 {
			c.add(ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: ceph.Party{Name: fmt.Sprint("cluster-", i)}}}, true)
		}
	}
	s.counted(c)
}
