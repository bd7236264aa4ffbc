package staticpv

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// minXFS is the size in bytes of the smallest filesystem that mkfs.xfs makes, since xfsprogs
// 5.19.
const minXFS = 300 << 20

// CannotStage is why no node could ever stage a new, empty image for the plan, or nil: ceph-csi
// makes the filesystem when it stages the image first. One that is there already may have a
// filesystem.
func (p Plan) CannotStage() error {
	if p.Class.RBD == nil || p.VolumeMode == corev1.PersistentVolumeBlock {
		return nil
	}
	writes := func(mode corev1.PersistentVolumeAccessMode) bool { return mode != corev1.ReadOnlyMany }
	size := p.Request.Value()
	switch {
	case !slices.ContainsFunc(p.AccessModes, writes):
		return fmt.Errorf("a new image has no filesystem, and ceph-csi makes none for a claim that is ReadOnlyMany alone; fill an image by a ReadWriteOnce claim, and name it here with the annotation %s", annotations.Image)
	case p.Class.RBD.FSType == "xfs" && size < minXFS:
		return fmt.Errorf("class %q makes XFS filesystems, and mkfs.xfs makes none below 300 MiB; ask for at least 300Mi, or name a class with ext4", p.Class.Name)
	}
	return nil
}
