package keeper_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// TestFirstWait: what is polled for is a watcher that keeps an image from being released, and a
// stranger who could write.
func TestFirstWait(t *testing.T) {
	const soon, calm = 100 * time.Millisecond, 3 * time.Second
	for name, test := range map[string]struct {
		record ceph.Record
		seen   ownership.Seen
		want   time.Duration
	}{
		"a client is left":                 {ceph.Record{}, ownership.Seen{Watchers: []string{onW1.Addr}}, soon},
		"a pod":                            {ceph.Record{}, ownership.Seen{Pods: []string{"p"}}, calm},
		"an attachment":                    {ceph.Record{}, ownership.Seen{Attached: nodeW1, Watchers: []string{onW1.Addr}}, calm},
		"an admission":                     {ceph.Record{Pending: []string{"p"}}, ownership.Seen{}, calm},
		"a pod, keyed, mapped exclusively": {ceph.Record{Keyed: true, Exclusive: true}, ownership.Seen{Pods: []string{"p"}}, calm},
		"a pod, keyed, and not mapped exclusively": {ceph.Record{Keyed: true}, ownership.Seen{Pods: []string{"p"}}, soon},
	} {
		t.Run(name, func(t *testing.T) {
			if got := keeper.First(test.record, test.seen); got != test.want {
				t.Errorf("the first wait is %s, want %s", got, test.want)
			}
		})
	}
}

// use is a pod's use of a volume, as the keeper hears of it, on the clock of the world.
type use struct {
	*world
	queue *keeper.Queue
	due   time.Time
	// looks are when the volume was looked at, and wrote is the last that has changed its record.
	looks []time.Time
	wrote int
}

func newUse(t *testing.T) *use {
	t.Helper()
	u := &use{world: newWorld(t)}
	u.queue = keeper.Run(u.keeper)
	u.admits(west, "p")
	u.keeper.Acquired(volumes.Volume{PV: volume("shop.data", "data")})
	return u
}

// after lets time pass, with every look that is due, and then has something happen that the
// keeper hears of.
func (u *use) after(lasting time.Duration, before, now client.Object) {
	u.Helper()
	const step = 50 * time.Millisecond
	for end := u.clock().Add(lasting); u.clock().Before(end); u.pass(step) {
		u.look()
	}
	switch {
	case before == nil && now == nil:
		return
	case before == nil:
		u.create(now.DeepCopyObject().(client.Object))
	case now == nil:
		u.remove(before)
	default:
		u.store(now.DeepCopyObject().(client.Object))
	}
	u.keeper.Hears(u, before, now)
}

// store stores an object, with its status.
func (u *use) store(object client.Object) {
	u.Helper()
	write := u.api.Update
	switch object.(type) {
	case *corev1.Node, *corev1.Pod:
		write = func(ctx context.Context, object client.Object, _ ...client.UpdateOption) error {
			return u.api.Status().Update(ctx, object)
		}
	}
	now := object.DeepCopyObject().(client.Object)
	if err := u.api.Get(u.Context(), client.ObjectKeyFromObject(object), now); err != nil {
		u.Fatal(err)
	}
	object.SetResourceVersion(now.GetResourceVersion())
	if err := write(u.Context(), object); err != nil {
		u.Fatal(err)
	}
}

// look looks if it is time.
func (u *use) look() {
	u.Helper()
	for pv, after := range u.queue.Waits {
		if at := u.clock().Add(after); pv == "shop.data" && (u.due.IsZero() || at.Before(u.due)) {
			u.due = at
		}
	}
	u.queue.Take()
	if u.due.IsZero() || u.due.After(u.clock()) {
		return
	}
	u.due = time.Time{}
	u.looks = append(u.looks, u.clock())
	before := u.record().Token
	result, err := u.keeper.Reconcile(u.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "shop.data"}})
	if err != nil {
		u.Fatal(err)
	}
	if u.record().Token != before {
		u.wrote = len(u.looks) - 1
	}
	if result.RequeueAfter > 0 {
		u.due = u.clock().Add(result.RequeueAfter)
	}
}

// begins has a pod start: it is stored, bound, attached, reported, mapped, and runs.
func (u *use) begins() {
	u.Helper()
	bound := u.maps(2 * time.Second)
	running := bound.DeepCopy()
	running.Status.Phase = corev1.PodRunning
	u.after(3*time.Second, bound, running)
	u.after(500*time.Millisecond, nil, nil)
}

// maps is begins until the node has mapped the image, which takes so long.
func (u *use) maps(lasting time.Duration) (bound *corev1.Pod) {
	u.Helper()
	stored, bound := pod("p", "data"), boundPod("p")
	attaching := attachment("shop.data", "w1")
	attached := attaching.DeepCopy()
	attached.Status.Attached = true
	reporting := node("w1", "10.0.2.11")
	reporting.Status.VolumesInUse = []corev1.UniqueVolumeName{"kubernetes.io/csi/rook-ceph.rbd.csi.ceph.com^shop.data"}
	u.after(100*time.Millisecond, nil, stored)
	u.after(200*time.Millisecond, nil, nil)
	u.remove(stored)
	u.create(bound.DeepCopy())
	u.keeper.Hears(u, stored, bound)
	u.after(500*time.Millisecond, nil, attaching)
	u.after(2*time.Second, attaching, attached)
	u.after(time.Second, node("w1", "10.0.2.11"), reporting)
	u.after(lasting, nil, nil)
	u.ceph.AddWatcher(theData, onW1)
	return bound
}

// TestAPodThatStaysPending: the client of a pod whose init containers run for long is recorded when
// they start.
func TestAPodThatStaysPending(t *testing.T) {
	u := newUse(t)
	bound := u.maps(time.Minute) // looks that nothing causes have got rare
	bound.Status.Phase = corev1.PodPending
	starting := bound.DeepCopy()
	starting.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}}
	u.after(50*time.Millisecond, bound, starting)
	u.after(400*time.Millisecond, nil, nil)
	u.wantHolders(nodeW1, onW1.Addr)
}

// TestLooksWhileAUseBegins: what Kubernetes does is heard of, and the client is recorded when its
// pod runs. Watchers are not polled for.
func TestLooksWhileAUseBegins(t *testing.T) {
	u := newUse(t)
	u.begins()
	u.wantHolders(nodeW1, onW1.Addr)
	if most := 5; len(u.looks) > most {
		t.Errorf("%d looks until the pod runs, want at most %d: %v", len(u.looks), most, u.looks)
	}
	before := len(u.looks)
	u.after(10*time.Minute, nil, nil)
	if got := len(u.looks) - before; got < 2 || got > 13 {
		t.Errorf("%d looks in ten minutes after that, want few", got)
	}
}

// TestLooksAfterAUseHasBegun: for two minutes after the client was recorded there are never more than
// 30 seconds without a look, because only a look finds who opens the image late. Then they get rare.
func TestLooksAfterAUseHasBegun(t *testing.T) {
	const step = 50 * time.Millisecond // of the clock
	u := newUse(t)
	u.begins()
	u.wantHolders(nodeW1, onW1.Addr)
	u.after(15*time.Minute, nil, nil)
	recorded, last := u.wrote, u.wrote
	for last+1 < len(u.looks) && u.looks[last+1].Sub(u.looks[last]) <= 30*time.Second+step {
		last++
	}
	if close := u.looks[last].Sub(u.looks[recorded]); close < 2*time.Minute || close > 150*time.Second {
		t.Errorf("it is looked at closely for %s, want two minutes: %v", close, u.looks[recorded:])
	}
	if last+1 == len(u.looks) || u.looks[last+1].Sub(u.looks[last]) < 5*time.Minute {
		t.Errorf("after two minutes the looks are not 5 to 10 minutes apart: %v", u.looks[recorded:])
	}
}

// TestLooksDoNotLengthenTheWait: however often something happens, the wait grows with the time alone.
func TestLooksDoNotLengthenTheWait(t *testing.T) {
	w := newWorld(t, boundPod("p"))
	w.admits(west, "p")
	w.keep()
	for _, then := range []struct{ pass, want time.Duration }{
		{0, 3 * time.Second}, {3 * time.Second, 3 * time.Second}, {7 * time.Second, 5 * time.Second}, {50 * time.Second, 30 * time.Second},
	} {
		w.pass(then.pass)
		for range 5 {
			if got := w.keep(); got != then.want {
				t.Errorf("after %s more it waits %s, want %s", then.pass, got, then.want)
			}
		}
	}
}

// TestLooksWhenAUseEnds: its node's last client is waited for with short waits, and the image is
// released right after it has gone.
func TestLooksWhenAUseEnds(t *testing.T) {
	u := newUse(t)
	u.begins()
	u.after(time.Minute, nil, nil)
	var stored corev1.Node
	if err := u.api.Get(t.Context(), client.ObjectKey{Name: "w1"}, &stored); err != nil {
		t.Fatal(err)
	}
	begin := len(u.looks)
	u.after(0, boundPod("p"), nil)
	u.after(5*time.Second, &stored, node("w1", "10.0.2.11"))
	u.after(time.Second, attachment("shop.data", "w1"), nil)
	u.after(300*time.Millisecond, nil, nil)
	u.wantOwner("west")
	u.ceph.RemoveWatcher(theData, onW1)
	u.after(300*time.Millisecond, nil, nil)
	u.wantOwner("")
	if got, most := len(u.looks)-begin, 10; got > most {
		t.Errorf("%d looks from the pod's end to the release, want at most %d", got, most)
	}
}
