package usage

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

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
	// Object is the pod as namespace/name, or the VolumeAttachment; empty for an entry in
	// status.volumesInUse.
	Object string
	// Begun is when the object was made, and Ends, unless zero, by when it should be gone: it is
	// being deleted. Trouble is why a VolumeAttachment is not detached, as Kubernetes says.
	Begun, Ends time.Time
	Trouble     string
}

// Evidence is what this cluster does with an image.
type Evidence struct {
	ownership.Seen
	// Uses are the same for people, pods first.
	Uses []Use
	// Foreign are the watchers that this cluster does not account for.
	Foreign []Foreign
	// Silent are the nodes among the users and the holders whose kubelet does not report, with
	// since when.
	Silent map[string]time.Time
	// Strays are uses whose PersistentVolume is gone, and that may be of this image. A cache is
	// not asked for them.
	Strays []Stray
}

// Foreign is a watcher that this cluster does not account for.
type Foreign struct {
	ceph.Watcher
	// Why is what is known about it, and Node the node of this cluster that has its address, if
	// one has.
	Why, Node string
}

// Seen gathers what this cluster does with the image of a volume, in the order that a
// proof of idleness needs: pods, nodes, watchers. If nothing of a cluster that does not own
// the image uses it, watchers are not asked for. They are never cached.
//
// What a cache says is taken as it is, but for a client that the record does not name yet:
// that one is explained by what the API server has.
func (g *Gatherer) Seen(ctx context.Context, source Source, storage ceph.WatcherLister, self ceph.Party, volume volumes.Volume, spec ceph.ImageSpec, record ceph.Record) (Evidence, error) {
	var evidence Evidence
	all, now, err := g.sameImage(ctx, source, volume)
	if err != nil {
		return Evidence{}, err
	}
	if evidence.Uses, err = g.pods(ctx, source, all); err != nil {
		return Evidence{}, err
	}
	state, err := read(ctx, source, now, all...)
	if err != nil {
		return Evidence{}, err
	}
	locals, uses, err := g.locals(ctx, source, state, all, false)
	if err != nil {
		return Evidence{}, err
	}
	if evidence.Uses, evidence.Seen, err = seen(ctx, append(evidence.Uses, uses...), locals, state); err != nil {
		return Evidence{}, err
	}
	if evidence.Cached = source.Cached; !source.Cached {
		if evidence.Strays, err = g.strays(ctx, state, now, volume); err != nil {
			return Evidence{}, err
		}
	}
	ours := ownership.Owns(record, self)
	if !ours && len(evidence.Pods) == 0 && len(evidence.Attached) == 0 {
		// A standby cluster asks no more than that.
		return evidence, nil
	}
	watchers, err := storage.Watchers(ctx, spec)
	if err != nil {
		return Evidence{}, err
	}
	if err := state.readAt(ctx, watchers); err != nil {
		return Evidence{}, err
	}
	evidence.Silent = silent(state.nodes, evidence.Attached)
	evidence.Watchers, evidence.Explained, evidence.Foreign = explained(locals, watchers)
	if source.Cached && !known(record, evidence.Explained) {
		if locals, _, err = g.locals(ctx, source, state, all, true); err != nil {
			return Evidence{}, err
		}
		evidence.Watchers, evidence.Explained, evidence.Foreign = explained(locals, watchers)
	}
	if ours {
		if source.Cached && slices.ContainsFunc(record.Owner.Nodes, func(n ceph.Node) bool { return !attached(evidence.Attached, n) }) {
			// Of a holder that is not seen to use the image, any node may say that its boot is over.
			if err := state.listNodes(ctx); err != nil {
				return Evidence{}, err
			}
		}
		evidence.Present = present(record.Owner.Nodes, state.nodes)
		evidence.Silent = silent(state.nodes, evidence.Attached, record.Owner.Nodes)
	}
	return evidence, nil
}

// locals are what the state says about each of the volumes.
func (g *Gatherer) locals(ctx context.Context, source Source, state *state, all []volumes.Volume, confirm bool) ([]Local, []Use, error) {
	locals := make([]Local, len(all))
	var uses []Use
	for i, v := range all {
		local, of, err := g.local(ctx, source, state, v, confirm)
		if err != nil {
			return nil, nil, err
		}
		locals[i], uses = local, append(uses, of...)
	}
	return locals, uses, nil
}

// silent are those of the nodes that do not report, by their names.
func silent(present []corev1.Node, wanted ...[]ceph.Node) map[string]time.Time {
	var all map[string]time.Time
	for i := range present {
		since, is := SilentSince(&present[i])
		if !is || !slices.ContainsFunc(slices.Concat(wanted...), func(n ceph.Node) bool { return n.Name == present[i].Name }) {
			continue
		}
		if all == nil {
			all = map[string]time.Time{}
		}
		all[present[i].Name] = since
	}
	return all
}

// SilentSince returns since when a node's kubelet does not report, if it does not. One that
// reports that it is not ready lives, and so may its containers.
func SilentSince(node *corev1.Node) (time.Time, bool) {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionUnknown {
			return condition.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// explained are the addresses of the watchers that count, and of those among them that this
// cluster accounts for; and the others.
func explained(locals []Local, watchers []ceph.Watcher) (all, ours []string, foreign []Foreign) {
	for _, watcher := range watchers {
		if locals[0].IsExempt(watcher) {
			continue
		}
		all = append(all, watcher.Addr)
		if slices.ContainsFunc(locals, func(l Local) bool { return l.Unexplained(watcher) == "" }) {
			ours = append(ours, watcher.Addr)
			continue
		}
		foreign = append(foreign, Foreign{watcher, locals[0].Unexplained(watcher), locals[0].NodeOf(watcher)})
	}
	return all, ours, foreign
}

// known reports whether the record has all of the clients.
func known(record ceph.Record, clients []string) bool {
	if record.Owner == nil {
		return len(clients) == 0
	}
	instances := record.Owner.Instances()
	return !slices.ContainsFunc(clients, func(c string) bool { return !slices.Contains(instances, c) })
}

func attached(nodes []ceph.Node, holder ceph.Node) bool {
	return slices.ContainsFunc(nodes, func(n ceph.Node) bool { return ownership.Same(holder, n) })
}

// present are the nodes that may say something about the holders.
func present(holders []ceph.Node, nodes []corev1.Node) []ownership.Present {
	var all []ownership.Present
	for i := range nodes {
		if !mayConcern(holders, &nodes[i]) {
			continue // of thousands, almost all
		}
		node := recordedAmong(nodes, i)
		if slices.ContainsFunc(holders, func(holder ceph.Node) bool { return ownership.Concerns(holder, node) }) {
			all = append(all, ownership.Present{Node: node, Reports: len(nodes[i].Status.VolumesInUse) > 0})
		}
	}
	return all
}

// mayConcern reports whether [ownership.Concerns] may hold for a holder and the node.
func mayConcern(holders []ceph.Node, node *corev1.Node) bool {
	info := &node.Status.NodeInfo
	return slices.ContainsFunc(holders, func(h ceph.Node) bool {
		return h.Name == node.Name || h.UID == string(node.UID) || h.BootID == info.BootID || h.MachineID == info.MachineID
	})
}

// seen is what the uses say, each of which is taken once.
func seen(ctx context.Context, uses []Use, locals []Local, state *state) ([]Use, ownership.Seen, error) {
	var seen ownership.Seen
	uses = once(uses)
	var nodes []string
	for _, use := range uses {
		nodes = append(nodes, use.Node)
		if use.Pod != "" {
			seen.Pods = append(seen.Pods, use.Pod)
			if use.Node == "" {
				seen.Unbound = append(seen.Unbound, use.Pod)
			}
		}
	}
	for _, local := range locals {
		nodes = append(nodes, local.Using...)
	}
	slices.Sort(nodes)
	for _, name := range slices.Compact(nodes) {
		if name == "" {
			continue
		}
		node, err := state.node(ctx, name)
		if err != nil {
			return nil, ownership.Seen{}, err
		}
		seen.Attached = append(seen.Attached, node)
	}
	return uses, seen, nil
}

// once is each of the uses once.
func once(uses []Use) []Use {
	var all []Use
	for _, use := range uses {
		if !slices.Contains(all, use) {
			all = append(all, use)
		}
	}
	return all
}

// pods are the uses that are pods.
func (g *Gatherer) pods(ctx context.Context, source Source, all []volumes.Volume) ([]Use, error) {
	var uses []Use
	for _, v := range all {
		pods, err := g.Pods(ctx, source, v)
		if err != nil {
			return nil, err
		}
		for _, pod := range pods {
			use := Use{
				Node: pod.Spec.NodeName, What: "pod " + pod.Namespace + "/" + pod.Name, Pod: string(pod.UID),
				Object: pod.Namespace + "/" + pod.Name, Begun: pod.CreationTimestamp.Time,
			}
			if pod.DeletionTimestamp != nil {
				use.Ends = pod.DeletionTimestamp.Time
			}
			uses = append(uses, use)
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
	uses, err := g.pods(ctx, source, all)
	if err != nil {
		return nil, err
	}
	state, err := read(ctx, source, nil, all...)
	if err != nil {
		return nil, err
	}
	_, more, err := g.locals(ctx, source, state, all, false)
	if err != nil {
		return nil, err
	}
	return once(append(uses, more...)), nil
}
