package storageclass_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/storageclass"
)

// TestParseCephFS covers what only a CephFS class has; TestParse the rest.
func TestParseCephFS(t *testing.T) {
	smallest := map[string]string{
		"clusterID": "rook-ceph",
		"fsName":    "shared",
		"csi.storage.k8s.io/node-stage-secret-name":      "node",
		"csi.storage.k8s.io/node-stage-secret-namespace": "rook-ceph",
	}
	parsed := func(change func(*storageclass.Class)) storageclass.Class {
		class := storageclass.Class{
			Name:            "block",
			Driver:          "rook-ceph.cephfs.csi.ceph.com",
			ClusterID:       "rook-ceph",
			Attributes:      map[string]string{},
			NodeStageSecret: corev1.SecretReference{Name: "node", Namespace: "rook-ceph"},
			CephFS:          &storageclass.CephFS{Filesystem: "shared"},
		}
		if change != nil {
			change(&class)
		}
		return class
	}
	tests := map[string]struct {
		// parameters on top of the smallest; an empty value removes one.
		parameters map[string]string
		mount      []string
		want       storageclass.Class
		errs       []string
	}{
		"the smallest class": {
			want: parsed(nil),
		},
		"every parameter": {
			parameters: map[string]string{
				"pool": "shared-data0", "mounter": "kernel", "kernelMountOptions": "recover_session=clean", "fuseMountOptions": "debug",
				"csi.storage.k8s.io/provisioner-secret-name":      "provisioner",
				"csi.storage.k8s.io/provisioner-secret-namespace": "ceph",
			},
			mount: []string{"noatime"},
			want: parsed(func(class *storageclass.Class) {
				class.Attributes = map[string]string{"mounter": "kernel", "kernelMountOptions": "recover_session=clean", "fuseMountOptions": "debug"}
				class.MountOptions = []string{"noatime"}
				class.ProvisionerSecret = corev1.SecretReference{Name: "provisioner", Namespace: "ceph"}
				class.CephFS.DataPool = "shared-data0"
			}),
		},
		"parameters of dynamic provisioning and of RBD are passed over": {
			parameters: map[string]string{
				"volumeNamePrefix": "x", "csi.storage.k8s.io/controller-expand-secret-name": "${x}", "encrypted": "false",
				"backingSnapshot": "false", "mapOptions": "x", "imageFeatures": "warp-drive", "csi.storage.k8s.io/fstype": "ext4",
			},
			want: parsed(nil),
		},
		"no parameters at all": {
			parameters: map[string]string{"clusterID": "", "fsName": "", "csi.storage.k8s.io/node-stage-secret-name": "", "csi.storage.k8s.io/node-stage-secret-namespace": ""},
			want: parsed(func(class *storageclass.Class) {
				class.ClusterID, class.NodeStageSecret, class.CephFS.Filesystem = "", corev1.SecretReference{}, ""
			}),
			errs: []string{
				"parameters[clusterID]: Required value",
				"parameters[csi.storage.k8s.io/node-stage-secret-name]: Required value",
				"parameters[csi.storage.k8s.io/node-stage-secret-namespace]: Required value",
				"parameters[fsName]: Required value: a migratable volume is in the same file system for every cluster, and the default one may change; name it",
			},
		},
		"topology": {
			parameters: map[string]string{"topologyConstrainedPools": "[]", "clusterIDs": "east,west"},
			want:       parsed(nil),
			errs: []string{
				`parameters[topologyConstrainedPools]: Invalid value: "[]": a migratable volume has one pool, the same for every node and in every cluster; use a class with a pool`,
				`parameters[clusterIDs]: Invalid value: "east,west": a migratable volume is on one Ceph, the same for every node and in every cluster; use a class with one clusterID`,
			},
		},
		"encrypted, and secrets by template": {
			parameters: map[string]string{"encrypted": "true", "csi.storage.k8s.io/node-stage-secret-name": "${pvc.name}"},
			want:       parsed(func(class *storageclass.Class) { class.NodeStageSecret.Name = "${pvc.name}" }),
			errs: []string{
				`parameters[csi.storage.k8s.io/node-stage-secret-name]: Invalid value: "${pvc.name}": templates are not supported; name one secret`,
				`parameters[encrypted]: Invalid value: "true": ceph-csi cannot open an encrypted volume by a static PersistentVolume; use a class without encryption`,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			checkParse(t, classWith(smallest, test.parameters, "rook-ceph.cephfs.csi.ceph.com", test.mount), test.want, test.errs)
		})
	}
}

func TestOperator(t *testing.T) {
	for driver, want := range map[string]string{
		"rook-ceph.rbd.csi.ceph.com":    "rook-ceph",
		"rook-ceph.cephfs.csi.ceph.com": "rook-ceph",
		"a.b.rbd.csi.ceph.com":          "a.b",
		"rbd.csi.ceph.com":              "",
		"cephfs.csi.ceph.com":           "",
	} {
		if got := (storageclass.Class{Driver: driver}).Operator(); got != want {
			t.Errorf("%s: got %q, want %q", driver, got, want)
		}
	}
}
