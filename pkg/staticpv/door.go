package staticpv

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// DoorLabel is the label on a PersistentVolume that shows to people through which door it
// came. It is written and never read: behind the doors all volumes are the same.
const DoorLabel = annotations.Prefix + "door"

// Door is how somebody asked for a migratable volume, see docs/doors.md.
type Door string

const (
	// ByClass: the claim names a class with our provisioner.
	ByClass Door = "class"
	// ByClaim: the claim has the class "" and annotations of ours, whoever wrote them.
	ByClaim Door = "claim"
	// ByRenderer: the pair was rendered.
	ByRenderer Door = "renderer"
	// ByVolume: ceph-csi made the volume, and it got our annotation.
	ByVolume Door = "volume"
)

// ShowOn labels a PersistentVolume, and reports whether that changed it. The zero Door leaves it
// alone.
func (d Door) ShowOn(pv *corev1.PersistentVolume) bool {
	if d == "" || pv.Labels[DoorLabel] == string(d) {
		return false
	}
	pv.Labels = maps.Clone(pv.Labels)
	if pv.Labels == nil {
		pv.Labels = map[string]string{}
	}
	pv.Labels[DoorLabel] = string(d)
	return true
}
