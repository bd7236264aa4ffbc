package dynamicpv_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/dynamicpv"
)

const uuid = "24862838-240d-4215-9183-abfc0e9e4002"

// volume is one that ceph-csi made in east, as the API server has it.
func volume(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	now := metav1.Now()
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: "pvc-" + uuid, UID: "7", ResourceVersion: "12", CreationTimestamp: now, Finalizers: []string{"kubernetes.io/pv-protection", "external-provisioner.volume.kubernetes.io/finalizer"},
			Annotations: map[string]string{
				"pv.kubernetes.io/provisioned-by":                       "rook-ceph.rbd.csi.ceph.com",
				"volume.kubernetes.io/provisioner-deletion-secret-name": "rook-csi-rbd-provisioner",
				"pv.kubernetes.io/bound-by-controller":                  "yes",
			},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("3Gi")},
			ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data", UID: "9", ResourceVersion: "11"},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              "ceph-block",
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", FSType: "ext4", VolumeHandle: "0001-0009-rook-ceph-0000000000000002-" + uuid,
				NodeStageSecretRef:        &corev1.SecretReference{Name: "rook-csi-rbd-node", Namespace: "rook-ceph"},
				ControllerExpandSecretRef: &corev1.SecretReference{Name: "rook-csi-rbd-provisioner", Namespace: "rook-ceph"},
				VolumeAttributes:          map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "csi-vol-" + uuid},
			}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
	if change != nil {
		change(pv)
	}
	return pv
}

// exported is the copy of it.
func exported(change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := volume(nil)
	pv.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"}
	pv.ObjectMeta = metav1.ObjectMeta{Name: pv.Name, Labels: map[string]string{"cephferry.io/door": "volume"}, Annotations: map[string]string{
		"cephferry.io/migratable": "true", "pv.kubernetes.io/provisioned-by": "rook-ceph.rbd.csi.ceph.com",
	}}
	pv.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data"}
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	pv.Status = corev1.PersistentVolumeStatus{}
	if change != nil {
		change(pv)
	}
	return pv
}

func class(name string, parameters map[string]string) storagev1.StorageClass {
	all := map[string]string{
		"clusterID": "storage", "pool": "replicapool",
		"csi.storage.k8s.io/node-stage-secret-name": "node", "csi.storage.k8s.io/node-stage-secret-namespace": "storage",
		"csi.storage.k8s.io/controller-expand-secret-name": "maker", "csi.storage.k8s.io/controller-expand-secret-namespace": "storage",
		"csi.storage.k8s.io/controller-publish-secret-name": "publisher", "csi.storage.k8s.io/controller-publish-secret-namespace": "storage",
	}
	for key, value := range parameters {
		all[key] = value
	}
	driver := "storage-operator.rbd.csi.ceph.com"
	if all["fsName"] != "" {
		driver = "storage-operator.cephfs.csi.ceph.com"
	}
	return storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: driver, Parameters: all}
}

func TestExport(t *testing.T) {
	now := metav1.Now()
	tests := map[string]struct {
		change func(*corev1.PersistentVolume)
		err    string
	}{
		"a volume of ceph-csi": {},
		"a volume of another driver": {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "ebs.csi.aws.com" },
			"spec.csi.driver is not ceph-csi's"},
		"a volume without CSI": {func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }, "spec.csi.driver is not ceph-csi's"},
		"a pair of ours": {func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east" },
			`spec.csi.volumeHandle "shop.data~east" is not one that ceph-csi gives; a pair that cephferry made needs no copy`},
		"a volume of nobody":          {func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }, "spec.claimRef names no claim"},
		"a volume that is on its way": {func(pv *corev1.PersistentVolume) { pv.DeletionTimestamp = &now }, "is being deleted"},
		"a volume that is tied to nodes": {func(pv *corev1.PersistentVolume) { pv.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{} },
			"spec.nodeAffinity ties it to nodes of this cluster"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			original := volume(test.change)
			before := original.DeepCopy()
			got, err := dynamicpv.Export(original)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(exported(nil), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(before, original); diff != "" {
				t.Errorf("the original was changed:\n%s", diff)
			}
		})
	}
}

func TestShare(t *testing.T) {
	pv := volume(func(pv *corev1.PersistentVolume) { pv.Annotations = nil })
	if !dynamicpv.Share(pv) || pv.Annotations["cephferry.io/migratable"] != "true" || pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain || pv.Labels["cephferry.io/door"] != "volume" {
		t.Errorf("got %v, %v, %s", pv.Annotations, pv.Labels, pv.Spec.PersistentVolumeReclaimPolicy)
	}
	if dynamicpv.Share(pv) {
		t.Error("it was shared already")
	}
	if delete(pv.Labels, "cephferry.io/door"); !dynamicpv.Share(pv) || pv.Labels["cephferry.io/door"] != "volume" {
		t.Errorf("by hand it was annotated only, and now it has the labels %v", pv.Labels)
	}
}

func TestLocalize(t *testing.T) {
	other := class("fast", nil)
	want := exported(func(pv *corev1.PersistentVolume) {
		pv.Annotations["pv.kubernetes.io/provisioned-by"] = "storage-operator.rbd.csi.ceph.com"
		pv.Spec.StorageClassName = "fast"
		csi := pv.Spec.CSI
		csi.Driver, csi.VolumeHandle = "storage-operator.rbd.csi.ceph.com", "0001-0007-storage-0000000000000002-"+uuid
		csi.VolumeAttributes["clusterID"] = "storage"
		csi.NodeStageSecretRef = &corev1.SecretReference{Name: "node", Namespace: "storage"}
		csi.ControllerExpandSecretRef = &corev1.SecretReference{Name: "maker", Namespace: "storage"}
		csi.ControllerPublishSecretRef = &corev1.SecretReference{Name: "publisher", Namespace: "storage"}
	})
	got, changes, err := dynamicpv.Localize(exported(nil), &other)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]dynamicpv.Change{
		{"spec.csi.driver", "rook-ceph.rbd.csi.ceph.com", "storage-operator.rbd.csi.ceph.com"},
		{"spec.csi.volumeHandle", "0001-0009-rook-ceph-0000000000000002-" + uuid, "0001-0007-storage-0000000000000002-" + uuid},
		{"spec.csi.volumeAttributes[clusterID]", "rook-ceph", "storage"},
		{"spec.storageClassName", "ceph-block", "fast"},
		{"spec.csi.nodeStageSecretRef", "rook-ceph/rook-csi-rbd-node", "storage/node"},
		{"spec.csi.controllerPublishSecretRef", "", "storage/publisher"},
		{"spec.csi.controllerExpandSecretRef", "rook-ceph/rook-csi-rbd-provisioner", "storage/maker"},
	}, changes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	again, changes, err := dynamicpv.Localize(got, &other)
	if diff := cmp.Diff(got, again); diff != "" || len(changes) > 0 || err != nil {
		t.Errorf("once more: %v, %v\n%s", changes, err, diff)
	}
}

func TestCandidates(t *testing.T) {
	other, files := class("fast", nil), class("files", map[string]string{"fsName": "shared"})
	elsewhere := class("elsewhere", map[string]string{"pool": "other"})
	same, second := class("ceph-block", nil), class("slow", nil)
	for name, test := range map[string]struct {
		classes []storagev1.StorageClass
		named   string
		want    []string
		err     string
	}{
		"the only one of that pool":            {classes: []storagev1.StorageClass{elsewhere, files, other}, want: []string{"fast"}},
		"several":                              {classes: []storagev1.StorageClass{second, other}, want: []string{"fast", "slow"}},
		"several, one of them of that name":    {classes: []storagev1.StorageClass{second, same, other}, want: []string{"ceph-block", "fast", "slow"}},
		"several, and a person":                {classes: []storagev1.StorageClass{other, second}, named: "slow", want: []string{"slow"}},
		"none":                                 {classes: []storagev1.StorageClass{elsewhere, files}, err: "no StorageClass of this cluster is of its pool"},
		"a person who names what is not there": {classes: []storagev1.StorageClass{other}, named: "none", err: `no such StorageClass as "none"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := dynamicpv.Candidates(exported(nil), test.classes, test.named)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			var names []string
			for _, class := range got {
				names = append(names, class.Name)
			}
			if diff := cmp.Diff(test.want, names); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestLocalizeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		class storagev1.StorageClass
		want  string
	}{
		"another pool": {class("fast", map[string]string{"pool": "other"}), "is in pool replicapool, and StorageClass fast has pool other; name a class of the same Ceph with --class"},
		"another kind": {class("files", map[string]string{"fsName": "shared"}), "is in pool replicapool, and StorageClass files has the driver storage-operator.cephfs.csi.ceph.com"},
		"a poor class": {class("poor", map[string]string{"clusterID": ""}), "StorageClass poor: parameters[clusterID]: Required value"},
		"one too long": {class("long", map[string]string{"clusterID": strings.Repeat("c", 65)}), "spec.csi.volumeHandle: with clusterID"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := dynamicpv.Localize(exported(nil), &test.class); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
