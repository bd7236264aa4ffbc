package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// TestRefusalText is the sentence of the README, to the letter, as kubectl shows
// it after its own words.
func TestRefusalText(t *testing.T) {
	w := newWorld(t, []string{"shop.data-db-0"}, append(pair("data-db-0"), statefulSet(0))...)
	w.watch("shop.data-db-0", "10.0.1.12:0/3311202721")
	got := w.handler("scale").Handle(t.Context(), scaled(t, statefulSetKind, "statefulsets", 0, 1))
	text := `Error from server (Forbidden): admission webhook "scale.guard.cephferry.io" denied the request:` + got.Result.Message
	same(t, `Error from server (Forbidden): admission webhook "scale.guard.cephferry.io" denied the request:
volume shop/data-db-0 (image replicapool/shop.data-db-0) is in use by another cluster
  held by   10.0.1.12 (client.4153), not a node of west
  do this   scale the workload down in that cluster, then retry here; nothing was changed`, text)
}

func TestPod(t *testing.T) {
	explained := "10.0.2.11:0/1"
	finished := func(name string) *corev1.Pod {
		p := pod(name, "data")
		p.Spec.NodeName, p.Status.Phase = "west-1", corev1.PodSucceeded
		return p
	}
	running := pod("other", "data")
	running.Spec.NodeName = "west-1"
	unscheduled := pod("unscheduled", "data")
	stranger := pod("stranger", "logs")
	stranger.Spec.NodeName = "west-1"
	block := func(pv *corev1.PersistentVolume) { pv.Spec.VolumeMode = ptr(corev1.PersistentVolumeBlock) }
	ephemeral := pod("db-0")
	ephemeral.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
	plain := pod("db-0")
	plain.Spec.Volumes = []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}

	tests := map[string]struct {
		images   []string
		watchers map[string][]string
		objects  []client.Object
		change   func(*guard.Guard)
		pod      *corev1.Pod
		want     answer
	}{
		"no volume": {
			pod:  plain,
			want: allowed(guard.NothingGuarded),
		},
		"nobody watches": {
			images: []string{"shop.data"}, objects: pair("data"),
			pod:  pod("db-0", "data"),
			want: allowed(guard.NoWatcher),
		},
		"another cluster watches": {
			images: []string{"shop.data"}, objects: pair("data"),
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		"another cluster watches, and the pod has the claim twice": {
			images: []string{"shop.data"}, objects: pair("data"),
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		"a block volume that another cluster watches": {
			images: []string{"shop.data"}, objects: pair("data", block),
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		"several watchers, here and elsewhere": {
			images: []string{"shop.data"}, objects: append(pair("data"), attachment("shop.data", "west-2")),
			watchers: map[string][]string{"shop.data": {explained, "10.0.2.12:0/1", "[fd00::1]:0/1", "100.64.0.9:0/7", "?"}},
			change: func(g *guard.Guard) {
				g.Usage.CIDRs, g.Usage.Exempt = []netip.Prefix{netip.MustParsePrefix("fd01::/64")}, []netip.Prefix{netip.MustParsePrefix("100.64.0.0/16")}
			},
			pod: pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  held by   ? (client.4153), an address that cannot be read\n" +
				"  held by   fd00::1 (client.4153), not a node of west\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed\n" +
				"  do this   scale the workload down in that cluster, then retry here; nothing was changed"),
		},
		"a range of ours, and nobody here uses the volume": {
			images: []string{"shop.data"}, objects: pair("data"),
			watchers: map[string][]string{"shop.data": {"100.64.0.9:0/7"}},
			change:   func(g *guard.Guard) { g.Usage.CIDRs = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/16")} },
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   100.64.0.9 (client.4153), an address of west, which uses the volume on no node\n" +
				"  do this   scale the workload down in that cluster, then retry here; nothing was changed"),
		},
		"a range of ours, and this cluster uses the volume": {
			images: []string{"shop.data"}, objects: append(pair("data"), attachment("shop.data", "west-1")),
			watchers: map[string][]string{"shop.data": {"100.64.0.9:0/7"}},
			change:   func(g *guard.Guard) { g.Usage.CIDRs = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/16")} },
			pod:      pod("db-0", "data"),
			want:     allowed(guard.OwnWatchers),
		},
		"this cluster watches": {
			images: []string{"shop.data"}, objects: append(pair("data"), attachment("shop.data", "west-1")),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.OwnWatchers),
		},
		"this cluster watches from a node that also has names, and its address written as IPv6": {
			images: []string{"shop.data"},
			objects: append(pair("data"), attachment("shop.data", "west-3"),
				node("west-3", "west-3.example", "::ffff:10.0.2.13")),
			watchers: map[string][]string{"shop.data": {"10.0.2.13:0/1"}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.OwnWatchers),
		},
		"this cluster detaches": {
			images: []string{"shop.data"},
			objects: append(pair("data"), func() client.Object {
				a := attachment("shop.data", "west-1")
				a.Finalizers, a.DeletionTimestamp = []string{"external-attacher/rbd"}, ptr(metav1.Unix(1, 0))
				return a
			}()),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.OwnWatchers),
		},
		"an attachment of another volume explains nothing": {
			images: []string{"shop.data"}, objects: append(pair("data"), attachment("shop.logs", "west-1")),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"an attachment of an inline volume explains nothing": {
			images: []string{"shop.data"},
			objects: append(pair("data"), func() client.Object {
				a := attachment("shop.data", "west-1")
				a.Spec.Source.PersistentVolumeName = nil
				return a
			}()),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"a pod explains nothing where the driver attaches": {
			images: []string{"shop.data"}, objects: append(pair("data"), running, csiDriver(ptr(true))),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"a pod explains nothing where the driver says nothing, and so attaches": {
			images: []string{"shop.data"}, objects: append(pair("data"), running, csiDriver(nil)),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"a pod explains where the driver does not attach": {
			images: []string{"shop.data"}, objects: append(pair("data"), running, csiDriver(ptr(false))),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.OwnWatchers),
		},
		"finished, unscheduled and other pods explain nothing": {
			images: []string{"shop.data"}, objects: append(pair("data"), finished("done"), unscheduled, stranger, csiDriver(ptr(false))),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"an attachment explains nothing where the driver does not attach": {
			images: []string{"shop.data"}, objects: append(pair("data"), attachment("shop.data", "west-1"), csiDriver(ptr(false))),
			watchers: map[string][]string{"shop.data": {explained}},
			pod:      pod("db-0", "data"),
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.11 (client.4153), the address of node west-1, which does not use the volume\n" +
				"  do this   rbd device list on node west-1 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"of several volumes two are in use": {
			images: []string{"shop.a", "shop.b", "shop.c"}, objects: slices.Concat(pair("a"), pair("b"), pair("c")),
			watchers: map[string][]string{"shop.b": {foreign}, "shop.c": {foreign}},
			pod:      pod("db-0", "c", "a", "b"),
			want:     denied(inUse("c", "shop.c") + "\n" + inUse("b", "shop.b")),
		},
		"of several volumes one is in use and one is not known": {
			images: []string{"shop.b"}, objects: slices.Concat(pair("a"), pair("b")),
			watchers: map[string][]string{"shop.b": {foreign}},
			pod:      pod("db-0", "a", "b"),
			want:     denied(inUse("b", "shop.b")),
		},
		"of several volumes one is not known": {
			images: []string{"shop.a", "shop.c"}, objects: slices.Concat(pair("a"), pair("b"), pair("c")),
			pod: pod("db-0", "a", "b", "c"),
			want: unknown("cannot know whether volume shop/b (image replicapool/shop.b) is in use by another cluster: " +
				"look at image \"replicapool/shop.b\": the image does not exist\n" +
				"  do this   compare the name with `rbd ls`; nothing was changed"),
		},
		"a rados namespace": {
			images: []string{"north/shop.data", "shop.data"},
			objects: pair("data", func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeAttributes["clusterID"] = "north-id"
			}),
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.NoWatcher),
		},
		"a rados namespace that does not have the image": {
			images: []string{"shop.data"},
			objects: pair("data", func(pv *corev1.PersistentVolume) {
				pv.Spec.CSI.VolumeAttributes["clusterID"] = "north-id"
			}),
			pod: pod("db-0", "data"),
			want: unknown("cannot know whether volume shop/data (image replicapool/north/shop.data) is in use by another cluster: " +
				"look at image \"replicapool/north/shop.data\": the image does not exist\n" +
				"  do this   compare the name with `rbd ls`; nothing was changed"),
		},
		"a clusterID that is not configured": {
			objects: pair("data", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["clusterID"] = "south-id" }),
			pod:     pod("db-0", "data"),
			want: unknown("cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: " +
				"find clusterID \"south-id\": not configured\n" +
				"  do this   fix that, then retry here; nothing was changed"),
		},
		"a static volume that does not say where its image is": {
			objects: pair("data", without("clusterID")),
			pod:     pod("db-0", "data"),
			want: unknown("cannot know whether a volume of namespace shop is in use by another cluster: " +
				"PersistentVolume shop.data: spec.csi.volumeAttributes[clusterID] is missing, so its image is not known\n" +
				"  do this   fix that, then retry here; nothing was changed"),
		},
		"an ephemeral volume that another cluster watches": {
			images: []string{"shop.db-0-scratch"}, objects: pair("db-0-scratch"),
			watchers: map[string][]string{"shop.db-0-scratch": {foreign}},
			pod:      ephemeral,
			want:     denied(inUse("db-0-scratch", "shop.db-0-scratch")),
		},
		"a claim that does not exist": {
			pod:  pod("db-0", "data"),
			want: allowed(guard.NothingGuarded),
		},
		"a claim that does not exist, and a volume that is for it": {
			images: []string{"shop.data"}, objects: []client.Object{volume("data")},
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		"an unbound claim": {
			objects: []client.Object{claim("data", "")},
			pod:     pod("db-0", "data"),
			want:    allowed(guard.NothingGuarded),
		},
		"an unbound claim, and a volume that is for it": {
			images: []string{"shop.data"}, objects: []client.Object{claim("data", ""), volume("data")},
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		// The volume endpoint looks at it when it gets the claim.
		"an unbound claim that names a volume which is for nobody yet": {
			images: []string{"shop.data"}, objects: []client.Object{claim("data", "shop.data"), volume("data", withoutClaim)},
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.NothingGuarded),
		},
		// The volume passes the volume endpoint when it comes.
		"a claim bound to a missing volume": {
			objects: []client.Object{claim("data", "shop.data")},
			pod:     pod("db-0", "data"),
			want:    allowed(guard.NothingGuarded),
		},
		"a claim bound to a missing volume, and another volume that is for it": {
			images: []string{"shop.data"}, objects: []client.Object{claim("data", "gone"), volume("data")},
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		"an unbound claim, one volume left behind by an earlier one and one that is for it": {
			images: []string{"shop.data"},
			objects: []client.Object{claim("data", ""), volume("data"), volume("data", dynamic, func(pv *corev1.PersistentVolume) {
				pv.Name, pv.Spec.ClaimRef.UID = "pvc-1", "1"
			})},
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "shop.data")),
		},
		"a claim of the same name elsewhere": {
			images: []string{"shop.data"},
			objects: []client.Object{claim("data", ""), volume("data", func(pv *corev1.PersistentVolume) {
				pv.Spec.ClaimRef.Namespace = "elsewhere"
			})},
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.NothingGuarded),
		},
		"a dynamic volume, out of scope": {
			images: []string{"csi-vol-1"}, objects: pair("data", dynamic),
			watchers: map[string][]string{"csi-vol-1": {foreign}},
			pod:      pod("db-0", "data"),
			want:     allowed(guard.NothingGuarded),
		},
		"a dynamic volume that does not say where its image is, out of scope": {
			objects: pair("data", dynamic, without("imageName")),
			pod:     pod("db-0", "data"),
			want:    allowed(guard.NothingGuarded),
		},
		"a static volume that goes with its claim": {
			images: []string{"shop.data"}, objects: pair("data", func(pv *corev1.PersistentVolume) {
				pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
			}),
			pod:  pod("db-0", "data"),
			want: allowed(guard.NoWatcher, "PersistentVolume shop.data: spec.persistentVolumeReclaimPolicy: Invalid value: \"Delete\": the image may be deleted with the claim of this cluster, whichever cluster has the data in it then; run `kubectl patch pv shop.data -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`"),
		},
		"a static volume that does not say so": {
			images: []string{"shop.data"}, objects: pair("data", without("staticVolume")),
			pod:  pod("db-0", "data"),
			want: allowed(guard.NothingGuarded, `PersistentVolume shop.data: spec.csi.volumeAttributes[staticVolume]: Invalid value: "": must be "true" for a volume that ceph-csi did not make: it takes the volumeHandle "shop.data" for an id of its own and finds no image, and cephferry does not guard the image; the source of a PersistentVolume cannot be changed, so recreate it`),
		},
		"a dynamic volume, annotated": {
			images: []string{"csi-vol-1"},
			objects: pair("data", dynamic, func(pv *corev1.PersistentVolume) {
				pv.Annotations = map[string]string{"cephferry.io/migratable": "true"}
			}),
			watchers: map[string][]string{"csi-vol-1": {foreign}},
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "csi-vol-1")),
		},
		"a dynamic volume, in scope": {
			images: []string{"csi-vol-1"}, objects: pair("data", dynamic),
			watchers: map[string][]string{"csi-vol-1": {foreign}},
			change:   func(g *guard.Guard) { g.Finder.Scope = volumes.ScopeAll },
			pod:      pod("db-0", "data"),
			want:     denied(inUse("data", "csi-vol-1")),
		},
		"a dynamic volume that does not say where its image is, in scope": {
			objects: pair("data", dynamic, without("imageName")),
			change:  func(g *guard.Guard) { g.Finder.Scope = volumes.ScopeAll },
			pod:     pod("db-0", "data"),
			want: unknown("cannot know whether a volume of namespace shop is in use by another cluster: " +
				"PersistentVolume shop.data: spec.csi.volumeAttributes[imageName] is missing, so its image is not known\n" +
				"  do this   fix that, then retry here; nothing was changed"),
		},
		"CephFS": {
			objects: pair("data", cephFS),
			pod:     pod("db-0", "data", "data"),
			want:    allowed(guard.NothingGuarded, "volume shop/data is on CephFS, which several clusters may use at once; it is not guarded"),
		},
		"CephFS, for a single writer": {
			objects: pair("data", cephFS, func(pv *corev1.PersistentVolume) {
				pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
			}),
			pod:  pod("db-0", "data"),
			want: allowed(guard.NothingGuarded, "volume shop/data is on CephFS and for a single writer, and nothing keeps a second cluster from writing to it; it is not guarded"),
		},
		"CephFS beside a volume in use": {
			images: []string{"shop.data"}, objects: slices.Concat(pair("data"), pair("shared", cephFS)),
			watchers: map[string][]string{"shop.data": {foreign}},
			pod:      pod("db-0", "data", "shared"),
			want: denied(inUse("data", "shop.data"),
				"volume shop/shared is on CephFS, which several clusters may use at once; it is not guarded"),
		},
		"another driver": {
			objects: pair("data", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "disk.csi.example" }),
			pod:     pod("db-0", "data"),
			want:    allowed(guard.NothingGuarded),
		},
		"no CSI volume": {
			objects: pair("data", func(pv *corev1.PersistentVolume) {
				pv.Spec.PersistentVolumeSource = corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}
			}),
			pod:  pod("db-0", "data"),
			want: allowed(guard.NothingGuarded),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.images, test.objects...)
			for image, addresses := range test.watchers {
				for _, address := range addresses {
					w.watch(image, address)
				}
			}
			if test.change != nil {
				test.change(w.endpoints.Guard)
			}
			same(t, test.want, w.ask("pod", createPod(t, test.pod)))
		})
	}
}

// TestCephErrors: whatever keeps Ceph from answering, the pod does not start, and
// the person is told what to do.
func TestCephErrors(t *testing.T) {
	other := errors.New("something else")
	wants := map[error]string{
		ceph.ErrUnreachable: "ceph does not answer",
		ceph.ErrAuth:        "ceph does not accept the key",
		fmt.Errorf("%w (librados 16.2.15: invalid argument)", ceph.ErrKeyType): "the key is of type aes256k, which this program's librados does not know (librados 16.2.15: invalid argument)",
		ceph.ErrSettings:          "the settings do not lead to a ceph cluster",
		ceph.ErrBlocklisted:       "ceph has put this client on the blocklist",
		ceph.ErrPermission:        "the ceph user lacks a capability",
		ceph.ErrPoolNotFound:      "the pool does not exist",
		ceph.ErrNamespaceNotFound: "the rados namespace does not exist in the pool",
		ceph.ErrPoolFull:          "the pool is full or its quota is used up",
		ceph.ErrLayout:            "ceph cannot make an image with this layout",
		ceph.ErrImageNotFound:     "the image does not exist",
		ceph.ErrImageExists:       "the image exists already",
		ceph.ErrImageShrinks:      "the image is larger than the size asked for",
		ceph.ErrImageLocked:       "the image is mapped exclusively and cannot be changed now",
		ceph.ErrRecordNotFound:    "the volume has no record",
		ceph.ErrRecordChanged:     "the volume's record was changed by somebody else meanwhile",
		ceph.ErrRecordUnknown:     "the volume's record is not one this version understands",
		context.Canceled:          "context canceled",
		context.DeadlineExceeded:  "context deadline exceeded",
		other:                     "something else",
	}
	for cause, text := range wants {
		advice := ceph.Advice(cause)
		if advice == "" {
			advice = "fix that, then retry here"
		}
		message := "cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: %s" + text +
			"\n  do this   " + advice + "; nothing was changed"
		t.Run("listing watchers: "+text, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			w.ceph.Intercept(func(context.Context, cephtest.Call, func() error) error { return cause })
			same(t, unknown(fmt.Sprintf(message, `look at image "replicapool/shop.data": `)), w.ask("pod", createPod(t, pod("db-0", "data"))))
		})
		t.Run("connecting: "+text, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			w.endpoints.Storages = noCluster{cause}
			same(t, unknown(fmt.Sprintf(message, "connect to ceph: ")), w.ask("pod", createPod(t, pod("db-0", "data"))))
		})
		t.Run("an answer that is lost: "+text, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, pair("data")...)
			w.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
				return errors.Join(proceed(), cause)
			})
			same(t, unknown(fmt.Sprintf(message, `look at image "replicapool/shop.data": `)), w.ask("pod", createPod(t, pod("db-0", "data"))))
		})
	}
}

// TestAnotherInstallation: a volume of a ceph-csi whose configuration is not read may be on another
// Ceph, and this one is not asked.
func TestAnotherInstallation(t *testing.T) {
	w := newWorld(t, []string{"shop.data"}, pair("data")...)
	w.endpoints.Installed = func(_ context.Context, driver string) error { return fmt.Errorf("driver %s: elsewhere", driver) }
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		t.Errorf("Ceph is asked: %+v", call)
		return proceed()
	})
	same(t, unknown("cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: driver rook-ceph.rbd.csi.ceph.com: elsewhere"+
		"\n  do this   fix that, then retry here; nothing was changed"), w.ask("pod", createPod(t, pod("db-0", "data"))))
}

// noCluster cannot be connected to.
type noCluster struct{ err error }

func (c noCluster) Cluster(context.Context, string) (guard.Ceph, string, error) {
	return nil, "", fmt.Errorf("connect to ceph: %w", c.err)
}

// TestKubernetesErrors: a pod that uses a guarded volume does not start while
// something about it cannot be read, unless nothing depends on that.
func TestKubernetesErrors(t *testing.T) {
	const (
		own    = "10.0.2.11:0/1"
		advice = "\n  do this   fix that, then retry here; nothing was changed"
		data   = "cannot know whether volume shop/data (image replicapool/shop.data) is in use by another cluster: "
		any    = "cannot know whether a volume of namespace shop is in use by another cluster: "
	)
	tests := map[string]struct {
		failCache, failAPI string
		watcher            string
		objects            []client.Object
		want               answer
	}{
		"the claim, from the cache":   {failCache: "get *v1.PersistentVolumeClaim data", objects: pair("data"), want: unknown(any + "read PersistentVolumeClaim shop/data: boom" + advice)},
		"the claim, from the API":     {failAPI: "get *v1.PersistentVolumeClaim data", want: unknown(any + "read PersistentVolumeClaim shop/data: boom" + advice)},
		"the volume, from the cache":  {failCache: "get *v1.PersistentVolume shop.data", objects: pair("data"), want: unknown(any + "read PersistentVolume shop.data: boom" + advice)},
		"the volume, from the API":    {failAPI: "get *v1.PersistentVolume shop.data", objects: []client.Object{claim("data", "shop.data")}, want: unknown(any + "read PersistentVolume shop.data: boom" + advice)},
		"the volumes, from the cache": {failCache: "list *v1.PersistentVolumeList", objects: []client.Object{claim("data", "")}, want: unknown(any + "list PersistentVolumes: boom" + advice)},
		"a volume on the way":         {failAPI: "get *v1.PersistentVolume shop.data", objects: []client.Object{claim("data", "")}, want: unknown(any + "read PersistentVolume shop.data: boom" + advice)},
		"the nodes, from the cache":   {failCache: "list *v1.NodeList", watcher: foreign, objects: pair("data"), want: unknown(data + "list nodes: boom" + advice)},
		"a node, from the API":        {failAPI: "get *v1.Node west-1", watcher: own, objects: pair("data"), want: unknown(data + "read node west-1: boom" + advice)},
		"the driver, from the cache":  {failCache: "get *v1.CSIDriver " + driver, watcher: foreign, objects: pair("data"), want: unknown(data + "read CSIDriver " + driver + ": boom" + advice)},
		"the driver, from the API":    {failAPI: "get *v1.CSIDriver " + driver, watcher: foreign, objects: pair("data"), want: unknown(data + "read CSIDriver " + driver + ": boom" + advice)},
		"attachments, from the cache": {failCache: "list *v1.VolumeAttachmentList", watcher: own, objects: pair("data"), want: unknown(data + "list VolumeAttachments: boom" + advice)},
		"an attachment, from the API": {
			failAPI: "get *v1.VolumeAttachment " + attachment("shop.data", "west-1").Name, watcher: own, objects: pair("data"),
			want: unknown(data + "read VolumeAttachment " + attachment("shop.data", "west-1").Name + ": boom" + advice),
		},
		"pods, where they are reasons": {failAPI: "list *v1.PodList", watcher: own, objects: append(pair("data"), csiDriver(ptr(false))), want: unknown(data + "list pods in namespace shop: boom" + advice)},
		"what the cache explains needs no API": {
			failAPI: "get *v1.Node west-1", watcher: own, objects: append(pair("data"), attachment("shop.data", "west-1")), want: allowed(guard.OwnWatchers),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, test.objects...)
			if test.watcher != "" {
				w.watch("shop.data", test.watcher)
			}
			boom := errors.New("boom")
			w.cache.fail, w.api.fail = map[string]error{test.failCache: boom}, map[string]error{test.failAPI: boom}
			same(t, test.want, w.ask("pod", createPod(t, pod("db-0", "data"))))
			for r, call := range map[*reader]string{w.cache: test.failCache, w.api: test.failAPI} {
				asked := slices.Contains(r.calls, call)
				if want := call != "" && test.want.Code != 200; asked != want {
					t.Errorf("%q was asked: %v, want %v", call, asked, want)
				}
			}
		})
	}
}

// TestCacheLags: the cache is a moment behind the API server.
func TestCacheLags(t *testing.T) {
	const own = "10.0.2.13:0/1"
	attached := append(pair("data"), node("west-3", "10.0.2.13"), attachment("shop.data", "west-3"))
	tests := map[string]struct {
		cached, objects []client.Object
		watcher         string
		want            answer
	}{
		"a new attachment explains": {
			cached: attached[:3], objects: attached, watcher: own, want: allowed(guard.OwnWatchers),
		},
		"an attachment that is gone does not": {
			cached: attached, objects: attached[:3], watcher: own,
			want: denied("volume shop/data (image replicapool/shop.data) is in use by another cluster\n" +
				"  held by   10.0.2.13 (client.4153), the address of node west-3, which does not use the volume\n" +
				"  do this   rbd device list on node west-3 shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed"),
		},
		"a new node explains": {
			cached: append(slices.Clone(attached[:2]), attached[3]), objects: attached, watcher: own, want: allowed(guard.OwnWatchers),
		},
		"a new pair is found":   {objects: pair("data"), watcher: foreign, want: denied(inUse("data", "shop.data"))},
		"a new volume is found": {cached: pair("data")[1:], objects: pair("data"), watcher: foreign, want: denied(inUse("data", "shop.data"))},
		"a new volume for a claim is found": {
			cached: []client.Object{claim("data", "")}, objects: []client.Object{claim("data", ""), volume("data")},
			watcher: foreign, want: denied(inUse("data", "shop.data")),
		},
		"a new volume is found beside one left behind by an earlier claim": {
			cached: []client.Object{claim("data", ""), volume("data", dynamic, func(pv *corev1.PersistentVolume) {
				pv.Name, pv.Spec.ClaimRef.UID = "pvc-1", "1"
			})},
			objects: []client.Object{claim("data", ""), volume("data"), volume("data", dynamic, func(pv *corev1.PersistentVolume) {
				pv.Name, pv.Spec.ClaimRef.UID = "pvc-1", "1"
			})},
			watcher: foreign, want: denied(inUse("data", "shop.data")),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorldWithCache(t, []string{"shop.data"}, test.cached, test.objects)
			w.watch("shop.data", test.watcher)
			same(t, test.want, w.ask("pod", createPod(t, pod("db-0", "data"))))
		})
	}
}

// TestPodAsksTheCache: a pod of volumes that are known, and whose images are this
// cluster's, needs no API call but the one that confirms what explains a watcher.
func TestPodAsksTheCache(t *testing.T) {
	w := newWorld(t, []string{"shop.data"}, append(slices.Concat(pair("data"), pair("shared", cephFS)), attachment("shop.data", "west-1"), csiDriver(nil))...)
	w.watch("shop.data", "10.0.2.11:0/1")
	w.write("shop.data", owned(west))
	before := len(w.calls())
	w.ask("pod", createPod(t, pod("db-0", "data", "shared")))
	confirmed := "get *v1.VolumeAttachment " + attachment("shop.data", "west-1").Name
	same(t, []string{confirmed}, w.api.calls)
	// The watchers after the record: a record that is the same afterwards says that
	// nobody came between.
	same(t, []string{"Image", "Record", "Watchers", "PutRecord"}, w.calls()[before:])
}

// TestTheFirstAcquisitionReadsClaimAndVolume from the API server, and looks at the image
// once all the same.
func TestTheFirstAcquisitionReadsClaimAndVolume(t *testing.T) {
	for name, ask := range map[string]func(*world) answer{
		"a pod":     func(w *world) answer { return w.ask("pod", createPod(t, pod("db-0", "data"))) },
		"a binding": func(w *world) answer { return w.ask("binding", bound(t, "db-0", "west-1")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, append(pair("data"), pod("db-0", "data"))...)
			same(t, allowed(guard.NoWatcher), ask(w))
			if name == "a binding" {
				w.api.calls = slices.DeleteFunc(w.api.calls, func(call string) bool { return call == "get *v1.Pod db-0" })
			}
			same(t, []string{"get *v1.PersistentVolumeClaim data", "get *v1.PersistentVolume shop.data"}, w.api.calls)
			same(t, []string{"Image", "Record", "Watchers", "PutRecord"}, w.calls())
		})
	}
}

// TestTheCacheStoodStill while claim and volume were made again: nothing is acquired, and
// nothing said, of what was the claim's before.
func TestTheCacheStoodStill(t *testing.T) {
	ofUID := func(uid types.UID) (*corev1.PersistentVolumeClaim, func(*corev1.PersistentVolume)) {
		c := claim("data", "shop.data")
		c.UID = uid
		return c, func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = uid }
	}
	image := func(name string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.UID, pv.Spec.CSI.VolumeHandle = types.UID(name), name }
	}
	before, forBefore := ofUID("0")
	now, forNow := ofUID("1")
	cached := []client.Object{before, volume("data", forBefore, image("old"))}
	for name, test := range map[string]struct {
		objects   []client.Object
		watched   string
		change    func(*world)
		want      answer
		wantOwner map[string]bool
	}{
		"they lead to another image": {
			objects: []client.Object{now, volume("data", forNow, image("new"))},
			want:    allowed(guard.NoWatcher), wantOwner: map[string]bool{"new": true},
		},
		"they lead to another image, which is in use": {
			objects: []client.Object{now, volume("data", forNow, image("new"))}, watched: "new",
			want: denied(inUse("data", "new")),
		},
		"they lead to another image, and the old one is in use": {
			objects: []client.Object{now, volume("data", forNow, image("new"))}, watched: "old",
			want: allowed(guard.NoWatcher), wantOwner: map[string]bool{"new": true},
		},
		"the volume is another tenant's": {
			objects: []client.Object{now, volume("data", ofBank("7"), image("old"))},
			want:    allowed(guard.NothingGuarded),
		},
		"the volume is another tenant's, and in use": {
			objects: []client.Object{now, volume("data", ofBank("7"), image("old"))}, watched: "old",
			want: allowed(guard.NothingGuarded),
		},
		"the claim is gone": {
			objects: []client.Object{volume("data", forBefore, image("old"))},
			want:    allowed(guard.NothingGuarded),
		},
		"the API server does not answer": {
			objects: []client.Object{now, volume("data", forNow, image("new"))},
			change: func(w *world) {
				w.api.fail = map[string]error{"get *v1.PersistentVolumeClaim data": errors.New("boom")}
			},
			want: unknown("cannot know whether a volume of namespace shop is in use by another cluster: read PersistentVolumeClaim shop/data: boom\n" +
				"  do this   fix that, then retry here; nothing was changed"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWithCache(t, []string{"old", "new"}, cached, test.objects)
			if test.watched != "" {
				w.watch(test.watched, foreign)
			}
			if test.change != nil {
				test.change(w)
			}
			same(t, test.want, w.ask("pod", createPod(t, pod("db-0", "data"))))
			for _, image := range []string{"old", "new"} {
				if owner := w.record(image).Owner; (owner != nil) != test.wantOwner[image] {
					t.Errorf("image %s: owner %+v", image, owner)
				}
			}
		})
	}
}

// TestAPodThatNamesItsNode before its claim has a volume: no binding of it is admitted, so
// nobody would look at the volume.
func TestAPodThatNamesItsNode(t *testing.T) {
	refused := func(claims string) answer {
		return denied("the pod names its node, and has no volume yet for claim " + claims + ": nothing would check the volume before it is mounted\n" +
			"  do this   leave spec.nodeName to the scheduler, or retry when the claim is bound; nothing was changed")
	}
	ephemeral := pod("db-0")
	ephemeral.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}}
	for name, test := range map[string]struct {
		objects []client.Object
		pod     *corev1.Pod
		want    answer
	}{
		"a claim that waits":                       {[]client.Object{claim("data", "")}, pod("db-0", "data"), refused("shop/data")},
		"a claim that does not exist":              {nil, pod("db-0", "data"), refused("shop/data")},
		"a claim that names another's volume":      {[]client.Object{claim("data", "shop.data"), volume("data", ofBank("7"))}, pod("db-0", "data"), refused("shop/data")},
		"one bound claim of several":               {append(pair("data"), claim("logs", "")), pod("db-0", "logs", "data", "more"), refused("shop/logs, shop/more")},
		"a volume of its own, which is made later": {nil, ephemeral, refused("shop/db-0-scratch")},
		"a bound claim":                            {pair("data"), pod("db-0", "data"), allowed(guard.NoWatcher)},
		"a bound claim that is not guarded":        {pair("data", dynamic), pod("db-0", "data"), allowed(guard.NothingGuarded)},
		"no claim":                                 {nil, pod("db-0"), allowed(guard.NothingGuarded)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, []string{"shop.data"}, test.objects...)
			same(t, test.want, w.ask("pod", createPod(t, withNode(test.pod.DeepCopy(), "west-1"))))
			if owner := w.record("shop.data").Owner; (owner != nil) != (test.want.Message == string(guard.NoWatcher)) {
				t.Errorf("the owner is %+v", owner)
			}
			// The scheduler's choice of a node is admitted later.
			if got := w.ask("pod", createPod(t, test.pod)); got.Code != 200 {
				t.Errorf("without a node: %+v", got)
			}
		})
	}
}
