package staticpv_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

func TestDoubts(t *testing.T) {
	const id = "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"
	handle := func(handle string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI.VolumeHandle = handle
			delete(pv.Spec.CSI.VolumeAttributes, "staticVolume")
		}
	}
	flag := func(value string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["staticVolume"] = value }
	}
	deleted := func(pv *corev1.PersistentVolume) {
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	}
	plain := func(pv *corev1.PersistentVolume) { pv.Annotations = nil }
	unmarked := func(value string) string {
		return `spec.csi.volumeAttributes[staticVolume]: Invalid value: "` + value + `": must be "true" for a volume that ceph-csi did not make: it takes the volumeHandle "shop.data" for an id of its own and finds no image, and cephferry does not guard the image; the source of a PersistentVolume cannot be changed, so recreate it`
	}
	const goes = "spec.persistentVolumeReclaimPolicy: Invalid value: \"Delete\": the image may be deleted with the claim of this cluster, whichever cluster has the data in it then; run `kubectl patch pv shop.data -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`"
	type changes = []func(*corev1.PersistentVolume)
	tests := map[string]struct {
		changes changes
		want    []string
	}{
		"what a plan makes":                        {},
		"without the attribute":                    {changes{handle("shop.data")}, []string{unmarked("")}},
		"with a value that ceph-csi does not know": {changes{flag("yes")}, []string{unmarked("yes")}},
		"with another spelling of true":            {changes: changes{flag("T")}},
		"without the attribute, and to be deleted": {changes{handle("shop.data"), plain, deleted}, []string{unmarked("")}},
		"made by ceph-csi":                         {changes: changes{handle(id), plain, deleted}},
		"made by ceph-csi, of another version":     {changes: changes{handle("0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-ABFC0e9e4002"), plain}},
		"Kubernetes' own, before":                  {changes: changes{handle("mig_mons-1_image-2_7265"), plain}},
		"static, and to be deleted":                {changes{plain, deleted}, []string{goes}},
		"made by ceph-csi, shared, to be deleted":  {changes{handle(id), deleted}, []string{goes}},
		"both":          {changes{handle("shop.data"), deleted}, []string{unmarked(""), goes}},
		"CephFS":        {changes: changes{func(pv *corev1.PersistentVolume) { pv.Spec = shared(nil).Spec }, handle("shop.data"), deleted}},
		"no CSI volume": {changes: changes{deleted, func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, err := range staticpv.Doubts(volume(func(pv *corev1.PersistentVolume) {
				for _, change := range test.changes {
					change(pv)
				}
			})) {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
