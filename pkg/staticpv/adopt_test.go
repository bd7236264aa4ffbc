package staticpv_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

const (
	uuid    = "24862838-240d-4215-9183-abfc0e9e4002"
	dynamic = "csi-vol-" + uuid
)

// provisioned is the PV that ceph-csi makes on an RBD class, bound to shop/data.
func provisioned(change func(*corev1.PersistentVolume)) corev1.PersistentVolume {
	pv := corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "1"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver:       "rook-ceph.rbd.csi.ceph.com",
				VolumeHandle: "0001-0009-rook-ceph-0000000000000002-" + uuid,
				VolumeAttributes: map[string]string{
					"clusterID": "rook-ceph", "pool": "replicapool", "journalPool": "replicapool", "imageName": dynamic,
					"imageFeatures": "layering", "storage.kubernetes.io/csiProvisionerIdentity": "1-rook-ceph.rbd.csi.ceph.com",
				},
			}},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              "block",
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
	if change != nil {
		change(&pv)
	}
	return pv
}

// provisionedShared is the same on a CephFS class.
func provisionedShared(change func(*corev1.PersistentVolume)) corev1.PersistentVolume {
	return provisioned(func(pv *corev1.PersistentVolume) {
		pv.Spec.CSI.Driver = "rook-ceph.cephfs.csi.ceph.com"
		pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "fsName": "cephfs", "subvolumeName": dynamic, "subvolumePath": "/volumes/csi/" + dynamic + "/1"}
		if change != nil {
			change(pv)
		}
	})
}

func TestRefuseAdoption(t *testing.T) {
	const (
		policy = "PersistentVolume pvc-1: spec.persistentVolumeReclaimPolicy is Delete, so the data would be deleted with its claim; " +
			"run `kubectl patch pv pvc-1 -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'`"
		bound = "PersistentVolume pvc-1: spec.claimRef still binds it to claim shop/data; " +
			"scale the workload down, then run `kubectl delete pvc data --namespace shop`"
		available = "PersistentVolume pvc-1: status.phase is \"Available\", so a claim can still get it; " +
			"run `kubectl delete pv pvc-1` once its reclaim policy is Retain"
		nothing = "PersistentVolume pvc-1: status.phase is \"\", so a claim can still get it; " +
			"run `kubectl delete pv pvc-1` once its reclaim policy is Retain"
	)
	deletes := func(pv *corev1.PersistentVolume) {
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	}
	phase := func(phase corev1.PersistentVolumePhase) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Status.Phase = phase }
	}
	attribute := func(name, value string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes[name] = value }
	}
	without := func(names ...string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) {
			for _, name := range names {
				delete(pv.Spec.CSI.VolumeAttributes, name)
			}
		}
	}
	ours := *volume(func(pv *corev1.PersistentVolume) {
		pv.Name, pv.Spec.CSI.VolumeHandle = dynamic, dynamic
		pv.Status.Phase = corev1.VolumeBound
	})

	tests := map[string]struct {
		pvs   []corev1.PersistentVolume
		class storageclass.Class
		want  string
	}{
		"no volumes":                       {nil, class, ""},
		"our own pair":                     {[]corev1.PersistentVolume{ours}, class, ""},
		"a volume that is no CSI volume":   {[]corev1.PersistentVolume{provisioned(func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil })}, class, ""},
		"released, and kept":               {[]corev1.PersistentVolume{provisioned(phase(corev1.VolumeReleased))}, class, ""},
		"failed, and kept":                 {[]corev1.PersistentVolume{provisioned(phase(corev1.VolumeFailed))}, class, ""},
		"bound":                            {[]corev1.PersistentVolume{provisioned(nil)}, class, bound},
		"bound, and deleted with it":       {[]corev1.PersistentVolume{provisioned(deletes)}, class, policy + "; then " + bound},
		"released, and deleted with it":    {[]corev1.PersistentVolume{provisioned(func(pv *corev1.PersistentVolume) { deletes(pv); phase(corev1.VolumeReleased)(pv) })}, class, policy},
		"available":                        {[]corev1.PersistentVolume{provisioned(phase(corev1.VolumeAvailable))}, class, available},
		"a moment old":                     {[]corev1.PersistentVolume{provisioned(phase(""))}, class, nothing},
		"another image":                    {[]corev1.PersistentVolume{provisioned(attribute("imageName", "csi-vol-2"))}, class, ""},
		"an image of another pool":         {[]corev1.PersistentVolume{provisioned(attribute("pool", "other"))}, class, ""},
		"another clusterID":                {[]corev1.PersistentVolume{provisioned(attribute("clusterID", "other"))}, class, bound},
		"another Rook's driver":            {[]corev1.PersistentVolume{provisioned(func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "other.rbd.csi.ceph.com" })}, class, bound},
		"a volume of an early ceph-csi":    {[]corev1.PersistentVolume{provisioned(without("imageName", "pool"))}, class, bound},
		"a handle that is no id":           {[]corev1.PersistentVolume{provisioned(func(pv *corev1.PersistentVolume) { without("imageName")(pv); pv.Spec.CSI.VolumeHandle = "x-" + uuid })}, class, ""},
		"several":                          {[]corev1.PersistentVolume{ours, provisioned(phase(corev1.VolumeReleased)), provisioned(nil)}, class, bound},
		"a subvolume that is bound":        {[]corev1.PersistentVolume{provisionedShared(nil)}, cephFS, bound},
		"a subvolume, released":            {[]corev1.PersistentVolume{provisionedShared(phase(corev1.VolumeReleased))}, cephFS, ""},
		"a subvolume, of the default fs":   {[]corev1.PersistentVolume{provisionedShared(without("fsName"))}, cephFS, bound},
		"a subvolume of an early ceph-csi": {[]corev1.PersistentVolume{provisionedShared(without("subvolumeName"))}, cephFS, bound},
		"a subvolume of another fs":        {[]corev1.PersistentVolume{provisionedShared(attribute("fsName", "other"))}, cephFS, ""},
		"a subvolume, made static already": {[]corev1.PersistentVolume{provisionedShared(attribute("staticVolume", "true"))}, cephFS, ""},
		"an image, for a subvolume":        {[]corev1.PersistentVolume{provisioned(nil)}, cephFS, ""},
		"a subvolume, for an image":        {[]corev1.PersistentVolume{provisionedShared(nil)}, class, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := staticpv.RefuseAdoption(test.pvs, dynamic, test.class); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestPlanRefuseAdoption: an image that gets another name has nothing here by the old one.
func TestPlanRefuseAdoption(t *testing.T) {
	const (
		bound = "PersistentVolume pvc-1: spec.claimRef still binds it to claim shop/data; " +
			"scale the workload down, then run `kubectl delete pvc data --namespace shop`"
		pair = "PersistentVolume " + dynamic + ": spec.csi.volumeHandle leads to the image by the name that it is to lose; " +
			"scale the workload down, then delete its claim and `kubectl delete pv " + dynamic + "`, " +
			`or let the image keep its name with cephferry.io/adopt: "true" and cephferry.io/image: ` + dynamic
	)
	ours := func(name, handle, pool string) corev1.PersistentVolume {
		return *volume(func(pv *corev1.PersistentVolume) {
			pv.Name, pv.Spec.CSI.VolumeHandle, pv.Spec.CSI.VolumeAttributes["pool"] = name, handle, pool
		})
	}
	for name, test := range map[string]struct {
		pv      corev1.PersistentVolume
		oldName string
		want    string
	}{
		"the dynamic one, bound":             {provisioned(nil), dynamic, bound},
		"the dynamic one of another image":   {provisioned(nil), "csi-vol-2", ""},
		"the pair, once it is adopted":       {ours("shop.data", "shop.data~east", "replicapool"), dynamic, ""},
		"a pair by the old name":             {ours(dynamic, dynamic, "replicapool"), dynamic, pair},
		"a pair by it, in another pool":      {ours(dynamic, dynamic, "other"), dynamic, ""},
		"a pair by it, and it stays":         {ours(dynamic, dynamic, "replicapool"), "", ""},
		"the dynamic one of what has a name": {provisioned(nil), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			plan := staticpv.Plan{Adopt: true, OldName: test.oldName, Names: staticpv.Names{Image: "shop.data"}, Class: storageclass.Class{RBD: &storageclass.RBD{Pool: "replicapool"}}}
			got := ""
			if err := plan.RefuseAdoption([]corev1.PersistentVolume{test.pv}); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
