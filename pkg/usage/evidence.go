package usage

import (
	"context"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Use is a reason for which kubelet on a node has an image mapped or would map it.
type Use struct {
	// Node is empty for a pod that is not bound yet.
	Node string
	// What is for people, Pod the UID if it is one.
	What, Pod string
}

// Evidence is what this cluster does with an image.
type Evidence struct {
	ownership.Seen
	// Uses are the same for people, pods first.
	Uses []Use
	// Strays are uses whose PersistentVolume is gone, and that may be of this image. Only
	// [Gatherer.Live] is asked for them.
	Strays []Stray
}

// Seen gathers what this cluster does with the image of a volume, in the order that a
// proof of idleness needs: pods, nodes, watchers. Of an image that self does not own, pods
// are not asked for unless the source says so; and if nothing uses it, watchers are not
// either. Watchers are never cached.
func (g *Gatherer) Seen(ctx context.Context, source Source, storage ceph.WatcherLister, self ceph.Party, volume volumes.Volume, spec ceph.ImageSpec, record ceph.Record) (Evidence, error) {
	var evidence Evidence
	all, pvs, err := g.sameImage(ctx, source, volume)
	if err != nil {
		return Evidence{}, err
	}
	ours := ownership.Owns(record, self)
	if ours || source.Pods {
		if evidence.Uses, err = g.pods(ctx, all); err != nil {
			return Evidence{}, err
		}
	}
	state, err := read(ctx, source)
	if err != nil {
		return Evidence{}, err
	}
	locals := make([]Local, len(all))
	for i, v := range all {
		var uses []Use
		if locals[i], uses, err = g.local(ctx, source, state, v); err != nil {
			return Evidence{}, err
		}
		evidence.Uses = append(evidence.Uses, uses...)
	}
	if evidence.Uses, evidence.Seen = seen(evidence.Uses, locals); !source.Cached {
		if evidence.Strays, err = g.strays(ctx, state, pvs, volume); err != nil {
			return Evidence{}, err
		}
	}
	if !ours && len(evidence.Pods) == 0 && len(evidence.Attached) == 0 {
		// A standby cluster asks no more than that.
		return evidence, nil
	}
	watchers, err := storage.Watchers(ctx, spec)
	if err != nil {
		return Evidence{}, err
	}
	for _, watcher := range watchers {
		if locals[0].IsExempt(watcher) {
			continue
		}
		evidence.Watchers = append(evidence.Watchers, watcher.Addr)
		if slices.ContainsFunc(locals, func(l Local) bool { return l.Unexplained(watcher) == "" }) {
			evidence.Explained = append(evidence.Explained, watcher.Addr)
		}
	}
	if ours {
		for _, node := range record.Owner.Nodes {
			if _, exists := locals[0].Nodes[node.Name]; !exists {
				evidence.Lost = append(evidence.Lost, node.Name)
			}
		}
	}
	return evidence, nil
}

// seen is what the uses say, each of which is taken once.
func seen(uses []Use, locals []Local) ([]Use, ownership.Seen) {
	var seen ownership.Seen
	var once []Use
	var nodes []string
	for _, use := range uses {
		if slices.Contains(once, use) {
			continue
		}
		once, nodes = append(once, use), append(nodes, use.Node)
		if use.Pod != "" {
			seen.Pods = append(seen.Pods, use.Pod)
			seen.Unbound = seen.Unbound || use.Node == ""
		}
	}
	for _, local := range locals {
		nodes = append(nodes, local.Using...)
	}
	slices.Sort(nodes)
	for _, name := range slices.Compact(nodes) {
		if name != "" {
			seen.Attached = append(seen.Attached, RecordedNode(name, locals[0].Nodes[name], locals[0].Boots[name]))
		}
	}
	return once, seen
}

// pods are the uses that are pods.
func (g *Gatherer) pods(ctx context.Context, all []volumes.Volume) ([]Use, error) {
	var uses []Use
	for _, v := range all {
		pods, err := g.Pods(ctx, v)
		if err != nil {
			return nil, err
		}
		for _, pod := range pods {
			uses = append(uses, Use{pod.Spec.NodeName, "pod " + pod.Namespace + "/" + pod.Name, string(pod.UID)})
		}
	}
	return uses, nil
}

// Uses are those of a volume's image that the API server shows, pods first: without a
// pod nothing new begins.
func (g *Gatherer) Uses(ctx context.Context, volume volumes.Volume) ([]Use, error) {
	source := g.Live()
	all, _, err := g.sameImage(ctx, source, volume)
	if err != nil {
		return nil, err
	}
	uses, err := g.pods(ctx, all)
	if err != nil {
		return nil, err
	}
	state, err := read(ctx, source)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		_, more, err := g.local(ctx, source, state, v)
		if err != nil {
			return nil, err
		}
		uses = append(uses, more...)
	}
	uses, _ = seen(uses, []Local{{}})
	return uses, nil
}
