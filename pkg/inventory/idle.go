package inventory

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Seen is what this cluster does with the image of a volume, in the order that a proof
// of idleness needs: pods, nodes, watchers. exempt watchers do not count. Besides, it
// returns the uses for people.
func (i *Inventory) Seen(ctx context.Context, volume volumes.Volume, record ceph.Record, exempt []netip.Prefix) (seen ownership.Seen, uses []string, err error) {
	var list corev1.PersistentVolumeList
	if err := i.API.List(ctx, &list); err != nil {
		return seen, nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	var nodes []string
	// Another volume may have the same image, for another claim.
	for _, same := range volumes.WithImageOf(volume, list.Items) {
		using, err := i.uses(ctx, same)
		if err != nil {
			return seen, nil, err
		}
		for _, use := range using {
			uses = append(uses, use.what)
			if use.pod != "" {
				seen.Pods = append(seen.Pods, use.pod)
				seen.Unbound = seen.Unbound || use.node == ""
			}
			if use.node != "" {
				nodes = append(nodes, use.node)
			}
		}
	}
	if volume.Orphan {
		strays, err := volumes.Strays(ctx, i.API)
		if err != nil {
			return seen, nil, err
		}
		for _, stray := range strays {
			uses, nodes = append(uses, stray.What), append(nodes, stray.Node)
		}
	}
	slices.Sort(nodes)
	for _, node := range slices.Compact(nodes) {
		seen.Attached = append(seen.Attached, ceph.Node{Name: node})
	}
	storage, spec, err := i.Image(ctx, volume)
	if err != nil {
		return seen, nil, err
	}
	watchers, err := storage.Watchers(ctx, spec)
	if err != nil {
		return seen, nil, err
	}
	for _, watcher := range watchers {
		address, err := ceph.ParseAddress(watcher.Addr)
		if err != nil || !slices.ContainsFunc(exempt, func(p netip.Prefix) bool { return p.Contains(address) }) {
			seen.Watchers = append(seen.Watchers, watcher.Addr)
		}
	}
	if record.Owner == nil {
		return seen, uses, nil
	}
	for _, holder := range record.Owner.Nodes {
		switch err := i.API.Get(ctx, client.ObjectKey{Name: holder.Name}, &corev1.Node{}); {
		case apierrors.IsNotFound(err):
			seen.Lost = append(seen.Lost, holder.Name)
		case err != nil:
			return seen, nil, err
		}
	}
	return seen, uses, nil
}
