package main

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// TestTwoInstallations: the driver's name says which of two installations of ceph-csi, whose
// clusterIDs are the same, a class is of.
func TestTwoInstallations(t *testing.T) {
	config := func(namespace, monitor string) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "ceph-csi-config"},
			Data:       map[string]string{"config.json": `[{"clusterID":"rook-ceph","monitors":["` + monitor + `"]}]`},
		}
	}
	reader := csiconfig.Reader{Client: fake.NewSimpleDynamicClient(scheme.Scheme, config("rook-ceph", "m1"), config("storage", "m2"), config("vault", "m3"))}
	tests := map[string]struct {
		driver, secrets string
		want            string
		err             error
	}{
		"Rook's":                                {"rook-ceph.rbd.csi.ceph.com", "storage", "m1", nil},
		"the other one's":                       {"storage.rbd.csi.ceph.com", "rook-ceph", "m2", nil},
		"for CephFS":                            {"storage.cephfs.csi.ceph.com", "rook-ceph", "m2", nil},
		"none of its own, by where the rest is": {"rbd.csi.ceph.com", "rook-ceph", "m1", nil},
		"none of its own, and two others":       {"rbd.csi.ceph.com", "vault", "", csiconfig.ErrAmbiguous},
		"none of its own, of a prefix that is no namespace": {"east.rbd.csi.ceph.com", "rook-ceph", "m1", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := entryOf(t.Context(), reader, storageclass.Class{
				Driver: test.driver, ClusterID: "rook-ceph", ProvisionerSecret: corev1.SecretReference{Namespace: test.secrets, Name: "maker"}})
			if !errors.Is(err, test.err) || err == nil && got.Monitors[0] != test.want {
				t.Errorf("got %v, %v; want %q, %v", got.Monitors, err, test.want, test.err)
			}
		})
	}
}

// TestMappedClusterID: where cluster-mapping.json leads, ceph-csi follows for RBD only.
func TestMappedClusterID(t *testing.T) {
	reader := csiconfig.Reader{Client: fake.NewSimpleDynamicClient(scheme.Scheme, &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "rook-ceph", Name: "ceph-csi-config"},
		Data:       map[string]string{"config.json": `[{"clusterID":"west","monitors":["m1"]}]`, "cluster-mapping.json": `[{"clusterIDMapping":{"east":"west"}}]`},
	})}
	block := storageclass.Class{Driver: "rook-ceph.rbd.csi.ceph.com", ClusterID: "east", RBD: &storageclass.RBD{}}
	if entry, err := entryOf(t.Context(), reader, block); err != nil || entry.ClusterID != "west" {
		t.Errorf("RBD: got %+v, %v", entry, err)
	}
	files := storageclass.Class{Driver: "rook-ceph.cephfs.csi.ceph.com", ClusterID: "east", CephFS: &storageclass.CephFS{}}
	if _, err := entryOf(t.Context(), reader, files); !errors.Is(err, csiconfig.ErrMapped) {
		t.Errorf("CephFS: got %v; want %v", err, csiconfig.ErrMapped)
	}
	files.ClusterID = "west"
	if _, err := entryOf(t.Context(), reader, files); err != nil {
		t.Errorf("CephFS, unmapped: %v", err)
	}
}
