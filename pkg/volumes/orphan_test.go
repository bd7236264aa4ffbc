package volumes

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

const rbd, cephFS = "rook-ceph.rbd.csi.ceph.com", "rook-ceph.cephfs.csi.ceph.com"

func csiVolume(name, driver, handle string, attributes map[string]string) corev1.PersistentVolume {
	pv := corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pv.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: handle, VolumeAttributes: attributes}
	return pv
}

func static(name, image, pool string) corev1.PersistentVolume {
	return csiVolume(name, rbd, image, map[string]string{"clusterID": "rook-ceph", "pool": pool, "staticVolume": "true"})
}

func TestPlaces(t *testing.T) {
	class := func(provisioner, clusterID, pool string) storagev1.StorageClass {
		return storagev1.StorageClass{Provisioner: provisioner, Parameters: map[string]string{"clusterID": clusterID, "pool": pool}}
	}
	got := Places([]storagev1.StorageClass{
		class(rbd, "rook-ceph", "fast"), class(rbd, "rook-ceph", "fast"), class(rbd, "north", "fast"),
		class(rbd, "", "fast"), class(rbd, "rook-ceph", ""), class(cephFS, "rook-ceph", "data"), class("example.com/nfs", "rook-ceph", "slow"),
	}, []corev1.PersistentVolume{
		static("a", "a", "fast"), static("b", "b", "slow"), {}, static("c", "c", ""),
	})
	want := []Place{{rbd, "rook-ceph", "fast"}, {rbd, "north", "fast"}, {rbd, "rook-ceph", "slow"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLeadsTo(t *testing.T) {
	dynamic := csiVolume("pvc-1", rbd, "0001-0009-rook-ceph", map[string]string{"clusterID": "rook-ceph", "pool": "fast", "imageName": "shop.data"})
	tests := map[string]struct {
		pv   corev1.PersistentVolume
		want string
	}{
		"a pair":                            {static("shop.data", "shop.data", "fast"), "shop.data"},
		"a keyed pair":                      {static("shop.data", "shop.data~east", "fast"), "shop.data"},
		"another name, with a key":          {static("by-hand", "shop.data~east", "fast"), "by-hand"},
		"another name":                      {static("by-hand", "shop.data", "fast"), "by-hand"},
		"another image":                     {static("other", "other", "fast"), ""},
		"another pool":                      {static("by-hand", "shop.data", "slow"), ""},
		"another pool, and the pair's name": {static("shop.data", "shop.data", "slow"), "shop.data"},
		"no pool":                           {static("by-hand", "shop.data", ""), "by-hand"},
		"made by ceph-csi":                  {dynamic, "pvc-1"},
		"CephFS":                            {csiVolume("files", cephFS, "shop.data", map[string]string{"pool": "fast"}), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, image := range []string{"shop.data", "shop.data~east", "shop.data~west"} {
				if got := LeadsTo([]corev1.PersistentVolume{static("x", "x", "fast"), test.pv}, "fast", image); got != test.want {
					t.Errorf("to %s: %q, want %q", image, got, test.want)
				}
			}
		})
	}
}

// The volume of an image that no volume can be called like.
func TestLeadsToByDerivedName(t *testing.T) {
	of := OrphanOf(Place{rbd, "rook-ceph", "fast"}, "shop.My_Data~east", ceph.Owner{}).PV.Name
	if of != staticpv.VolumeName("shop.My_Data") {
		t.Errorf("the orphan's volume was %q", of)
	}
	if got := LeadsTo([]corev1.PersistentVolume{static(of, "other", "slow")}, "fast", "shop.My_Data~east"); got != of {
		t.Errorf("the volume of that name does not count: %q", got)
	}
}

// The keeper and the guard look for a volume's uses by what is here.
func TestOrphanOf(t *testing.T) {
	for name, key := range map[string]string{"shop.data": "", "shop.data~east": "east"} {
		got := OrphanOf(Place{rbd, "rook-ceph", "fast"}, name, ceph.Owner{Namespace: "shop", Claim: "data"})
		pv := csiVolume("shop.data", rbd, name, nil)
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: "data"}
		want := Volume{
			Namespace: "shop", Claim: "data", PV: &pv, Orphan: true,
			Image: staticpv.Image{ClusterID: "rook-ceph", Pool: "fast", Name: "shop.data", Key: key, Static: true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}
