package provisioner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

var (
	eastern = ceph.Party{UID: "uid of east", Name: "east"}
	western = ceph.Party{UID: "uid of west", Name: "west"}
)

// thatWaits is a world in which the claim waits for east, on that node, and the times that its
// PersistentVolume was tried.
func thatWaits(t *testing.T, objects ...client.Object) (*world, *int) {
	t.Helper()
	w := newWorld(t, []cephtest.Image{{Name: spec.Name, Layout: ceph.Layout{Size: mib}, ClaimSize: mib}}, append(objects, pvc(), podUsing("db", "data"))...)
	w.claims.Cluster = western
	w.claims.Waits = func(claim *corev1.PersistentVolumeClaim, image ceph.ImageSpec, record ceph.Record, why string) {
		if claim.Name != "data" || image != spec || !strings.HasPrefix(why, "volume shop/data is in use by another cluster") ||
			record.Owner != nil && record.Owner.UID != eastern.UID {
			t.Errorf("it is shown that claim %s waits for %s, because %s, with %+v", claim.Name, image, why, record)
		}
		w.shown++
	}
	w.own("e1")
	tries := 0
	w.refuse = func() error {
		tries++
		record := w.record()
		switch {
		case record.Owner != nil:
			return forbidden("volume shop/data is in use by another cluster\n  held by   cluster east, node " + record.Owner.Nodes[0].Name)
		case len(w.watchers()) > 0:
			return forbidden("volume shop/data is in use by another cluster\n  held by   " + w.watchers()[0].Addr)
		}
		return nil
	}
	w.stalls("Stalled: volume shop/data is in use by another cluster\n  held by   cluster east, node e1")
	if w.shown == 0 {
		t.Error("nobody sees that the claim waits")
	}
	return w, &tries
}

func podUsing(name string, claims ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	for _, claim := range claims {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
	}
	return pod
}

// storage is a connection.
func (w *world) storage() (ceph.Cluster, ceph.Image) {
	w.Helper()
	cluster, err := w.ceph.Dial(w.Context(), cephtest.Provisioner)
	if err != nil {
		w.Fatal(err)
	}
	image, err := cluster.Image(w.Context(), spec)
	if err != nil {
		w.Fatal(err)
	}
	return cluster, image
}

func (w *world) record() ceph.Record {
	w.Helper()
	cluster, image := w.storage()
	record, err := cluster.Record(w.Context(), image)
	if err != nil {
		w.Fatal(err)
	}
	return record
}

func (w *world) watchers() []ceph.Watcher {
	w.Helper()
	cluster, image := w.storage()
	watchers, err := cluster.Watchers(w.Context(), image.ImageSpec)
	if err != nil {
		w.Fatal(err)
	}
	return watchers
}

// own makes the image east's, on that node, or nobody's.
func (w *world) own(node string) {
	w.Helper()
	cluster, image := w.storage()
	record := w.record()
	record.State, record.Owner = ceph.Free, nil
	if node != "" {
		record.Admissions++
		record.State, record.Owner = ceph.Held, &ceph.Owner{Party: eastern, Namespace: "shop", Claim: "data", Nodes: []ceph.Node{{Name: node}}}
	}
	if _, err := cluster.PutRecord(w.Context(), image, record); err != nil {
		w.Fatal(err)
	}
}

// stalls reconciles the claim a few times, which goes on waiting and says that.
func (w *world) stalls(condition string) {
	w.Helper()
	for range 3 {
		if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
			w.Error(result, err)
		}
	}
	same(w.T, "conditions", []string{condition}, w.conditions("data"))
}

func (w *world) warnings() int {
	return len(slices.DeleteFunc(slices.Clone(w.events), func(e string) bool { return !strings.HasPrefix(e, "Warning") }))
}

var (
	nobody   []types.NamespacedName
	shopData = []types.NamespacedName{{Namespace: "shop", Name: "data"}}
)

// TestAClaimThatWaitsIsNotTriedBeforeSomethingHasChanged, and is told once for each reason.
func TestAClaimThatWaitsIsNotTriedBeforeSomethingHasChanged(t *testing.T) {
	w, tries := thatWaits(t)
	for range 3 {
		same(t, "changed", nobody, w.claims.changed(t.Context()))
	}
	w.own("e1") // another pod there
	same(t, "changed by the owner's pods", nobody, w.claims.changed(t.Context()))
	same(t, "tries and warnings", []int{1, 1}, []int{*tries, w.warnings()})

	w.own("e2")
	same(t, "changed by the owner's node", shopData, w.claims.changed(t.Context()))
	same(t, "changed, said once", nobody, w.claims.changed(t.Context()))
	w.stalls("Stalled: volume shop/data is in use by another cluster\n  held by   cluster east, node e2")
	same(t, "tries and warnings", []int{2, 2}, []int{*tries, w.warnings()})

	w.ceph.AddWatcher(spec, ceph.Watcher{Addr: "10.0.0.1:0/7", Client: "client.7", Cookie: 1})
	w.own("")
	same(t, "changed by the release", shopData, w.claims.changed(t.Context()))
	w.stalls("Stalled: volume shop/data is in use by another cluster\n  held by   10.0.0.1:0/7")
	same(t, "changed", nobody, w.claims.changed(t.Context()))
	same(t, "tries and warnings", []int{3, 3}, []int{*tries, w.warnings()})

	w.ceph.RemoveWatcher(spec, ceph.Watcher{Addr: "10.0.0.1:0/7", Client: "client.7", Cookie: 1})
	same(t, "changed by the last watcher", shopData, w.claims.changed(t.Context()))
	if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
		t.Fatal(result, err)
	}
	same(t, "volumes", []string{"shop.data"}, w.names())
	same(t, "changed", nobody, w.claims.changed(t.Context()))
}

// TestAClaimThatNoPodWaitsForIsTried, whoever has its image.
func TestAClaimThatNoPodWaitsForIsTried(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		gone   bool
		want   []types.NamespacedName
	}{
		"the pod waits":         {func(*corev1.Pod) {}, false, nobody},
		"the pod is gone":       {nil, true, shopData},
		"the pod has ended":     {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false, shopData},
		"the pod uses another":  {func(p *corev1.Pod) { p.Spec.Volumes = podUsing("", "other").Spec.Volumes }, false, shopData},
		"the pod uses it again": {func(p *corev1.Pod) { p.Spec.Volumes = podUsing("", "other", "data").Spec.Volumes }, false, nobody},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := thatWaits(t)
			pod := podUsing("db", "data")
			var err error
			if test.gone {
				err = w.objects.Delete(t.Context(), pod)
			} else if err = w.objects.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err == nil {
				test.change(pod)
				ended := pod.Status
				err = w.objects.Update(t.Context(), pod)
				pod.Status = ended
				err = errors.Join(err, w.objects.Status().Update(t.Context(), pod))
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, "unused", test.want, w.claims.unused(t.Context()))
		})
	}
}

// TestAClaimThatWaitsForSomethingElseIsTried: what was refused is not what it asks for now.
func TestAClaimThatWaitsForSomethingElseIsTried(t *testing.T) {
	for name, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"another size":              func(c *corev1.PersistentVolumeClaim) { c.Annotations["cephferry.io/size"] = "2Mi" },
		"another claim of the name": func(c *corev1.PersistentVolumeClaim) { c.UID = "2" },
	} {
		t.Run(name, func(t *testing.T) {
			w, tries := thatWaits(t)
			var claim corev1.PersistentVolumeClaim
			if err := w.objects.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "data"}, &claim); err != nil {
				t.Fatal(err)
			}
			change(&claim)
			if err := w.objects.Update(t.Context(), &claim); err != nil {
				t.Fatal(err)
			}
			w.stalls("Stalled: volume shop/data is in use by another cluster\n  held by   cluster east, node e1")
			same(t, "tries", 2, *tries)
		})
	}
}

// TestAClaimThatIsGoneWaitsForNothing.
func TestAClaimThatIsGoneWaitsForNothing(t *testing.T) {
	w, _ := thatWaits(t)
	if err := w.objects.Delete(t.Context(), pvc()); err != nil {
		t.Fatal(err)
	}
	w.own("")
	if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
		t.Error(result, err)
	}
	same(t, "changed", nobody, w.claims.changed(t.Context()))
}

// TestAnOutageWakesNobody: the text would not get better. What else goes wrong, the next try
// says.
func TestAnOutageWakesNobody(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(*world)
		want    []types.NamespacedName
	}{
		"Ceph does not answer":    {func(w *world) { w.ceph.Intercept(cephtest.Unreachable) }, nobody},
		"nobody connects":         {func(w *world) { w.connect = fmt.Errorf("connect: %w", ceph.ErrUnreachable) }, nobody},
		"the record is not known": {func(w *world) { _, image := w.storage(); w.ceph.WriteRecord(image, []byte("?")) }, shopData},
		"the image is gone":       {func(w *world) { w.own(""); w.ceph.RemoveImage(spec) }, shopData},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := thatWaits(t)
			test.arrange(w)
			same(t, "changed", test.want, w.claims.changed(t.Context()))
		})
	}
}

// TestARefusalThatRestsOnNothing is tried again soon, because the image may have become free
// meanwhile, and then seldom.
func TestARefusalThatRestsOnNothing(t *testing.T) {
	w := newWorld(t, nil, pvc())
	w.create = forbidden("volume shop/data cannot be used")
	for _, after := range []time.Duration{retryHeld, retryInvalid, retryInvalid} {
		if result, err := w.reconcile("data"); err != nil || result.RequeueAfter != after {
			t.Error(result, err)
		}
	}
	same(t, "conditions", []string{"Stalled: volume shop/data cannot be used"}, w.conditions("data"))
	same(t, "warnings", 1, w.warnings())
}

// TestManyThatWaitShareALook: one connection for all of a Ceph, and one read for each.
func TestManyThatWaitShareALook(t *testing.T) {
	w, _ := thatWaits(t)
	one := w.claims.waiters.list()[0]
	for i := range 5 {
		more := *one
		more.claim.Name = fmt.Sprint("data-", i)
		w.claims.waiters.add(&more)
	}
	w.asked = nil
	before := len(w.calls())
	same(t, "changed", nobody, w.claims.changed(t.Context()))
	same(t, "connections", []string{"rook-ceph as rook-ceph/maker"}, w.asked)
	same(t, "calls", []string{"Record", "Record", "Record", "Record", "Record", "Record"}, w.calls()[before:])
}

// TestLookInterval: the more claims wait, the rarer each is looked at.
func TestLookInterval(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 100: time.Second, 200: 2 * time.Second, 1000: 10 * time.Second} {
		same(t, fmt.Sprint("for ", n), want, interval(n))
	}
}
