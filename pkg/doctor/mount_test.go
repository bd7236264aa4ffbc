package doctor_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/doctor"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

func TestMount(t *testing.T) {
	files := func(attributes map[string]string, options ...string) storageclass.Class {
		return storageclass.Class{Name: "files", CephFS: &storageclass.CephFS{Filesystem: "cephfs"}, Attributes: attributes, MountOptions: options}
	}
	entry := func(kernelOptions string, monitors ...string) csiconfig.Entry {
		return csiconfig.Entry{ClusterID: "rook-ceph", Monitors: monitors, KernelMountOptions: kernelOptions}
	}
	const v2 = "10.0.0.1:3300"
	byV1 := doctor.Finding{State: doctor.OK, Check: "mount", Says: "class files: the kernel mounts by messenger v1"}
	byV2 := doctor.Finding{State: doctor.OK, Check: "mount", Says: "class files: the kernel mounts by messenger v2"}
	cannot := doctor.Finding{State: doctor.Problem, Check: "mount",
		Says: `class files: ceph-csi's configuration of clusterID "rook-ceph" names the monitors by messenger v2 only (10.0.0.1:3300), and the kernel mounts CephFS by v1`,
		Do:   "name the monitors' ports for v1 in ceph-csi's configuration (6789), or set kernelMountOptions: ms_mode=prefer-crc in the class, or in the ClientProfile for the volumes that exist"}
	tests := map[string]struct {
		class storageclass.Class
		entry csiconfig.Entry
		want  doctor.Finding
		none  bool
	}{
		"v1":                                 {files(nil), entry("", "10.0.0.1:6789"), byV1, false},
		"both":                               {files(nil), entry("", v2, "10.0.0.2:6789"), byV1, false},
		"v2 alone":                           {files(nil), entry("", v2), cannot, false},
		"v2 alone, with an option of no use": {files(map[string]string{"kernelMountOptions": "recover_session=clean"}, "noatime"), entry("", v2), cannot, false},
		"v2 alone, ms_mode in the class":     {files(map[string]string{"kernelMountOptions": "ms_mode=secure"}), entry("", v2), byV2, false},
		"v2 alone, ms_mode in mountOptions":  {files(nil, "noatime", "ms_mode=crc"), entry("", v2), byV2, false},
		"v2 alone, ms_mode in config.json":   {files(nil), entry("ms_mode=prefer-crc", v2), byV2, false},
		"v2 alone, mounted by fuse":          {files(map[string]string{"mounter": "fuse"}), entry("", v2), doctor.Finding{}, true},
		"an RBD class":                       {storageclass.Class{Name: "block", RBD: &storageclass.RBD{}}, entry("", v2), doctor.Finding{}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, looked := doctor.Mount(test.class, test.entry)
			if diff := cmp.Diff(test.want, got); diff != "" || looked == test.none {
				t.Errorf("%v, -want +got:\n%s", looked, diff)
			}
		})
	}
}
