package storageclass_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/storageclass"
)

// TestSettings of classes with our provisioner.
func TestSettings(t *testing.T) {
	retain, remove := corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete
	yes, no := true, false
	own := func(change func(*storagev1.StorageClass)) *storagev1.StorageClass {
		class := &storagev1.StorageClass{
			ObjectMeta:    metav1.ObjectMeta{Name: "migratable"},
			Provisioner:   storageclass.Provisioner,
			Parameters:    map[string]string{storageclass.FromParameter: "block"},
			ReclaimPolicy: &retain,
		}
		if change != nil {
			change(class)
		}
		return class
	}
	named := func(change func(*storageclass.Class)) storageclass.Class {
		return parsed(func(class *storageclass.Class) {
			class.Name, class.MountOptions = "migratable", []string{"noatime"}
			if change != nil {
				change(class)
			}
		})
	}
	const rbd = "rook-ceph.rbd.csi.ceph.com"
	tests := map[string]struct {
		class *storagev1.StorageClass
		want  storageclass.Class
		errs  []string
	}{
		"the smallest": {class: own(nil), want: named(nil)},
		"with what changes nothing": {
			class: own(func(c *storagev1.StorageClass) {
				mode := storagev1.VolumeBindingWaitForFirstConsumer
				c.VolumeBindingMode, c.AllowVolumeExpansion = &mode, &no
			}),
			want: named(nil),
		},
		"whose requests may rise": {
			class: own(func(c *storagev1.StorageClass) { c.AllowVolumeExpansion = &yes }),
			want:  named(nil),
		},
		"mount options of its own": {
			class: own(func(c *storagev1.StorageClass) { c.MountOptions = []string{"discard"} }),
			want:  named(func(c *storageclass.Class) { c.MountOptions = []string{"discard"} }),
		},
		"a class of ceph-csi": {
			class: classWith(smallest, nil, rbd, nil),
			want:  parsed(nil),
		},
		"no class to take settings from": {
			class: own(func(c *storagev1.StorageClass) { c.Parameters = nil }),
			errs:  []string{`parameters[cephferry.io/class]: Required value: the class of ceph-csi whose settings the volumes get, such as Rook's ceph-block`},
		},
		"a class that is not there": {
			class: own(func(c *storagev1.StorageClass) { c.Parameters[storageclass.FromParameter] = "none" }),
			errs:  []string{`parameters[cephferry.io/class]: Invalid value: "none": no such StorageClass as "none"; there are: "block", "migratable", "nfs"`},
		},
		"itself": {
			class: own(func(c *storagev1.StorageClass) { c.Parameters[storageclass.FromParameter] = "migratable" }),
			errs:  []string{`parameters[cephferry.io/class]: Invalid value: "migratable": has the provisioner cephferry.io/provisioner too; name a class of ceph-csi`},
		},
		"a class of something else": {
			class: own(func(c *storagev1.StorageClass) { c.Parameters[storageclass.FromParameter] = "nfs" }),
			errs:  []string{`parameters[cephferry.io/class]: Invalid value: "nfs": StorageClass nfs: provisioner: Invalid value: "nfs": is not ceph-csi's driver for RBD or CephFS`},
		},
		"what it must not promise": {
			class: own(func(c *storagev1.StorageClass) {
				c.ReclaimPolicy, c.AllowedTopologies = &remove, []corev1.TopologySelectorTerm{{}}
				c.Parameters["pool"] = "other"
			}),
			want: named(nil),
			errs: []string{
				`parameters[pool]: Unsupported value: "pool": supported values: "cephferry.io/class"`,
				`reclaimPolicy: Invalid value: "Delete": must be Retain: nothing deletes an image that another cluster may have`,
				`allowedTopologies: Forbidden: the volumes are not tied to nodes`,
			},
		},
		"no reclaim policy, which is Delete": {
			class: own(func(c *storagev1.StorageClass) { c.ReclaimPolicy = nil }),
			want:  named(nil),
			errs:  []string{`reclaimPolicy: Invalid value: "Delete": must be Retain: nothing deletes an image that another cluster may have`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			all := []storagev1.StorageClass{*classWith(smallest, nil, rbd, []string{"noatime"}), *test.class, {ObjectMeta: metav1.ObjectMeta{Name: "nfs"}, Provisioner: "nfs"}}
			got, errs := storageclass.Settings(all, test.class)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var texts []string
			for _, err := range errs {
				texts = append(texts, err.Error())
			}
			if diff := cmp.Diff(test.errs, texts); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
