package usage

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Local is what this cluster knows about one volume and itself.
type Local struct {
	// Nodes are the nodes of this cluster with their addresses: all of them, or at least
	// those that a watcher may come from.
	Nodes map[string][]netip.Addr
	// CIDRs are further ranges from which nodes of this cluster reach Ceph.
	CIDRs []netip.Prefix
	// Exempt are the ranges of daemons such as rbd-mirror, whose watches never
	// count.
	Exempt []netip.Prefix
	// Using are the nodes where this cluster has a reason to have the image open:
	// those with a VolumeAttachment of the PV, or where the driver needs no
	// attachment, those with a pod that uses the claim.
	Using []string
}

// Unexplained returns why the watcher is foreign, and nothing if it is not.
//
// A watcher is explained if it is exempt; or if it comes from an address of a node of
// this cluster and this cluster uses the volume on that node; or from one of the further
// ranges of this cluster, and this cluster uses the volume on some node. An address
// alone explains nothing: two clusters behind NAT, or with equal private ranges, show
// equal addresses.
func (l Local) Unexplained(watcher ceph.Watcher) string {
	address, err := ceph.ParseAddress(watcher.Addr)
	if err != nil {
		return "an address that cannot be read"
	}
	if contains(l.Exempt, address) {
		return ""
	}
	node := l.nodeAt(address)
	switch {
	case node != "" && slices.Contains(l.Using, node):
		return ""
	case node != "":
		return "the address of node " + node + ", which does not use the volume"
	case contains(l.CIDRs, address) && len(l.Using) > 0:
		return ""
	case contains(l.CIDRs, address):
		return "an address of this cluster, which uses the volume on no node"
	default:
		return "not a node of this cluster"
	}
}

// NodeOf returns the node of this cluster that has the watcher's address, empty if none has.
func (l Local) NodeOf(watcher ceph.Watcher) string {
	address, err := ceph.ParseAddress(watcher.Addr)
	if err != nil {
		return ""
	}
	return l.nodeAt(address)
}

// nodeAt returns a node with that address, one that uses the volume if there is
// one: nothing keeps two Node objects from having equal addresses.
func (l Local) nodeAt(address netip.Addr) string {
	found := ""
	for name, addresses := range l.Nodes {
		if !slices.Contains(addresses, address) {
			continue
		}
		if slices.Contains(l.Using, name) {
			return name
		}
		if found == "" || name < found {
			found = name
		}
	}
	return found
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// IsExempt reports whether the watcher is a daemon whose watches never count.
func (l Local) IsExempt(watcher ceph.Watcher) bool {
	address, err := ceph.ParseAddress(watcher.Addr)
	return err == nil && contains(l.Exempt, address)
}

// Local returns what the source says about a volume. A cache has to know the watchers that
// are to be explained. Pods matter only for drivers without attachments.
func (g *Gatherer) Local(ctx context.Context, source Source, volume volumes.Volume, watchers ...ceph.Watcher) (Local, error) {
	state, err := read(ctx, source, nil, volume)
	if err != nil {
		return Local{}, err
	}
	if err := state.readAt(ctx, watchers); err != nil {
		return Local{}, err
	}
	local, _, err := g.local(ctx, source, state, volume, source.Cached)
	return local, err
}

// local is what the state says about a volume, and the uses that it shows. If confirm, the
// attachments are those of the state that the API server has.
func (g *Gatherer) local(ctx context.Context, source Source, state *state, volume volumes.Volume, confirm bool) (Local, []Use, error) {
	local := Local{Nodes: state.addresses, CIDRs: g.CIDRs, Exempt: g.Exempt}
	attached, err := g.attached(ctx, state, volume.PV.Name, confirm)
	if err != nil {
		return Local{}, nil, err
	}
	var uses []Use
	for _, attachment := range attached {
		use := Use{
			Node: attachment.Spec.NodeName, What: "volumeattachment " + attachment.Name,
			Object: attachment.Name, Begun: attachment.CreationTimestamp.Time,
		}
		if attachment.DeletionTimestamp != nil {
			use.Ends = attachment.DeletionTimestamp.Time
		}
		if failed := attachment.Status.DetachError; failed != nil {
			use.Trouble = strings.Join(strings.Fields(failed.Message), " ")
		}
		uses = append(uses, use)
	}
	for _, node := range state.reporting(volumes.InUse(volume.PV.Spec.CSI)) {
		uses = append(uses, Use{Node: node, What: fmt.Sprintf("status.volumesInUse of node %s (volume %s; kubelet takes it away when it has unmapped it)", node, volume.PV.Name)})
	}
	required, err := state.attachRequired(ctx, volume.PV.Spec.CSI.Driver)
	if err != nil {
		return Local{}, nil, err
	}
	if !required {
		if confirm {
			source = g.Live()
		}
		local.Using, err = g.scheduledNodes(ctx, source, state, volume)
		return local, uses, err
	}
	for _, attachment := range attached {
		local.Using = append(local.Using, attachment.Spec.NodeName)
	}
	return local, uses, nil
}

// attached are the VolumeAttachments of the PV. One that is being deleted counts: the
// node still may have the image mapped. One that is gone does not: where it explains a
// watcher, what a cache has of this PV is confirmed with the API server, because a cache that
// lags must not.
func (g *Gatherer) attached(ctx context.Context, state *state, pv string, confirm bool) ([]storagev1.VolumeAttachment, error) {
	found := state.attachmentsOf(pv)
	if !confirm {
		return found, nil
	}
	var confirmed []storagev1.VolumeAttachment
	for _, attachment := range found {
		var present storagev1.VolumeAttachment
		err := g.API.Get(ctx, client.ObjectKey{Name: attachment.Name}, &present)
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read VolumeAttachment %s: %w", attachment.Name, err)
		}
		confirmed = append(confirmed, present)
	}
	return confirmed, nil
}

// Attachments are the VolumeAttachments of a PersistentVolume that the reader has.
func Attachments(ctx context.Context, reader client.Reader, pv string) ([]storagev1.VolumeAttachment, error) {
	var all storagev1.VolumeAttachmentList
	if err := reader.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list VolumeAttachments: %w", err)
	}
	return attachmentsOf(all.Items, pv), nil
}

func attachmentsOf(all []storagev1.VolumeAttachment, pv string) []storagev1.VolumeAttachment {
	var found []storagev1.VolumeAttachment
	for _, attachment := range all {
		if VolumeOf(&attachment) == pv {
			found = append(found, attachment)
		}
	}
	return found
}

// VolumeOf is the name of the PersistentVolume that is attached; empty for an inline
// volume.
func VolumeOf(attachment *storagev1.VolumeAttachment) string {
	if name := attachment.Spec.Source.PersistentVolumeName; name != nil {
		return *name
	}
	return ""
}

// AttachRequired reports whether volumes of the driver are attached to nodes, which is
// the default, also for the driver of an orphan, which a person does not name.
func AttachRequired(ctx context.Context, reader client.Reader, name string) (bool, error) {
	if name == "" {
		return true, nil
	}
	var driver storagev1.CSIDriver
	err := reader.Get(ctx, client.ObjectKey{Name: name}, &driver)
	if apierrors.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("read CSIDriver %s: %w", name, err)
	}
	return driver.Spec.AttachRequired == nil || *driver.Spec.AttachRequired, nil
}

// scheduledNodes are the nodes with a pod that uses the volume's claim.
func (g *Gatherer) scheduledNodes(ctx context.Context, source Source, state *state, volume volumes.Volume) ([]string, error) {
	list := func(ctx context.Context, volume volumes.Volume) ([]corev1.Pod, error) {
		return g.Pods(ctx, source, volume)
	}
	if state.index != nil {
		list = state.index.pods
	}
	pods, err := list(ctx, volume)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, pod := range pods {
		if pod.Spec.NodeName != "" {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	return nodes, nil
}
