package usage

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

var (
	east    = ceph.Party{UID: "u-east", Name: "east"}
	theData = ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}
)

const (
	driver = "rook-ceph.rbd.csi.ceph.com"
	onE1   = "10.0.1.11:0/1"
)

func pv(name, claim, handle string) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: claim}
	v.Spec.CSI = &corev1.CSIPersistentVolumeSource{
		Driver: driver, VolumeHandle: handle,
		VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
	}
	return v
}

func volumeOf(t *testing.T, pv *corev1.PersistentVolume) volumes.Volume {
	t.Helper()
	volume, _, err := volumes.Finder{Scope: volumes.ScopeAll}.Guarded(pv)
	if err != nil {
		t.Fatal(err)
	}
	return volume
}

func node() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "e1", UID: "uid-e1"},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "e1"}, {Type: corev1.NodeInternalIP, Address: "10.0.1.11"}},
			NodeInfo:  corev1.NodeSystemInfo{BootID: "b1", MachineID: "m1", SystemUUID: "s1"},
		},
	}
}

func pod(name, node, claim string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.PodSpec{NodeName: node, Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}}}},
	}
}

func attachment(name, driver, pv string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       storagev1.VolumeAttachmentSpec{Attacher: driver, NodeName: "e1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}},
	}
}

func storage(t *testing.T, watchers ...string) ceph.Cluster {
	t.Helper()
	all := cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: 1}}}})
	for _, addr := range watchers {
		all.AddWatcher(theData, ceph.Watcher{Addr: addr})
	}
	cluster, err := all.Dial(t.Context(), cephtest.Operator)
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

func held(nodes ...ceph.Node) ceph.Record {
	return ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: east, Namespace: "shop", Claim: "data", Nodes: nodes}}
}

// TestSeen: the cache and the API server say the same of the same objects.
func TestSeen(t *testing.T) {
	data := pv("shop.data", "data", "shop.data")
	// cluster-mapping.json may lead its clusterID to the same image.
	twin := pv("twin", "twin", "shop.data")
	twin.Spec.CSI.VolumeAttributes["clusterID"] = "mapped"
	objects := []client.Object{data, twin, pv("other", "other", "shop.other"), node(),
		pod("db-0", "e1", "data"), pod("twin-0", "", "twin"), pod("other-0", "e1", "other"), attachment("csi-1", driver, "shop.data")}
	builder := fake.NewClientBuilder().WithObjects(objects...)
	for _, index := range Indexes() {
		builder.WithIndex(index.Object, index.Name, index.Of)
	}
	api := builder.Build()
	g := &Gatherer{Cache: api, API: api, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.5.0/24")}}
	e1 := ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1", UID: "uid-e1", MachineID: "m1", SystemUUID: "s1"}
	want := Evidence{
		Seen: ownership.Seen{
			Pods: []string{"uid-db-0", "uid-twin-0"}, Unbound: []string{"uid-twin-0"}, Attached: []ceph.Node{e1},
			Watchers: []string{onE1, "10.0.9.9:0/2"}, Explained: []string{onE1}, Present: []ownership.Present{{Node: e1}},
		},
		Uses:    []Use{podUse("e1", "shop/db-0", "uid-db-0"), podUse("", "shop/twin-0", "uid-twin-0"), {Node: "e1", What: "volumeattachment csi-1", Object: "csi-1"}},
		Foreign: []Foreign{{Watcher: ceph.Watcher{Addr: "10.0.9.9:0/2"}, Why: "not a node of this cluster"}},
	}
	for name, source := range map[string]Source{"cache": g.Cached(), "API server": g.Live()} {
		want.Cached = source.Cached
		got, err := g.Seen(t.Context(), source, storage(t, onE1, "10.0.5.1:0/9", "10.0.9.9:0/2"), east, volumeOf(t, data), theData, held(e1, ceph.Node{Name: "e9"}))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got:\n%s", name, err, diff)
		}
		// Of what another cluster owns, no node is a holder.
		got, err = g.Seen(t.Context(), source, storage(t, onE1), ceph.Party{UID: "u-west"}, volumeOf(t, data), theData, held(e1))
		elsewhere := want.Seen
		elsewhere.Watchers, elsewhere.Present = []string{onE1}, nil
		if diff := cmp.Diff(elsewhere, got.Seen); diff != "" || err != nil {
			t.Errorf("%s, not the owner: %v, -want +got:\n%s", name, err, diff)
		}
	}
	idle := pv("idle", "idle", "shop.idle")
	got, err := g.Seen(t.Context(), g.Live(), storage(t), east, volumeOf(t, idle), theData, ceph.Record{})
	if diff := cmp.Diff(Evidence{}, got); diff != "" || err != nil {
		t.Errorf("idle: %v, -want +got:\n%s", err, diff)
	}
}

func TestRecordedNodes(t *testing.T) {
	node := func(name, machine, system string) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.NodeInfo = corev1.NodeSystemInfo{MachineID: machine, SystemUUID: system}
		return n
	}
	got := RecordedNodes([]corev1.Node{node("one", "m1", "s1"), node("clone", "m1", "s2"), node("copy", "m2", "s3"), node("of a copy", "m2", "s3")})
	want := []ceph.Node{{Name: "one", MachineID: "m1", SystemUUID: "s1"}, {Name: "clone", MachineID: "m1", SystemUUID: "s2"}, {Name: "copy"}, {Name: "of a copy"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSeenOfAnOrphan: what no volume says any more counts against an orphan, whatever
// image it is of.
func TestSeenOfAnOrphan(t *testing.T) {
	for name, test := range map[string]struct {
		object client.Object
		want   Evidence
	}{
		"nothing": {node(), Evidence{}},
		"a pod": {pod("db-0", "e1", "data"), Evidence{
			Seen: ownership.Seen{Pods: []string{"uid-db-0"}, Attached: []ceph.Node{{Name: "e1"}}}, Uses: []Use{podUse("e1", "shop/db-0", "uid-db-0")},
		}},
		"an attachment": {attachment("csi-1", driver, "by-hand"), Evidence{
			Strays: []Stray{{"e1", "volumeattachment csi-1 (of PersistentVolume by-hand, which is gone)"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &Gatherer{API: fake.NewClientBuilder().WithObjects(test.object).WithInterceptorFuncs(interceptor.Funcs{Get: named}).Build()}
			// The keeper knows the driver, the plugin does not.
			for _, driver := range []string{driver, ""} {
				orphan := volumes.OrphanOf(volumes.Place{Driver: driver, ClusterID: "rook-ceph", Pool: "rbd"}, "shop.data", *held().Owner)
				got, err := g.Seen(t.Context(), g.Live(), storage(t), east, orphan, theData, held())
				if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
					t.Errorf("driver %q: %v, -want +got:\n%s", driver, err, diff)
				}
			}
		})
	}
}

// named refuses to read an object without a name, as clients of a real API server do.
func named(ctx context.Context, api client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if key.Name == "" {
		return errors.New("resource name may not be empty")
	}
	return api.Get(ctx, key, object, options...)
}

// TestTheVolumeOfACacheIsOld: its claim is another one at the API server.
func TestTheVolumeOfACacheIsOld(t *testing.T) {
	before := pv("shop.data", "data", "shop.data")
	before.Spec.ClaimRef.UID = "uid-before"
	now := pv("shop.data", "moved", "shop.data")
	g := &Gatherer{API: fake.NewClientBuilder().WithObjects(now, pod("db-0", "e1", "moved"), node()).Build()}
	got, err := g.Seen(t.Context(), g.Live(), storage(t), east, volumeOf(t, before), theData, held())
	if err != nil || len(got.Pods) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPods(t *testing.T) {
	claim := func(uid types.UID) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: uid}}
	}
	in := func(phase corev1.PodPhase) *corev1.Pod {
		p := pod("db-0", "e1", "data")
		p.Status.Phase = phase
		return p
	}
	for name, test := range map[string]struct {
		volumeFor types.UID
		objects   []client.Object
		want      int
	}{
		"the volume's claim":                       {"1", []client.Object{claim("1"), in(corev1.PodRunning)}, 1},
		"a pod that waits":                         {"1", []client.Object{claim("1"), in(corev1.PodPending)}, 1},
		"a finished pod":                           {"1", []client.Object{claim("1"), in(corev1.PodSucceeded)}, 0},
		"a pod that failed":                        {"1", []client.Object{claim("1"), in(corev1.PodFailed)}, 0},
		"a pod of another claim":                   {"1", []client.Object{claim("1"), pod("other", "e1", "other")}, 0},
		"a volume for whatever claim has the name": {"", []client.Object{claim("2"), in(corev1.PodPending)}, 1},
		"the claim was deleted by force":           {"1", []client.Object{in(corev1.PodRunning)}, 1},
		"another claim of that name":               {"1", []client.Object{claim("2"), in(corev1.PodRunning)}, 0},
		"no claim, no pod":                         {"1", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := &Gatherer{API: fake.NewClientBuilder().WithObjects(test.objects...).Build()}
			volume := pv("shop.data", "data", "shop.data")
			volume.Spec.ClaimRef.UID = test.volumeFor
			pods, err := g.Pods(t.Context(), g.Live(), volumeOf(t, volume))
			if err != nil || len(pods) != test.want {
				t.Errorf("%d pods, %v; want %d", len(pods), err, test.want)
			}
		})
	}
}

func podUse(node, object, uid string) Use {
	return Use{Node: node, What: "pod " + object, Pod: uid, Object: object}
}
