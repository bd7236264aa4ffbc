package keeper

import (
	"context"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// see gathers what this cluster does with the image of a volume, as reader has it, in
// the order that [ownership.Seen] asks for. Pods and watchers are never cached.
func (k *Keeper) see(ctx context.Context, reader client.Reader, storage guard.Ceph, volume volumes.Volume, image ceph.Image, record ceph.Record) (ownership.Seen, error) {
	// Another volume may have the same image, for another claim.
	all, err := k.Finder.SameImage(ctx, volume)
	if err != nil {
		return ownership.Seen{}, err
	}
	ours := ownership.Owns(record, k.Cluster)
	var seen ownership.Seen
	bound := map[string]bool{}
	if ours {
		for _, v := range all {
			pods, err := guard.PodsUsing(ctx, k.Finder.API, v)
			if err != nil {
				return ownership.Seen{}, err
			}
			for _, pod := range pods {
				seen.Pods = append(seen.Pods, string(pod.UID))
				seen.Unbound = seen.Unbound || pod.Spec.NodeName == ""
				bound[pod.Spec.NodeName] = true
			}
		}
	}
	locals := make([]guard.Local, len(all))
	for i, v := range all {
		if locals[i], err = k.Local(ctx, reader, v); err != nil {
			return ownership.Seen{}, err
		}
		for _, node := range slices.Concat(locals[i].Using, locals[i].Reporting) {
			bound[node] = true
		}
	}
	delete(bound, "")
	nodes, boots := locals[0].Nodes, locals[0].Boots
	for _, name := range slices.Sorted(maps.Keys(bound)) {
		seen.Attached = append(seen.Attached, guard.RecordedNode(name, nodes[name], boots[name]))
	}
	if !ours && len(seen.Attached) == 0 {
		// A standby cluster asks no more than that.
		return seen, nil
	}
	watchers, err := storage.Watchers(ctx, image.ImageSpec)
	if err != nil {
		return ownership.Seen{}, err
	}
	for _, watcher := range watchers {
		if locals[0].IsExempt(watcher) {
			continue
		}
		seen.Watchers = append(seen.Watchers, watcher.Addr)
		if slices.ContainsFunc(locals, func(l guard.Local) bool { return l.Unexplained(watcher) == "" }) {
			seen.Explained = append(seen.Explained, watcher.Addr)
		}
	}
	if ours {
		for _, node := range record.Owner.Nodes {
			if _, exists := nodes[node.Name]; !exists {
				seen.Lost = append(seen.Lost, node.Name)
			}
		}
	}
	return seen, nil
}
