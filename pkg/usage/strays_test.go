package usage

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/volumes"
)

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
	pvs := []corev1.PersistentVolume{*pv("pv-here", "here", "here"), {}}
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
