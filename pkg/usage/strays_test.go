package usage

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// all are all PersistentVolumes that there are.
func all(pvs ...*corev1.PersistentVolume) *volumesNow {
	now := noVolumes()
	for _, pv := range pvs {
		now.add(pv)
	}
	return now
}

// TestStrays: against an orphan counts each, against another volume what may be of it.
func TestStrays(t *testing.T) {
	const cephFS = "rook-ceph.cephfs.csi.ceph.com"
	inline := attachment("inline", driver, "")
	inline.Spec.Source.PersistentVolumeName = nil
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "e2"}}
	node.Status.VolumesInUse = []corev1.UniqueVolumeName{
		"kubernetes.io/csi/" + driver + "^here", "kubernetes.io/csi/" + driver + "^gone",
		"kubernetes.io/csi/" + cephFS + "^gone", "kubernetes.io/iscsi/gone",
	}
	left := state{
		attachments: []storagev1.VolumeAttachment{*attachment("a", driver, "pv-here"), *attachment("b", driver, "pv-gone"), *attachment("c", cephFS, "pv-gone"), *inline},
		nodes:       []corev1.Node{node, {}},
	}
	pvs := all(pv("pv-here", "here", "here"), &corev1.PersistentVolume{})
	attached := Stray{"e1", "volumeattachment b (of PersistentVolume pv-gone, which is gone)"}
	inUse := Stray{"e2", "status.volumesInUse of node e2 (" + driver + "^gone, whose PersistentVolume is gone)"}
	for image, want := range map[string][]Stray{"pv-gone": {attached}, "gone": {inUse}, "shop.data": nil} {
		orphan := volumes.OrphanOf(volumes.Place{Driver: driver, Pool: "rbd"}, image, *held().Owner)
		if diff := cmp.Diff([]Stray{attached, inUse}, left.strays(pvs, orphan)); diff != "" {
			t.Errorf("orphan %s: -want +got:\n%s", image, diff)
		}
		orphan.Orphan = false
		if diff := cmp.Diff(want, left.strays(pvs, orphan)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", image, diff)
		}
	}
}

// TestStraysOfKeyedImages: what is left of a volume of the image counts, whatever key it had,
// and what belongs to a volume that is there does not.
func TestStraysOfKeyedImages(t *testing.T) {
	here, before := "kubernetes.io/csi/"+driver+"^shop.data~east", "kubernetes.io/csi/"+driver+"^shop.data"
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "e2"}}
	node.Status.VolumesInUse = []corev1.UniqueVolumeName{corev1.UniqueVolumeName(here), corev1.UniqueVolumeName(before)}
	own := attachment(attachmentName("shop.data~east", driver, "e1"), driver, "by-hand")
	left := state{nodes: []corev1.Node{node}, attachments: []storagev1.VolumeAttachment{*own}}
	volume := volumes.OrphanOf(volumes.Place{Driver: driver, Pool: "rbd"}, "shop.data~east", *held().Owner)
	volume.Orphan = false
	attached := Stray{"e1", "volumeattachment " + own.Name + " (of PersistentVolume by-hand, which is gone)"}
	inUse := func(handle string) Stray {
		return Stray{"e2", "status.volumesInUse of node e2 (" + driver + "^" + handle + ", whose PersistentVolume is gone)"}
	}
	for name, test := range map[string]struct {
		pvs  *volumesNow
		want []Stray
	}{
		"the volume is there":   {all(pv("shop.data", "data", "shop.data~east")), []Stray{attached, inUse("shop.data")}},
		"as it was without key": {all(pv("shop.data", "data", "shop.data")), []Stray{attached, inUse("shop.data~east")}},
		"nothing is there":      {all(), []Stray{attached, inUse("shop.data~east"), inUse("shop.data")}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, left.strays(test.pvs, volume)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
