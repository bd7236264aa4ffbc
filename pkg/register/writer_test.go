package register

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/volumes"
)

var block = Place{"rook-ceph", "replicapool"}

// world is cluster east, whose webhook leads, with one guarded volume, and its Ceph.
type world struct {
	*testing.T
	*Writer
	ceph    *cephtest.Ceph
	storage ceph.Cluster
	api     client.Client
	now     time.Time
	log     []string
	// registry has the metrics.
	registry *prometheus.Registry
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{T: t, now: noon, registry: prometheus.NewRegistry(), ceph: cephtest.New(
		cephtest.Pool{Name: "replicapool", Namespaces: []string{"north"}, Images: []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: 1 << 20}}}},
		cephtest.Pool{Name: "otherpool"},
	)}
	var err error
	if w.storage, err = w.ceph.Dial(t.Context(), cephtest.Operator); err != nil {
		t.Fatal(err)
	}
	w.api = fake.NewClientBuilder().WithObjects(append(objects, volume("shop.data", block))...).Build()
	w.Writer = &Writer{
		Self: east, Version: "v1",
		Finder: volumes.Finder{Cache: w.api, API: w.api},
		Storage: func(_ context.Context, clusterID string) (Ceph, string, error) {
			return w.storage, map[string]string{"north": "north"}[clusterID], nil
		},
		Metrics: NewMetrics(w.registry),
		Log:     funcr.New(func(_, line string) { w.log = append(w.log, line) }, funcr.Options{}),
		Now:     func() time.Time { return w.now },
	}
	return w
}

func volume(name string, place Place) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: name,
				VolumeAttributes: map[string]string{"clusterID": place.ClusterID, "pool": place.Pool, "staticVolume": "true"},
			}},
		},
	}
}

// node is the Node object of a boot.
func node(n ceph.Node) *corev1.Node {
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: types.UID(n.UID)},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{BootID: n.BootID, MachineID: n.MachineID, SystemUUID: n.SystemUUID}},
	}
	for _, address := range n.Addresses {
		object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
	}
	return object
}

// writes reconciles a place, and returns when it wants to do so again.
func (w *world) writes(place Place) time.Duration {
	w.Helper()
	result, err := w.Reconcile(w.Context(), place)
	if err != nil {
		w.Fatal(err)
	}
	return result.RequeueAfter
}

// wantNodes checks which boots are registered.
func (w *world) wantNodes(pool, namespace string, want ...ceph.Node) ceph.Registration {
	w.Helper()
	registration, err := w.storage.Registration(w.Context(), pool, namespace, east.UID)
	if err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(want, registration.Nodes); diff != "" {
		w.Errorf("registered nodes, -want +got:\n%s", diff)
	}
	return registration
}

func (w *world) called(method string) int {
	n := 0
	for _, call := range w.ceph.Calls() {
		if call.Method == method {
			n++
		}
	}
	return n
}

// metric returns the values of a metric, by its labels in their order.
func (w *world) metric(name string) map[string]float64 {
	w.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			if family.GetName() == name {
				values[strings.Join(labels, " ")] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
	}
	return values
}

func (w *world) change(object client.Object, how func(context.Context, client.Object) error) {
	w.Helper()
	if err := how(w.Context(), object); err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(object client.Object) {
	w.Helper()
	w.change(object, func(ctx context.Context, o client.Object) error { return w.api.Create(ctx, o) })
}

func (w *world) remove(object client.Object) {
	w.Helper()
	w.change(object, func(ctx context.Context, o client.Object) error { return w.api.Delete(ctx, o) })
}

// admits writes the record of the one image: east's, with pods that have no node.
func (w *world) admits(unbound ...string) {
	w.Helper()
	image, err := w.storage.Image(w.Context(), ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"})
	if err != nil {
		w.Fatal(err)
	}
	record, err := w.storage.Record(w.Context(), image)
	if err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
		w.Fatal(err)
	}
	record.State, record.Owner, record.Unbound = ceph.Held, &ceph.Owner{Party: east, Namespace: "shop", Claim: "data"}, unbound
	if _, err := w.storage.PutRecord(w.Context(), image, record); err != nil {
		w.Fatal(err)
	}
}

func TestOnceAMinuteAndWhenNodesChange(t *testing.T) {
	e1, e2 := boot("e1", "b1", "10.0.1.11"), boot("e2", "b2", "10.0.1.12")
	w := newWorld(t, node(e1))
	if wait := w.writes(block); wait != interval {
		t.Errorf("it is looked at again after %s", wait)
	}
	first := w.wantNodes("replicapool", "", e1)
	if first.Name != "east" || first.Version != "v1" || !first.Written.Equal(noon) {
		t.Errorf("registered %+v", first)
	}

	w.now = noon.Add(20 * time.Second)
	if wait := w.writes(block); wait != 40*time.Second || w.called("PutRegistration") != 1 {
		t.Errorf("nothing has changed: %d writes, and the next look after %s", w.called("PutRegistration"), wait)
	}
	w.create(node(e2))
	w.writes(block)
	w.wantNodes("replicapool", "", e1, e2)

	w.now = noon.Add(2 * time.Minute)
	w.writes(block)
	if last := w.wantNodes("replicapool", "", e1, e2); !last.Written.Equal(w.now) || w.called("PutRegistration") != 3 {
		t.Errorf("after %d writes: %s", w.called("PutRegistration"), last.Written)
	}
	if w.called("Records") > 0 {
		t.Error("no node is gone, and the records were listed")
	}
	if diff := cmp.Diff(map[string]float64{"rook-ceph replicapool": float64(w.now.Unix())}, w.metric("cephferry_registration_written_seconds")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAGoneNodeStaysWhileAPodHasNone(t *testing.T) {
	e1, e2 := boot("e1", "b1", "10.0.1.11"), boot("e2", "b2", "10.0.1.12")
	w := newWorld(t, node(e1), node(e2))
	w.writes(block)
	w.admits("pod")
	w.remove(node(e2))
	w.writes(block)
	w.wantNodes("replicapool", "", e1, e2)
	w.admits()
	w.writes(block)
	w.wantNodes("replicapool", "", e1)
	listed := w.called("Records")
	w.writes(block)
	if w.called("Records") != listed {
		t.Error("no node is gone any more, and the records were listed")
	}
}

func TestAGoneNodeStaysWhileTheRecordsAreUnknown(t *testing.T) {
	e1, e2, e3 := boot("e1", "b1", "10.0.1.11"), boot("e2", "b2", "10.0.1.12"), boot("e3", "b3", "10.0.1.13")
	w := newWorld(t, node(e1), node(e2))
	w.writes(block)
	w.remove(node(e2))
	w.create(node(e3))
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Records" {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	if wait := w.writes(block); wait != retry {
		t.Errorf("it is tried again after %s", wait)
	}
	// The one that has come cannot wait for that.
	w.wantNodes("replicapool", "", e1, e2, e3)
	w.ceph.Intercept(nil)
	w.writes(block)
	w.wantNodes("replicapool", "", e1, e3)
}

// A leader that has just begun may see in its cache what the last one saw before.
func TestTheCacheLagsBehind(t *testing.T) {
	e1, before, now := boot("e1", "b1", "10.0.1.11"), boot("e2", "b2", "10.0.1.12"), boot("e2", "b3", "10.0.1.13")
	w := newWorld(t, node(e1), node(now))
	w.writes(block)
	w.wantNodes("replicapool", "", e1, now)
	w.Finder.Cache = fake.NewClientBuilder().WithObjects(volume("shop.data", block), node(before)).Build()
	w.writes(block)
	w.wantNodes("replicapool", "", e1, now)
}

// One pool cannot be written. The others are, and it is said once.
func TestOnePoolFails(t *testing.T) {
	e1 := boot("e1", "b1", "10.0.1.11")
	other, north := Place{"rook-ceph", "otherpool"}, Place{"north", "replicapool"}
	w := newWorld(t, node(e1), volume("shop.other", other), volume("shop.north", north))
	why := ceph.ErrUnreachable
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Image.Pool == "otherpool" && why != nil {
			return why
		}
		return proceed()
	})
	for range 3 {
		if wait := w.writes(other); wait != retry {
			t.Errorf("it is tried again after %s", wait)
		}
		w.writes(block)
		w.writes(north)
	}
	w.wantNodes("replicapool", "", e1)
	w.wantNodes("replicapool", "north", e1)
	if len(w.log) != 1 || !strings.Contains(w.log[0], `"pool"="otherpool"`) || !strings.Contains(w.log[0], "ceph does not answer") {
		t.Errorf("logged:\n%s", strings.Join(w.log, "\n"))
	}
	if diff := cmp.Diff(map[string]float64{"rook-ceph otherpool": 3}, w.metric("cephferry_registration_errors_total")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, ok := w.metric("cephferry_registration_written_seconds")["rook-ceph otherpool"]; !ok || got != 0 {
		t.Errorf("one that was never written: %f, %t", got, ok)
	}
	why = ceph.ErrPermission
	w.writes(other)
	w.writes(other)
	if len(w.log) != 2 {
		t.Errorf("logged:\n%s", strings.Join(w.log, "\n"))
	}
	why = nil
	w.writes(other)
	w.wantNodes("otherpool", "", e1)
	if len(w.log) != 3 || !strings.Contains(w.log[2], "the cluster is registered again") {
		t.Errorf("logged:\n%s", strings.Join(w.log, "\n"))
	}
}

// What this version does not understand is not written over.
func TestARegistrationOfALaterVersion(t *testing.T) {
	w := newWorld(t, node(boot("e1", "b1", "10.0.1.11")))
	later := []byte(`{"version":2}`)
	w.ceph.WriteRecord(ceph.Image{ImageSpec: ceph.ImageSpec{Pool: "replicapool"}, ID: "cluster." + east.UID}, later)
	if wait := w.writes(block); wait != retry || w.called("PutRegistration") != 0 {
		t.Errorf("%d writes, and the next look after %s", w.called("PutRegistration"), wait)
	}
}

// The leader of a moment ago has written. What it wrote is read before the next attempt.
func TestSomebodyElseWasFaster(t *testing.T) {
	e1, e2 := boot("e1", "b1", "10.0.1.11"), boot("e2", "b2", "10.0.1.12")
	w := newWorld(t, node(e1))
	raced := false
	w.ceph.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRegistration" && !raced {
			raced = true
			if _, err := w.storage.PutRegistration(ctx, "replicapool", "", ceph.Registration{Party: east, Nodes: []ceph.Node{e2}}); err != nil {
				return err
			}
		}
		return proceed()
	})
	if wait := w.writes(block); wait != soon {
		t.Errorf("it is tried again after %s", wait)
	}
	w.wantNodes("replicapool", "", e2)
	w.admits("pod")
	w.writes(block)
	w.wantNodes("replicapool", "", e1, e2)
	if len(w.log) > 0 {
		t.Errorf("logged:\n%s", strings.Join(w.log, "\n"))
	}
}

func TestWithoutAGuardedVolumeNothingIsWritten(t *testing.T) {
	dynamic := volume("pvc-1", Place{"rook-ceph", "otherpool"})
	delete(dynamic.Spec.CSI.VolumeAttributes, "staticVolume")
	dynamic.Spec.CSI.VolumeAttributes["imageName"] = "csi-vol-1"
	w := newWorld(t, node(boot("e1", "b1", "10.0.1.11")), dynamic)
	if wait := w.writes(Place{"rook-ceph", "otherpool"}); wait != interval || len(w.ceph.Calls()) > 0 {
		t.Errorf("%d calls of Ceph, and the next look after %s", len(w.ceph.Calls()), wait)
	}
	w.writes(block)
	w.remove(volume("shop.data", block))
	calls := len(w.ceph.Calls())
	w.writes(block)
	if len(w.ceph.Calls()) != calls || len(w.metric("cephferry_registration_written_seconds")) != 0 {
		t.Error("a place without a volume is looked at, or still has its metric")
	}
}

func TestWhatMakesItLook(t *testing.T) {
	w := newWorld(t)
	if got := w.comesTo(volume("shop.data", block)); !slices.Equal(got, []Place{block}) {
		t.Errorf("a volume comes: %v", got)
	}
	if got := w.comesTo(volume("shop.more", block)); len(got) > 0 {
		t.Errorf("another one there: %v", got)
	}
	nowhere := volume("shop.nowhere", Place{"rook-ceph", ""})
	if got := w.comesTo(nowhere); len(got) > 0 {
		t.Errorf("one that says no pool: %v", got)
	}
	if got := w.known(&corev1.Node{}); !slices.Equal(got, []Place{block}) {
		t.Errorf("a node changes: %v", got)
	}

	before := node(boot("e1", "b1", "10.0.1.11"))
	for name, test := range map[string]struct {
		change func(*corev1.Node)
		want   bool
	}{
		"a heartbeat": {func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, LastHeartbeatTime: metav1.NewTime(noon)}}
		}, false},
		"a volume in use": {func(n *corev1.Node) { n.Status.VolumesInUse = []corev1.UniqueVolumeName{"v"} }, false},
		"another boot":    {func(n *corev1.Node) { n.Status.NodeInfo.BootID = "b2" }, true},
		"another address": {func(n *corev1.Node) { n.Status.Addresses[0].Address = "10.0.1.12" }, true},
	} {
		now := before.DeepCopy()
		test.change(now)
		if got := nodeChanged(event.UpdateEvent{ObjectOld: before, ObjectNew: now}); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
