package idle

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	driver = "rook-ceph.rbd.csi.ceph.com"
	grace  = 75 * time.Second
)

var (
	east  = ceph.Party{UID: "u-east", Name: "east"}
	west  = ceph.Party{UID: "u-west", Name: "west"}
	since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
)

// pvFor is the PersistentVolume of claim shop/claim.
func pvFor(name, claim, handle string, attributes map[string]string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: claim}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: handle, VolumeAttributes: attributes}
	return pv
}

func static(clusterID, pool string) map[string]string {
	return map[string]string{"clusterID": clusterID, "pool": pool, "staticVolume": "true"}
}

func podOf(claim string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: claim + "-0", UID: "uid"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
	}}}
	return pod
}

func attachment(name, pv string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       storagev1.VolumeAttachmentSpec{Attacher: driver, NodeName: "e1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}},
	}
}

func nodeWith(handles ...string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "e1", UID: "uid-e1"}}
	node.Status.NodeInfo = corev1.NodeSystemInfo{BootID: "boot of e1", MachineID: "machine of e1"}
	for _, handle := range handles {
		node.Status.VolumesInUse = append(node.Status.VolumesInUse, corev1.UniqueVolumeName("kubernetes.io/csi/"+driver+"^"+handle))
	}
	return node
}

// rig is east, with one image and the volume of it.
type rig struct {
	*testing.T
	ceph    *cephtest.Ceph
	storage ceph.Cluster
	spec    ceph.ImageSpec
	prover  *Prover
	now     time.Time
	waited  []time.Duration
}

func newRig(t *testing.T, image string, record ceph.Record, objects ...client.Object) *rig {
	t.Helper()
	r := &rig{T: t, now: since, spec: ceph.ImageSpec{Pool: "rbd", Name: image}}
	r.ceph = cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: image, Layout: ceph.Layout{Size: 1}}}})
	var err error
	if r.storage, err = r.ceph.Dial(t.Context(), cephtest.Operator); err != nil {
		t.Fatal(err)
	}
	if record.State != ceph.Free {
		r.ceph.WriteRecord(r.image(), record.Encode())
	}
	r.prover = &Prover{
		Self: east, Usage: &usage.Gatherer{API: fake.NewClientBuilder().WithObjects(objects...).Build()},
		Quiet: &ownership.Quiet{Grace: grace}, Now: func() time.Time { return r.now },
	}
	return r
}

func (r *rig) image() ceph.Image {
	r.Helper()
	image, err := r.storage.Image(r.Context(), r.spec)
	if err != nil {
		r.Fatal(err)
	}
	return image
}

// release returns whether the image was released, and checks that the record says so.
func (r *rig) release(volume volumes.Volume, person Person) (bool, error) {
	r.Helper()
	before, err := ownership.Read(r.Context(), r.storage, r.image())
	if err != nil {
		r.Fatal(err)
	}
	released, err := r.prover.Release(r.Context(), r.storage, volume, r.spec, person, func(_ context.Context, rest time.Duration) error {
		r.waited = append(r.waited, rest)
		r.now = r.now.Add(rest + time.Millisecond)
		return nil
	})
	after, readErr := ownership.Read(r.Context(), r.storage, r.image())
	if readErr != nil {
		r.Fatal(readErr)
	}
	if freed := before.State != ceph.Free && after.State == ceph.Free; freed != released {
		r.Errorf("it reports %v, and the record went from %s to %s", released, before.State, after.State)
	}
	return released, err
}

func (r *rig) volume(pv *corev1.PersistentVolume) volumes.Volume {
	r.Helper()
	volume, _, err := volumes.Finder{Scope: volumes.ScopeAll}.Guarded(pv)
	if err != nil {
		r.Fatal(err)
	}
	return volume
}

func held(change ...func(*ceph.Record)) ceph.Record {
	r := ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: east, Namespace: "shop", Claim: "data", Since: since}}
	for _, c := range change {
		c(&r)
	}
	return r
}

// TestReleaseSeesEveryVolumeOfTheImage: whatever leads to an image counts, also what
// the guard does not look at.
func TestReleaseSeesEveryVolumeOfTheImage(t *testing.T) {
	const uuid = "6d5e1c1e-0f4b-4f0c-9c57-0f3f1e6d2b5a"
	const handle = "0001-0009-rook-ceph-0000000000000002-" + uuid
	for name, test := range map[string]struct {
		image  string
		second *corev1.PersistentVolume
		free   bool
	}{
		"another clusterID":                      {"shop.data", pvFor("twin", "twin", "shop.data", static("rook-2", "rbd")), false},
		"made by ceph-csi, and not guarded":      {"csi-vol-" + uuid, pvFor("pvc-1", "twin", handle, map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "imageName": "csi-vol-" + uuid}), false},
		"made by ceph-csi, and says it nowhere":  {"csi-vol-" + uuid, pvFor("pvc-1", "twin", handle, map[string]string{"clusterID": "rook-ceph"}), false},
		"made by ceph-csi, and says it wrongly":  {"csi-vol-" + uuid, pvFor("pvc-1", "twin", handle, map[string]string{"pool": "rbd", "imageName": "other"}), false},
		"another image":                          {"shop.data", pvFor("twin", "twin", "shop.other", static("rook-ceph", "rbd")), true},
		"an image of that name in another pool":  {"shop.data", pvFor("twin", "twin", "shop.data", static("rook-ceph", "slow")), true},
		"one that ceph-csi made with other uuid": {"csi-vol-" + uuid, pvFor("pvc-1", "twin", strings.Replace(handle, "6d5e", "0000", 1), nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			pv := pvFor("shop.data", "data", test.image, static("rook-ceph", "rbd"))
			r := newRig(t, test.image, held(), pv, test.second, podOf("twin"))
			released, err := r.release(r.volume(pv), Person{By: "eve"})
			if released != test.free || (err == nil) != test.free {
				t.Errorf("released: %v, %v; want %v", released, err, test.free)
			}
			if !test.free && (err == nil || !strings.Contains(err.Error(), "pod shop/twin-0")) {
				t.Errorf("%v; want the pod", err)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	pending := func(r *ceph.Record) { r.Pending = []string{"p"} }
	on := func(node string) func(*ceph.Record) {
		return func(r *ceph.Record) {
			r.Owner.Nodes = []ceph.Node{{Name: node, BootID: "boot of " + node, UID: "uid-" + node, MachineID: "machine of " + node}}
		}
	}
	others := func(r *ceph.Record) { r.Owner.Party = west }
	pv := pvFor("shop.data", "data", "shop.data", static("rook-ceph", "rbd"))
	const scale = "\n  do this   scale the workload to zero, wait until its pods are gone, then run the same command again"
	const again = "; then run the same command again"
	const unmount = "\n  do this   node e1 has not unmounted the volume: look at its kubelet and at ceph-csi's pod there; a reboot of the node ends it" + again
	ending := podOf("data")
	ending.DeletionTimestamp, ending.Finalizers = &metav1.Time{Time: since}, []string{"example.com/hold"}
	ending.Spec.NodeName = "e1"
	tests := map[string]struct {
		record  ceph.Record
		objects []client.Object
		watcher string
		person  Person
		waits   int
		free    bool
		want    string
	}{
		"idle":           {record: held()},
		"nobody owns it": {free: true},
		"idle, and the node that had it is there": {record: held(on("e1")), objects: []client.Object{nodeWith()}},
		"a pod may still appear":                  {record: held(pending), waits: 1},
		"a pod uses it":                           {record: held(), objects: []client.Object{podOf("data")}, want: "it is in use: a pod uses it: pod shop/data-0" + scale},
		"a pod uses it, and one may appear":       {record: held(pending), objects: []client.Object{podOf("data")}, want: "it is in use: a pod uses it: pod shop/data-0" + scale},
		"it is attached":                          {record: held(), objects: []client.Object{attachment("csi-1", "shop.data")}, want: "it is in use: it is attached to node e1: volumeattachment csi-1\n  do this   the node has unmounted the volume, so ceph-csi's attacher does not answer"},
		"it is attached, and kubelet has it":      {record: held(), objects: []client.Object{attachment("csi-1", "shop.data"), nodeWith("shop.data")}, want: unmount},
		"a pod is being deleted": {record: held(), objects: []client.Object{ending}, want: "a pod uses it: pod shop/data-0\n" +
			"  do this   kubectl -n shop describe pod data-0 says what holds it: a finalizer, or a container or a mount on the node that does not end" + again},
		"kubelet has it": {record: held(), objects: []client.Object{nodeWith("shop.data")},
			want: "it is in use: it is attached to node e1: status.volumesInUse of node e1 (volume shop.data; kubelet takes it away when it has unmapped it)" + unmount},
		"a client has it open": {record: held(), watcher: "10.0.1.11:0/1", want: "it is in use: client 10.0.1.11:0/1 has it open\n  do this   find the machine with that address, and end what has the image open there; " +
			"if that machine is dead, kubectl cephferry failover shop/data --also-fence 10.0.1.11:0/1 keeps it out" + again},
		"its node is gone": {record: held(on("e9")),
			want: "it is in use: it was on node e9, whose Node object is gone\n  do this   start the machine, so that its kubelet registers and says that it has let go; " +
				"if you know that the machine which had the image is off, kubectl cephferry release shop/data --without-proof"},
		"its node is gone, and off":           {record: held(on("e9")), person: Person{WithoutProof: true}},
		"a pod uses it, and the node is off":  {record: held(on("e9")), person: Person{WithoutProof: true}, objects: []client.Object{podOf("data")}, want: "a pod uses it"},
		"another cluster has it":              {record: held(others), want: "another cluster owns the image: cluster west"},
		"another cluster has it, and it runs": {record: held(others), objects: []client.Object{podOf("data")}, want: "another cluster owns the image: cluster west"},
		"volumes of other images are gone":    {record: held(), objects: []client.Object{attachment("csi-1", "gone"), nodeWith("shop.data-2")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "shop.data", test.record, append(test.objects, pv)...)
			if test.watcher != "" {
				r.ceph.AddWatcher(r.spec, ceph.Watcher{Addr: test.watcher})
			}
			released, err := r.release(r.volume(pv), test.person)
			if released != (test.want == "" && !test.free) || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%t, %v; want %s", released, err, test.want)
			}
			if len(r.waited) != test.waits || test.waits > 0 && r.waited[0] != grace {
				t.Errorf("waited %v", r.waited)
			}
		})
	}
}

// TestReleaseCountsUsesWithoutAVolume: a second volume on the image was deleted while
// its node was cut off. Its handle, or what Kubernetes made of it, tells the image.
func TestReleaseCountsUsesWithoutAVolume(t *testing.T) {
	const uuid = "6d5e1c1e-0f4b-4f0c-9c57-0f3f1e6d2b5a"
	const handle = "0001-0009-rook-ceph-0000000000000002-" + uuid
	// sha256 of handle, driver and node.
	const ofData = "csi-adba149367fc89c1668ff0fee1afacc2386d9a0c44887934dd0395ae7f291828"
	const ofOther = "csi-17eb25885eea4f93ae5bce9edae6f9ac127b73e2e4da0781310903632f6ce92a"
	static := static("rook-ceph", "rbd")
	for name, test := range map[string]struct {
		image string
		left  client.Object
		want  string
	}{
		"kubelet has ceph-csi's handle": {"csi-vol-" + uuid, nodeWith(handle), "status.volumesInUse of node e1 (" + driver + "^" + handle + ", whose PersistentVolume is gone)"},
		"kubelet has another handle":    {"shop.data", nodeWith("shop.other"), ""},
		"an attachment of the handle":   {"shop.data", attachment(ofData, "by-hand"), "volumeattachment " + ofData + " (of PersistentVolume by-hand, which is gone)"},
		"an attachment of another":      {"shop.data", attachment(ofOther, "by-hand"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			pv := pvFor("left", "data", test.image, static)
			r := newRig(t, test.image, held(), pv, test.left)
			_, err := r.release(r.volume(pv), Person{})
			var refusal *Refusal
			if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &refusal) || refusal.What != "it is in use: a node may use it: "+test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
		})
	}
}
