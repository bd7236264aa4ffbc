package keeper_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const grace = 75 * time.Second

var (
	east    = ceph.Party{UID: "u-east", Name: "east"}
	west    = ceph.Party{UID: "u-west", Name: "west"}
	noon    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	theData = ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}
	onW1    = ceph.Watcher{Addr: "10.0.2.11:0/1", Client: "client.1", Cookie: 1}
)

// world is cluster west with its keeper, and the Ceph that it shares.
type world struct {
	*testing.T
	ceph    *cephtest.Ceph
	client  ceph.Cluster
	api     client.WithWatch
	keeper  *keeper.Keeper
	metrics *metrics

	mu        sync.Mutex
	now       time.Time
	conflicts []string
	missing   []string
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{T: t, now: noon}
	w.ceph = cephtest.New(cephtest.Pool{Name: "replicapool", Images: []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: 1 << 20}}}})
	var err error
	if w.client, err = w.ceph.Dial(t.Context(), cephtest.Provisioner); err != nil {
		t.Fatal(err)
	}
	w.api = indexed(append(objects, volume("shop.data", "data"), node("w1", "10.0.2.11"), node("w2", "10.0.2.12"))...).
		WithStatusSubresource(&corev1.Node{}, &corev1.Pod{}, &corev1.PersistentVolumeClaim{}).Build()
	w.metrics = &metrics{world: w}
	w.keeper = &keeper.Keeper{
		Prover: &idle.Prover{
			Self: west, Usage: &usage.Gatherer{Cache: w.api, API: w.api}, Quiet: &ownership.Quiet{Grace: grace}, Now: w.clock,
		},
		Finder:  volumes.Finder{Cache: w.api, API: w.api},
		Storage: func(context.Context, string) (idle.Ceph, string, error) { return w.client, "", nil },
		Metrics: w.metrics, Events: w, Client: w.api,
	}
	return w
}

// indexed has the indexes of the webhook's cache.
func indexed(objects ...client.Object) *fake.ClientBuilder {
	builder := fake.NewClientBuilder().WithObjects(objects...)
	for _, index := range usage.Indexes() {
		builder.WithIndex(index.Object, index.Name, index.Of)
	}
	return builder
}

// OwnerChanged is what the metrics count; the records tell.
func (w *world) OwnerChanged(string, int) {}

// metrics count for the gauge, beside the events of the world.
type metrics struct {
	*world
	elsewhere int
}

func (m *metrics) OwnedElsewhere(volumes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.elsewhere = volumes
}

// OwnedElsewhere notes an event, and to which pod it is related.
func (w *world) OwnedElsewhere(object, related client.Object, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := object.GetName() + ": " + message
	if related != nil {
		line += " [" + related.GetName() + "]"
	}
	w.conflicts = append(w.conflicts, line)
}

// Missing notes an event.
func (w *world) Missing(object client.Object, is ceph.Missing, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.missing = append(w.missing, fmt.Sprintf("%T %s, %s: %s", object, object.GetName(), is.Kind, message))
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// keep reconciles the volume once, and returns when it wants to do it again.
func (w *world) keep(names ...string) time.Duration {
	w.Helper()
	if len(names) == 0 {
		names = []string{"shop.data"}
	}
	result, err := w.keeper.Reconcile(w.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: names[0]}})
	if err != nil {
		w.Fatal(err)
	}
	return result.RequeueAfter
}

func (w *world) record() ceph.Record {
	w.Helper()
	image, err := w.client.Image(w.Context(), theData)
	if err != nil {
		w.Fatal(err)
	}
	record, err := ownership.Read(w.Context(), w.client, image)
	if err != nil {
		w.Fatal(err)
	}
	return record
}

// change writes the record as transition has it.
func (w *world) change(transition func(ceph.Record) (ceph.Record, error)) {
	w.Helper()
	image, err := w.client.Image(w.Context(), theData)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := ownership.Change(w.Context(), w.client, image, transition); err != nil {
		w.Fatal(err)
	}
}

// admits lets a pod start, as the guard does.
func (w *world) admits(by ceph.Party, pod string) {
	w.Helper()
	w.change(func(stored ceph.Record) (ceph.Record, error) {
		return ownership.Acquire(stored, ownership.Request{Cluster: by, Namespace: "shop", Claim: "data", Pod: pod, Now: noon})
	})
}

func (w *world) create(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		if err := w.api.Create(w.Context(), object); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) remove(objects ...client.Object) {
	w.Helper()
	for _, object := range objects {
		if err := w.api.Delete(w.Context(), object); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) wantOwner(want string) {
	w.Helper()
	got := ""
	if owner := w.record().Owner; owner != nil {
		got = owner.Name
	}
	if got != want {
		w.Fatalf("the owner is %q, want %q: %s", got, want, w.record().Encode())
	}
}

func (w *world) wantHolders(nodes []ceph.Node, clients ...string) {
	w.Helper()
	owner := w.record().Owner
	if owner == nil {
		w.Fatal("there is no owner")
	}
	if diff := cmp.Diff(nodes, owner.Nodes, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(ceph.Node{}, "Clients")); diff != "" {
		w.Errorf("nodes -want +got:\n%s", diff)
	}
	if got := owner.Instances(); !slices.Equal(clients, got) {
		w.Errorf("clients %v, want %v", got, clients)
	}
}

func node(name, address string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("object of " + name)}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{BootID: "boot of " + name, MachineID: "machine of " + name}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return n
}

func volume(name, claim string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: claim}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{
		Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop.data",
		VolumeAttributes: map[string]string{"staticVolume": "true", "clusterID": "rook-ceph", "pool": "replicapool"},
	}
	return pv
}

func attachment(pv, node string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "csi-" + pv + "-" + node},
		Spec:       storagev1.VolumeAttachmentSpec{NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}},
	}
}

func pod(uid, claim string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pod-" + uid, UID: types.UID(uid)}}
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
	return p
}

var nodeW1 = []ceph.Node{{Name: "w1", Addresses: []string{"10.0.2.11"}, BootID: "boot of w1", UID: "object of w1", MachineID: "machine of w1"}}

// From the first pod to the release: the record follows, and the release comes with
// the end of the last use, without waiting.
func TestLifeOfAPod(t *testing.T) {
	w := newWorld(t)
	var changes []string
	w.keeper.Changed = func(of volumes.Volume, owns bool) { changes = append(changes, fmt.Sprint(of.Claim, " ", owns)) }
	w.keep()
	w.wantOwner("")
	w.admits(west, "p")
	w.create(pod("p", "data"))
	w.keep()
	if got := w.record().Pending; got != nil {
		t.Errorf("the pod was seen, and is still pending: %v", got)
	}
	w.create(attachment("shop.data", "w1"))
	w.keep()
	w.wantHolders(nodeW1)
	w.ceph.AddWatcher(theData, onW1)
	w.keep()
	w.wantHolders(nodeW1, onW1.Addr)

	w.remove(pod("p", "data"))
	w.keep()
	w.wantOwner("west")
	w.remove(attachment("shop.data", "w1"))
	w.keep()
	w.wantOwner("west")
	w.ceph.RemoveWatcher(theData, onW1)
	w.keep()
	w.wantOwner("")
	if want := []string{"data false"}; !slices.Equal(changes, want) {
		t.Errorf("who hears of changes heard %q, want %q", changes, want)
	}
}

// A pod that was admitted and is not at the API server may still come.
func TestACrashAfterTheAdmission(t *testing.T) {
	w := newWorld(t)
	w.admits(west, "p")
	w.keep()
	w.pass(grace)
	if wait := w.keep(); wait > 5*time.Second || wait <= 0 {
		t.Errorf("the next look is after %s", wait)
	}
	w.wantOwner("west")
	w.pass(time.Second)
	w.keep()
	w.wantOwner("")
}

// After a failover the image waits for the person's pod. Once that is there, a move waits
// for nothing.
func TestAMoveAfterAFailover(t *testing.T) {
	w := newWorld(t)
	w.admits(east, "p")
	ann := ownership.Taker{Cluster: west, By: "ann", Now: noon}
	w.change(func(stored ceph.Record) (ceph.Record, error) { return ownership.BeginFence(stored, ann) })
	w.change(func(stored ceph.Record) (ceph.Record, error) {
		return ownership.FinishFence(stored, stored, ann, "shop", "data", nil)
	})
	w.keep()
	w.wantOwner("west")
	w.admits(west, "q")
	w.create(pod("q", "data"))
	w.keep()
	w.remove(pod("q", "data"))
	w.keep()
	w.wantOwner("")
}

// Each admission begins the wait anew, and so does another leader.
func TestTheWaitBeginsAnew(t *testing.T) {
	w := newWorld(t)
	w.admits(west, "p")
	w.keep()
	w.pass(grace + time.Second)
	w.admits(west, "q")
	w.keep()
	w.pass(grace - time.Second)
	w.keep()
	w.wantOwner("west")
	w.keeper.Quiet = &ownership.Quiet{Grace: grace}
	w.pass(grace)
	w.keep()
	w.wantOwner("west")
	w.pass(grace + time.Second)
	w.keep()
	w.wantOwner("")
}

// A pod that is admitted while idleness is proven wins.
func TestAnAdmissionDuringTheProof(t *testing.T) {
	w := newWorld(t)
	w.admits(west, "p")
	w.keep()
	w.pass(grace + time.Second)
	once := sync.OnceFunc(func() { w.admits(west, "q") })
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Watchers" {
			w.ceph.Intercept(nil)
			once()
		}
		return proceed()
	})
	if wait := w.keep(); wait > time.Second {
		t.Errorf("the next look is after %s", wait)
	}
	w.wantOwner("west")
}

// What the cache does not have any more, the API server may have.
func TestTheProofIsFromTheAPIServer(t *testing.T) {
	for name, object := range map[string]client.Object{"a pod": pod("q", "data"), "an attachment": attachment("shop.data", "w2")} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.admits(west, "")
			w.keeper.Usage.Cache = indexed(volume("shop.data", "data"), node("w1", "10.0.2.11"), node("w2", "10.0.2.12")).Build()
			w.create(object)
			w.keep()
			w.wantOwner("west")
			w.remove(object)
			w.keep()
			w.wantOwner("")
		})
	}
}

// Two claims of one cluster may have one image.
func TestAnotherVolumeWithTheImage(t *testing.T) {
	w := newWorld(t, volume("alias", "alias"), pod("a", "alias"))
	w.admits(west, "a")
	w.keep("alias")
	w.keep("shop.data")
	w.wantOwner("west")
	w.remove(pod("a", "alias"))
	w.keep("shop.data")
	w.wantOwner("")
}

// A volume that was deleted leads to its image until that is released.
func TestADeletedVolume(t *testing.T) {
	w := newWorld(t, pod("p", "data"))
	w.admits(west, "p")
	w.keep()
	w.remove(volume("shop.data", "data"))
	w.keeper.Gone(t, volume("shop.data", "data"))
	if wait := w.keep(); wait <= 0 {
		t.Error("it is not looked at again")
	}
	w.wantOwner("west")
	w.remove(pod("p", "data"))
	w.keep()
	w.wantOwner("")
	calls := len(w.ceph.Calls())
	w.keep()
	if got := len(w.ceph.Calls()); got != calls {
		t.Errorf("%d calls for a volume that is gone", got-calls)
	}
}

// An attachment can be taken away by force while the node has the image mapped. Its
// kubelet still says so, or said so before it was cut off.
func TestAForcedDetachment(t *testing.T) {
	reports := func(w *world, volumes ...corev1.UniqueVolumeName) {
		var stored corev1.Node
		if err := w.api.Get(w.Context(), client.ObjectKey{Name: "w1"}, &stored); err != nil {
			w.Fatal(err)
		}
		stored.Status.VolumesInUse = volumes
		if err := w.api.Status().Update(w.Context(), &stored); err != nil {
			w.Fatal(err)
		}
	}
	forced := func(t *testing.T) *world {
		w := newWorld(t, attachment("shop.data", "w1"))
		w.ceph.AddWatcher(theData, onW1)
		w.admits(west, "")
		w.keep()
		reports(w, "kubernetes.io/csi/rook-ceph.rbd.csi.ceph.com^other", "kubernetes.io/csi/rook-ceph.rbd.csi.ceph.com^shop.data")
		w.ceph.RemoveWatcher(theData, onW1)
		w.remove(attachment("shop.data", "w1"))
		w.keep()
		w.wantHolders(nodeW1, onW1.Addr)
		return w
	}
	t.Run("and the kubelet unmounts later", func(t *testing.T) {
		w := forced(t)
		reports(w, "kubernetes.io/csi/rook-ceph.rbd.csi.ceph.com^other")
		w.keep()
		w.wantOwner("")
	})
	t.Run("and the node is gone", func(t *testing.T) {
		w := forced(t)
		w.remove(node("w1", "10.0.2.11"))
		for range 3 {
			w.pass(time.Hour)
			w.keep()
		}
		w.wantHolders(nodeW1, onW1.Addr)
	})
}

// The node that a binding was allowed to stays in the record until the pod is seen
// there.
func TestABinding(t *testing.T) {
	w := newWorld(t, pod("p", "data"))
	w.change(func(stored ceph.Record) (ceph.Record, error) {
		return ownership.Acquire(stored, ownership.Request{Cluster: west, Namespace: "shop", Claim: "data", Nodes: nodeW1, Unbound: []string{"p"}, Now: noon})
	})
	w.keep()
	w.wantHolders(nodeW1)
	var stored corev1.Pod
	if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "pod-p"}, &stored); err != nil {
		t.Fatal(err)
	}
	stored.Spec.NodeName = "w2"
	if err := w.api.Update(t.Context(), &stored); err != nil {
		t.Fatal(err)
	}
	w.keep()
	w.wantHolders([]ceph.Node{{Name: "w2", Addresses: []string{"10.0.2.12"}, BootID: "boot of w2", UID: "object of w2", MachineID: "machine of w2"}})
}

func TestAdopt(t *testing.T) {
	w := newWorld(t, attachment("shop.data", "w1"))
	var changes []string
	w.keeper.Changed = func(of volumes.Volume, owns bool) { changes = append(changes, fmt.Sprint(of.Claim, " ", owns)) }
	w.ceph.AddWatcher(theData, onW1)
	w.keep()
	w.wantOwner("west")
	w.wantHolders(nodeW1, onW1.Addr)
	if want := []string{"data true"}; !slices.Equal(changes, want) {
		t.Errorf("who hears of changes heard %q, want %q", changes, want)
	}
}

func TestConflict(t *testing.T) {
	w := newWorld(t, attachment("shop.data", "w1"))
	w.admits(east, "p")
	w.keep()
	w.keep()
	w.wantOwner("east")
	if want := []string{"shop.data: volume shop/data (image replicapool/shop.data): cluster east owns the image"}; !slices.Equal(w.conflicts, want) {
		t.Errorf("events %q, want %q", w.conflicts, want)
	}
}

// A standby cluster looks once at each volume, for its record, and asks nothing more.
func TestAStandbyCluster(t *testing.T) {
	w := newWorld(t)
	w.admits(east, "p")
	before := len(w.ceph.Calls())
	if wait := w.keep(); wait != 0 {
		t.Errorf("the next look is after %s", wait)
	}
	var methods []string
	for _, call := range w.ceph.Calls()[before:] {
		methods = append(methods, call.Method)
	}
	if want := []string{"Image", "Record", "Watchers"}; !slices.Equal(methods, want) {
		t.Errorf("calls %v, want %v", methods, want)
	}
}

// Looks become rare while nothing changes.
func TestPatience(t *testing.T) {
	w := newWorld(t, attachment("shop.data", "w1"))
	w.ceph.AddWatcher(theData, onW1)
	w.keep()
	looks, waited := 0, time.Duration(0)
	for waited < time.Hour {
		wait := w.keep()
		w.pass(wait)
		waited += wait
		looks++
	}
	if looks > 30 {
		t.Errorf("%d looks in %s", looks, waited)
	}
}

func TestWhatIsNotKept(t *testing.T) {
	dynamic := volume("dynamic", "data")
	dynamic.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "shop.data"}
	unclaimed := volume("unclaimed", "data")
	unclaimed.Spec.ClaimRef = nil
	nowhere := volume("nowhere", "data")
	delete(nowhere.Spec.CSI.VolumeAttributes, "pool")
	w := newWorld(t, dynamic, unclaimed, nowhere)
	for _, name := range []string{"dynamic", "unclaimed", "nowhere", "gone"} {
		if wait := w.keep(name); wait != 0 {
			t.Errorf("%s is looked at again after %s", name, wait)
		}
	}
	if calls := w.ceph.Calls(); len(calls) != 0 {
		t.Errorf("calls %v", calls)
	}
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	w.ceph.Intercept(cephtest.Unreachable)
	_, err := w.keeper.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "shop.data"}})
	if err == nil {
		t.Error("an outage is no error")
	}
	w.ceph.Intercept(nil)
	w.ceph.RemoveImage(theData)
	var waits []time.Duration
	for range 30 {
		waits = append(waits, w.keep())
		w.pass(waits[len(waits)-1])
	}
	if first, last := waits[0], waits[len(waits)-1]; first > time.Second || last != 10*time.Minute {
		t.Errorf("an image that is not there is looked at after %s, and at last after %s", first, last)
	}
}
