package usage

import (
	"context"
	"crypto/sha256"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Stray is a use of an RBD volume on a node whose PersistentVolume is gone.
type Stray struct{ Node, What string }

// strays are those that may be of the volume's image. The volumes were listed before the
// state; one that is missing there may have been made meanwhile.
func (g *Gatherer) strays(ctx context.Context, state *state, now *volumesNow, volume volumes.Volume) ([]Stray, error) {
	if len(state.strays(now, volume)) == 0 {
		return nil, nil
	}
	now, err := listVolumes(ctx, g.Live(), func(*corev1.PersistentVolume) bool { return false })
	if err != nil {
		return nil, err
	}
	return state.strays(now, volume), nil
}

// strays counts each stray against an orphan: its PersistentVolume may have had another
// name and handle than [volumes.OrphanOf] gives it. Against another volume counts what
// has the name or the handle of a volume on the same image.
func (s *state) strays(now *volumesNow, volume volumes.Volume) []Stray {
	image, handle := volume.Image.Name, volume.Image.Handle()
	var all []Stray
	for i := range s.attachments {
		attachment := &s.attachments[i]
		pv, driver, node := VolumeOf(attachment), attachment.Spec.Attacher, attachment.Spec.NodeName
		if pv == "" || now.names[pv] || !storageclass.IsRBD(driver) {
			continue
		}
		// Of an attachment to what ceph-csi made, nothing tells the handle.
		named := attachment.Name == attachmentName(image, driver, node) || attachment.Name == attachmentName(handle, driver, node)
		if volume.Orphan || pv == image || named {
			all = append(all, Stray{node, fmt.Sprintf("volumeattachment %s (of PersistentVolume %s, which is gone)", attachment.Name, pv)})
		}
	}
	for _, node := range s.nodes {
		for _, name := range node.Status.VolumesInUse {
			driver, handle, csi := volumes.OfInUse(name)
			if !csi || !storageclass.IsRBD(driver) || now.handles[name] {
				continue
			}
			if volume.Orphan || staticpv.HandleMayLeadTo(handle, image) {
				all = append(all, Stray{node.Name, fmt.Sprintf("status.volumesInUse of node %s (%s^%s, whose PersistentVolume is gone)", node.Name, driver, handle)})
			}
		}
	}
	return all
}

// attachmentName is how Kubernetes names the VolumeAttachment of a handle on a node
// (pkg/volume/csi: getAttachmentName).
func attachmentName(handle, driver, node string) string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(handle+driver+node)))
}
