package usage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/slim"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// state are the nodes and attachments of a cluster, as they were read: of the API server
// all that matter, of a cache what its indexes have about some volumes and watchers.
type state struct {
	source      Source
	nodes       []corev1.Node
	attachments []storagev1.VolumeAttachment
	// addresses are those of the nodes, by their names.
	addresses map[string][]netip.Addr
	// index is there if many volumes are asked about, see [Overview].
	index *index
}

// read reads what is about the volumes. Of the API server it keeps all nodes, and the
// attachments that are strays if now is all that there is.
func read(ctx context.Context, source Source, now *volumesNow, all ...volumes.Volume) (*state, error) {
	s := &state{source: source, addresses: map[string][]netip.Addr{}}
	if !source.Cached {
		if err := s.listNodes(ctx); err != nil {
			return nil, err
		}
		return s, s.listAttachments(ctx, func(attachment *storagev1.VolumeAttachment) bool {
			name := VolumeOf(attachment)
			return now != nil && !now.names[name] || slices.ContainsFunc(all, func(v volumes.Volume) bool { return v.PV.Name == name })
		})
	}
	for _, volume := range all {
		if err := s.listNodes(ctx, client.MatchingFields{byVolumeInUse: string(volumes.InUse(volume.PV.Spec.CSI))}); err != nil {
			return nil, err
		}
		if err := s.listAttachments(ctx, nil, client.MatchingFields{byVolume: volume.PV.Name}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readAt reads what a cache has of the nodes with the watchers' addresses.
func (s *state) readAt(ctx context.Context, watchers []ceph.Watcher) error {
	if !s.source.Cached {
		return nil
	}
	for _, watcher := range watchers {
		address, err := ceph.ParseAddress(watcher.Addr)
		if err != nil {
			continue // it is foreign
		}
		if err := s.listNodes(ctx, client.MatchingFields{byAddress: address.String()}); err != nil {
			return err
		}
	}
	return nil
}

// wholeState has all nodes and attachments.
func wholeState(ctx context.Context, source Source) (*state, error) {
	s := &state{source: source, addresses: map[string][]netip.Addr{}}
	if err := errors.Join(s.listNodes(ctx), s.listAttachments(ctx, nil)); err != nil {
		return nil, err
	}
	return s, nil
}

// listNodes copies nothing out of a cache: what it has is only looked at.
func (s *state) listNodes(ctx context.Context, options ...client.ListOption) error {
	err := EachPage(ctx, s.source, func(list *corev1.NodeList) {
		if s.source.Cached {
			s.add(list.Items...)
			return
		}
		for _, node := range list.Items {
			slim.Node(&node)
			s.add(node)
		}
	}, append(options, client.UnsafeDisableDeepCopy)...)
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	return nil
}

// listAttachments keeps those that matter: without a function, all.
func (s *state) listAttachments(ctx context.Context, matters func(*storagev1.VolumeAttachment) bool, options ...client.ListOption) error {
	err := EachPage(ctx, s.source, func(list *storagev1.VolumeAttachmentList) {
		for i := range list.Items {
			if matters == nil || matters(&list.Items[i]) {
				s.attachments = append(s.attachments, list.Items[i])
			}
		}
	}, append(options, client.UnsafeDisableDeepCopy)...)
	if err != nil {
		return fmt.Errorf("list VolumeAttachments: %w", err)
	}
	return nil
}

// add adds the nodes that are not known yet.
func (s *state) add(nodes ...corev1.Node) {
	for i := range nodes {
		if _, known := s.addresses[nodes[i].Name]; !known {
			s.nodes = append(s.nodes, nodes[i])
			s.addresses[nodes[i].Name] = Addresses(&nodes[i])
		}
	}
}

// node is the node of that name as records name it; of one without a Node object nothing
// more is known.
func (s *state) node(ctx context.Context, name string) (ceph.Node, error) {
	if _, known := s.addresses[name]; !known && s.source.Cached {
		var node corev1.Node
		err := s.source.Get(ctx, client.ObjectKey{Name: name}, &node)
		if client.IgnoreNotFound(err) != nil {
			return ceph.Node{}, fmt.Errorf("read node %s: %w", name, err)
		} else if err == nil {
			s.add(node)
		}
	}
	for i := range s.nodes {
		if s.nodes[i].Name == name {
			return RecordedNode(&s.nodes[i]), nil
		}
	}
	return ceph.Node{Name: name}, nil
}

// reporting are the nodes whose status.volumesInUse has that name.
func (s *state) reporting(name corev1.UniqueVolumeName) []string {
	if s.index != nil {
		return s.index.reporting[name]
	}
	var all []string
	for i := range s.nodes {
		if slices.Contains(s.nodes[i].Status.VolumesInUse, name) {
			all = append(all, s.nodes[i].Name)
		}
	}
	return all
}

func (s *state) attachmentsOf(pv string) []storagev1.VolumeAttachment {
	if s.index != nil {
		return s.index.attached[pv]
	}
	return attachmentsOf(s.attachments, pv)
}

func (s *state) attachRequired(ctx context.Context, driver string) (bool, error) {
	if s.index != nil {
		return s.index.attachRequired(ctx, driver)
	}
	return AttachRequired(ctx, s.source, driver)
}
