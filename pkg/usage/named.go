package usage

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// mostNamed is how many nodes are read one by one; more are listed.
	mostNamed = 16
	// parallel bounds how many objects are read at a time.
	parallel = 8
)

// Named returns what the API server says of the nodes that may explain the watchers, each
// read by its name: those that the cache has at their addresses or with an attachment of the
// volume, and the holders, which the image's record names. It costs a few reads of single
// objects, however many nodes and attachments there are.
//
// What explains a watcher is so at the API server, as with [Gatherer.Live]. But of a node
// that neither cache nor record knows, nobody asks. So a refusal may be one too many for as
// long as the cache lags, and never an answer that allows.
func (g *Gatherer) Named(ctx context.Context, volume volumes.Volume, watchers []ceph.Watcher, holders []ceph.Node) (Local, error) {
	cached, err := read(ctx, g.Cached(), nil, volume)
	if err != nil {
		return Local{}, err
	}
	if err := cached.readAt(ctx, watchers); err != nil {
		return Local{}, err
	}
	csi := volume.PV.Spec.CSI
	var nodes, attachments []string
	for _, attachment := range cached.attachments {
		nodes, attachments = append(nodes, attachment.Spec.NodeName), append(attachments, attachment.Name)
	}
	for i := range cached.nodes {
		nodes = append(nodes, cached.nodes[i].Name)
	}
	for _, holder := range holders {
		nodes = append(nodes, holder.Name)
	}
	nodes = unique(nodes)
	if len(nodes) > mostNamed {
		return g.Local(ctx, g.Live(), volume, watchers...)
	}
	for _, node := range nodes {
		attachments = append(attachments, attachmentName(csi.VolumeHandle, csi.Driver, node))
	}
	now := &state{source: g.Live(), addresses: map[string][]netip.Addr{}}
	if err := now.readNamed(ctx, nodes, unique(attachments)); err != nil {
		return Local{}, err
	}
	local, _, err := g.local(ctx, now.source, now, volume, false)
	return local, err
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// readNamed reads nodes and attachments by their names, those that there are.
func (s *state) readNamed(ctx context.Context, nodes, attachments []string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	foundNodes, foundAttachments := make([]corev1.Node, len(nodes)), make([]storagev1.VolumeAttachment, len(attachments))
	get := func(name, what string, object client.Object) {
		group.Go(func() error {
			if err := s.source.Get(ctx, client.ObjectKey{Name: name}, object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("read %s %s: %w", what, name, err)
			}
			return nil
		})
	}
	for i, name := range nodes {
		get(name, "node", &foundNodes[i])
	}
	for i, name := range attachments {
		get(name, "VolumeAttachment", &foundAttachments[i])
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.add(slices.DeleteFunc(foundNodes, func(node corev1.Node) bool { return node.Name == "" })...)
	s.attachments = slices.DeleteFunc(foundAttachments, func(a storagev1.VolumeAttachment) bool { return a.Name == "" })
	return nil
}
