package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const rbdDriver = "rook-ceph.rbd.csi.ceph.com"

// sameCeph is where every clusterID leads.
type sameCeph struct{ storage ceph.Cluster }

func (s sameCeph) Cluster(context.Context, string) (ceph.Cluster, string, error) {
	return s.storage, "", nil
}

// rbdVolume is the PersistentVolume of claim shop/claim.
func rbdVolume(name, claim, handle string, attributes map[string]string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: claim}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: rbdDriver, VolumeHandle: handle, VolumeAttributes: attributes}
	return pv
}

// TestReleaseSeesEveryVolumeOfTheImage: whatever leads to an image counts, also what
// the guard does not look at.
func TestReleaseSeesEveryVolumeOfTheImage(t *testing.T) {
	const uuid = "6d5e1c1e-0f4b-4f0c-9c57-0f3f1e6d2b5a"
	const handle = "0001-0009-rook-ceph-0000000000000002-" + uuid
	static := func(clusterID, pool string) map[string]string {
		return map[string]string{"clusterID": clusterID, "pool": pool, "staticVolume": "true"}
	}
	for name, test := range map[string]struct {
		image  string
		second *corev1.PersistentVolume
		free   bool
	}{
		"another clusterID":                      {"shop.data", rbdVolume("twin", "twin", "shop.data", static("rook-2", "rbd")), false},
		"made by ceph-csi, and not guarded":      {"csi-vol-" + uuid, rbdVolume("pvc-1", "twin", handle, map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "imageName": "csi-vol-" + uuid}), false},
		"made by ceph-csi, and says it nowhere":  {"csi-vol-" + uuid, rbdVolume("pvc-1", "twin", handle, map[string]string{"clusterID": "rook-ceph"}), false},
		"made by ceph-csi, and says it wrongly":  {"csi-vol-" + uuid, rbdVolume("pvc-1", "twin", handle, map[string]string{"pool": "rbd", "imageName": "other"}), false},
		"another image":                          {"shop.data", rbdVolume("twin", "twin", "shop.other", static("rook-ceph", "rbd")), true},
		"an image of that name in another pool":  {"shop.data", rbdVolume("twin", "twin", "shop.data", static("rook-ceph", "slow")), true},
		"one that ceph-csi made with other uuid": {"csi-vol-" + uuid, rbdVolume("pvc-1", "twin", strings.Replace(handle, "6d5e", "0000", 1), nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "twin-0", UID: "uid"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
			pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "twin"},
			}}}
			api := fake.NewClientBuilder().WithObjects([]client.Object{
				rbdVolume("shop.data", "data", test.image, static("rook-ceph", "rbd")), test.second, pod,
			}...).Build()
			storage := cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: test.image, Layout: ceph.Layout{Size: 1}}}})
			cluster, err := storage.Dial(t.Context(), cephtest.Operator)
			if err != nil {
				t.Fatal(err)
			}
			spec := ceph.ImageSpec{Pool: "rbd", Name: test.image}
			image, err := cluster.Image(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			east := ceph.Party{UID: "u-east", Name: "east"}
			storage.WriteRecord(image, ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: east, Namespace: "shop", Claim: "data", Since: since}}.Encode())

			c := &connection{Inventory: &inventory.Inventory{
				API:      api,
				Guard:    &guard.Guard{Finder: volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable}},
				Storages: sameCeph{cluster},
			}}
			volume, err := c.Volume(t.Context(), "shop", "data")
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			r := &releaseOptions{options: &options{std: streams{stdout: &out, stderr: &out}}}
			err = r.release(t.Context(), c, volume, "volume shop/data", east, "eve")
			record, readErr := cluster.Record(t.Context(), image)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if released := record.State == ceph.Free; released != test.free || (err == nil) != test.free {
				t.Errorf("released: %v, %v; want %v\n%s", released, err, test.free, out.String())
			}
			if !test.free && (err == nil || !strings.Contains(err.Error(), "pod shop/twin-0")) {
				t.Errorf("%v; want the pod", err)
			}
		})
	}
}
