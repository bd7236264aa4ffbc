package inventory

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

var (
	east  = ceph.Party{UID: "u-east", Name: "east"}
	west  = ceph.Party{UID: "u-west", Name: "west"}
	since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
)

const (
	driver = "rook-ceph.rbd.csi.ceph.com"
	onE1   = "10.0.1.11:0/1"
)

// oneCeph is where the clusterID rook-ceph leads; others are not configured.
type oneCeph struct{ storage ceph.Cluster }

func (s oneCeph) Cluster(_ context.Context, clusterID string) (ceph.Cluster, string, error) {
	if clusterID == "rotated" {
		return nil, "", fmt.Errorf("connect: %w (librados 16.2.15: invalid argument)", ceph.ErrKeyType)
	}
	if clusterID != "rook-ceph" {
		return nil, "", fmt.Errorf("clusterID %q is not configured", clusterID)
	}
	return s.storage, "", nil
}

// rig is east, with volumes shop/data and shop/idle, and node e1.
type rig struct {
	*Inventory
	ceph *cephtest.Ceph
}

func newRig(t *testing.T, more ...client.Object) *rig {
	t.Helper()
	image := func(name string) cephtest.Image { return cephtest.Image{Name: name, Layout: ceph.Layout{Size: 1}} }
	storage := cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{image("shop.data"), image("shop.idle")}})
	cluster, err := storage.Dial(t.Context(), cephtest.Operator)
	if err != nil {
		t.Fatal(err)
	}
	objects := append([]client.Object{pv("data"), pv("idle"), node("b1")}, more...)
	api := fake.NewClientBuilder().WithObjects(objects...).WithStatusSubresource(&corev1.Node{}).Build()
	return &rig{&Inventory{
		API:      api,
		Finder:   volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable},
		Usage:    &usage.Gatherer{API: api},
		Storages: oneCeph{cluster},
	}, storage}
}

// waiting is a claim for which the provisioner is to make a volume.
func waiting(name string, also map[string]string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: map[string]string{"cephferry.io/migratable": "true"}}}
	maps.Copy(claim.Annotations, also)
	claim.Spec.StorageClassName = new(string)
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	return claim
}

func pv(claim string, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shop." + claim},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: driver, VolumeHandle: "shop." + claim,
				VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
			}},
		},
	}
	for _, c := range change {
		c(v)
	}
	return v
}

func node(boot string, inUse ...corev1.UniqueVolumeName) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "e1"},
		Status: corev1.NodeStatus{
			Addresses:    []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "e1"}, {Type: corev1.NodeInternalIP, Address: "10.0.1.11"}},
			NodeInfo:     corev1.NodeSystemInfo{BootID: boot},
			VolumesInUse: inUse,
		},
	}
}

func pod(name, node string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid"},
		Spec: corev1.PodSpec{NodeName: node, Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}},
		Status: corev1.PodStatus{Phase: phase},
	}
}

func attachment(pv string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: "csi-1"},
		Spec:       storagev1.VolumeAttachmentSpec{NodeName: "e1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}},
	}
}

func (r *rig) owned(t *testing.T, name string, by ceph.Party, nodes ...ceph.Node) ceph.Record {
	t.Helper()
	record := ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: by, Namespace: "shop", Claim: "data", Since: since, Nodes: nodes}}
	r.stored(t, name, record.Encode())
	return record
}

func (r *rig) stored(t *testing.T, name string, data []byte) {
	t.Helper()
	storage, _, err := r.Storages.Cluster(t.Context(), "rook-ceph")
	if err != nil {
		t.Fatal(err)
	}
	image, err := storage.Image(t.Context(), ceph.ImageSpec{Pool: "rbd", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	r.ceph.WriteRecord(image, data)
}

func TestVolumes(t *testing.T) {
	r := newRig(t,
		pv("dynamic", func(v *corev1.PersistentVolume) {
			v.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "imageName": "x"}
		}),
		pv("elsewhere", func(v *corev1.PersistentVolume) { v.Spec.ClaimRef.Namespace = "bank" }),
		pv("nowhere", func(v *corev1.PersistentVolume) { delete(v.Spec.CSI.VolumeAttributes, "pool") }),
		pv("again", func(v *corev1.PersistentVolume) { v.Spec.ClaimRef.Name = "data" }),
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "shop.data"}},
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "dynamic"}},
		waiting("waits", nil), waiting("typo", map[string]string{"cephferry.io/migratabel": "true"}), waiting("plain", map[string]string{"cephferry.io/migratable": "false"}),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&storagev1.StorageClass{
			ObjectMeta: metav1.ObjectMeta{Name: "ceph-block", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}, Provisioner: driver,
			Parameters: map[string]string{
				"clusterID": "rook-ceph", "pool": "rbd", "csi.storage.k8s.io/fstype": "ext4",
				"csi.storage.k8s.io/node-stage-secret-name": "n", "csi.storage.k8s.io/node-stage-secret-namespace": "rook-ceph",
				"csi.storage.k8s.io/provisioner-secret-name": "p", "csi.storage.k8s.io/provisioner-secret-namespace": "rook-ceph",
			},
		},
	)
	for namespace, want := range map[string][]string{
		"shop": {"shop.again", "shop.data", "shop.idle", "shop.nowhere"},
		"":     {"shop.elsewhere", "shop.again", "shop.data", "shop.idle", "shop.nowhere"},
		"none": nil,
	} {
		all, err := r.Volumes(t.Context(), namespace)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, found := range all {
			got = append(got, found.PV.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q -want +got:\n%s", namespace, diff)
		}
	}
	for claim, want := range map[string]string{
		"data":    "",
		"idle":    "",
		"dynamic": "its volume is not guarded",
		"absent":  "this cluster has neither the claim nor a guarded PersistentVolume for it",
		"nowhere": "spec.csi.volumeAttributes[pool] is missing",
		"waits":   "",
		"typo":    "cephferry.io/migratabel",
		"plain":   "its volume is not guarded",
	} {
		volume, err := r.Volume(t.Context(), "shop", claim)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", claim, err, want)
		}
		if err == nil && volume.PV.Name != "shop."+claim {
			t.Errorf("%s: %s", claim, volume.PV.Name)
		}
	}
}

func TestStatusOfEachVolume(t *testing.T) {
	r := newRig(t, attachment("shop.data"),
		pv("gone"), pv("later"), pv("far", func(v *corev1.PersistentVolume) { v.Spec.CSI.VolumeAttributes["clusterID"] = "far" }),
		pv("rotated", func(v *corev1.PersistentVolume) { v.Spec.CSI.VolumeAttributes["clusterID"] = "rotated" }),
		pv("nowhere", func(v *corev1.PersistentVolume) { delete(v.Spec.CSI.VolumeAttributes, "pool") }))
	owner := r.owned(t, "shop.data", east).Owner
	provisioner, err := r.ceph.Dial(t.Context(), cephtest.Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provisioner.CreateImage(t.Context(), ceph.ImageSpec{Pool: "rbd", Name: "shop.later"}, ceph.Layout{Size: 1}); err != nil {
		t.Fatal(err)
	}
	r.stored(t, "shop.later", []byte(`{"version":9}`))
	r.ceph.AddWatcher(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, ceph.Watcher{Addr: onE1, Client: "client.4"})
	r.ceph.AddWatcher(ceph.ImageSpec{Pool: "rbd", Name: "shop.later"}, ceph.Watcher{Addr: "10.0.2.11:0/5", Client: "client.5"})

	all, err := r.Volumes(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	got := r.Status(t.Context(), all)
	row := func(claim, state string) Status {
		return Status{Namespace: "shop", Claim: claim, PersistentVolume: "shop." + claim, Image: "rbd/shop." + claim, State: state}
	}
	want := []Status{row("data", "held"), row("far", "unknown"), row("gone", "unknown"), row("idle", "free"), row("later", "unknown"), row("nowhere", "unknown"), row("rotated", "unknown")}
	want[0].Owner, want[0].Watchers = owner, []Watcher{{Address: onE1, Client: "client.4"}}
	want[4].Watchers = []Watcher{{Address: "10.0.2.11:0/5", Client: "client.5", Foreign: "not a node of this cluster"}}
	want[5].Image = ""
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Status{}, "Error")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i, text := range []string{"", `clusterID "far" is not configured`, "the image does not exist; compare the name with `rbd ls`", "", "version 9", "volumeAttributes[pool] is missing",
		"the key is of type aes256k, which this program's librados does not know (librados 16.2.15: invalid argument); " + ceph.Advice(ceph.ErrKeyType)} {
		if (got[i].Error == "") != (text == "") || !strings.Contains(got[i].Error, text) {
			t.Errorf("%s: %q; want %s", got[i].Claim, got[i].Error, text)
		}
	}
}

func TestSight(t *testing.T) {
	inUse := corev1.UniqueVolumeName("kubernetes.io/csi/" + driver + "^shop.data")
	e1 := ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1"}
	rebooted := e1
	rebooted.BootID = "b2"
	tests := map[string]struct {
		owner   ceph.Party
		objects []client.Object
		want    failover.Sight
	}{
		"nothing is there":        {west, nil, failover.Sight{Exists: true, Node: e1}},
		"a pod":                   {west, []client.Object{pod("db-0", "e1", corev1.PodRunning)}, failover.Sight{Exists: true, Node: e1, Uses: []string{"pod shop/db-0"}}},
		"a pod of another node":   {west, []client.Object{pod("db-0", "e2", corev1.PodRunning)}, failover.Sight{Exists: true, Node: e1}},
		"a pod that has finished": {west, []client.Object{pod("db-0", "e1", corev1.PodFailed)}, failover.Sight{Exists: true, Node: e1}},
		"an attachment":           {west, []client.Object{attachment("shop.data")}, failover.Sight{Exists: true, Node: e1, Uses: []string{"volumeattachment csi-1"}}},
		"kubelet has it":          {west, []client.Object{node("b2", inUse)}, failover.Sight{Exists: true, Node: rebooted, Uses: []string{"status.volumesInUse of node e1 (volume shop.data; kubelet takes it away when it has unmapped it)"}}},
		"all of that for a volume that is ours": {east, []client.Object{node("b2", inUse), pod("db-0", "e1", corev1.PodRunning), attachment("shop.data")},
			failover.Sight{Exists: true, Node: rebooted}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, object := range test.objects {
				api := r.API.(client.Client)
				if object.GetName() == "e1" {
					if err := api.Status().Update(t.Context(), object); err != nil {
						t.Fatal(err)
					}
				} else if err := api.Create(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
			r.owned(t, "shop.data", test.owner)
			r.owned(t, "shop.idle", east)
			got, err := r.Sight(t.Context(), east, ceph.Node{Name: "e1", BootID: "b0"})
			test.want.Cluster = east
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
	r := newRig(t)
	if got, err := r.Sight(t.Context(), east, ceph.Node{Name: "e9", BootID: "b9"}); err != nil || got.Exists {
		t.Errorf("a node that is not there: %+v, %v", got, err)
	}
	r.stored(t, "shop.data", []byte(`{"version":9}`))
	if _, err := r.Sight(t.Context(), east, ceph.Node{Name: "e1", BootID: "b0"}); err == nil {
		t.Error("a record that is not understood is passed over")
	}
}

func TestNodesAndParty(t *testing.T) {
	r := newRig(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "u-east"}})
	nodes, err := r.Nodes(t.Context())
	if diff := cmp.Diff([]ceph.Node{{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1"}}, nodes); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if party, err := usage.Party(t.Context(), r.API, "east"); err != nil || party != east {
		t.Errorf("%+v, %v", party, err)
	}
}
