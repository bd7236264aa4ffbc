package doctor

import (
	"strings"

	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Mount checks that the nodes' kernels can reach the monitors of a CephFS class. They speak
// messenger v1 to them unless the mount option ms_mode says otherwise, and then wait in vain at
// a monitor's port for v2: a minute later the pod has the event "no mds server is up". User space,
// such as ceph-csi's provisioner and cephferry, speaks either, so all else works.
//
// It returns false for a class that is mounted otherwise.
func Mount(class storageclass.Class, entry csiconfig.Entry) (Finding, bool) {
	const check = "mount"
	if class.CephFS == nil || class.Attributes["mounter"] == "fuse" {
		return Finding{}, false
	}
	options := []string{class.Attributes["kernelMountOptions"], entry.KernelMountOptions}
	options = append(options, class.MountOptions...)
	if strings.Contains(strings.Join(options, ","), "ms_mode=") {
		return ok(check, "class %s: the kernel mounts by messenger v2", class.Name), true
	}
	if csiconfig.OnlyV2(entry.Monitors) {
		return problem(check, "name the monitors' ports for v1 in ceph-csi's configuration (6789), or set kernelMountOptions: ms_mode=prefer-crc in the class, or in the ClientProfile for the volumes that exist",
			"class %s: ceph-csi's configuration of clusterID %q names the monitors by messenger v2 only (%s), and the kernel mounts CephFS by v1", class.Name, entry.ClusterID, strings.Join(entry.Monitors, ",")), true
	}
	return ok(check, "class %s: the kernel mounts by messenger v1", class.Name), true
}
