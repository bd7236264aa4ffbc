package planning

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/count"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/usage"
)

// On lists the claims of this cluster whose images one of its nodes may have mapped, by
// namespace and name: the API server shows a use there, or the record names the node. A claim
// whose record cannot be read is among them, because nobody knows; its plan says why.
func (p *Planner) On(ctx context.Context, node string, self ceph.Party) ([]types.NamespacedName, error) {
	all, err := p.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	overview, err := p.Usage.Overview(ctx)
	if err != nil {
		return nil, err
	}
	return claimsOf(ctx, all, func(found inventory.Found) bool {
		used, err := overview.IsUsedOn(ctx, found.Volume, node)
		return found.Err != nil || err != nil || used || p.mayHave(ctx, found, self, func(owner *ceph.Owner) bool {
			return owner.UID == self.UID && slices.ContainsFunc(owner.Nodes, func(n ceph.Node) bool { return n.Name == node })
		})
	})
}

// Knows reports whether there is a node of that name in this cluster: it has a Node object, or the record of
// one of the cluster's images names it. The error is why records could not be read, if none of
// the others names it.
func (p *Planner) Knows(ctx context.Context, node string, self ceph.Party) (bool, error) {
	nodes, err := p.Usage.Nodes(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == node }) {
		return true, nil
	}
	all, err := p.Volumes(ctx, "")
	if err != nil {
		return false, err
	}
	var failed unread
	for _, found := range all {
		record, err := p.recordOf(ctx, found, self)
		if err != nil {
			failed = append(failed, fmt.Errorf("volume %s/%s: %w", found.Namespace, found.Claim, err))
		}
		if owner := record.Owner; owner != nil && owner.UID == self.UID && slices.ContainsFunc(owner.Nodes, func(n ceph.Node) bool { return n.Name == node }) {
			return true, nil
		}
	}
	if len(failed) > 0 {
		return false, fmt.Errorf("look for node %s in the records: %w", node, failed)
	}
	return false, nil
}

// unread is why records of several volumes could not be read. Its text names the first few.
type unread []error

// unreadShown is how many volumes the text names.
const unreadShown = 3

func (u unread) Error() string {
	text := errors.Join(u[:min(len(u), unreadShown)]...).Error()
	if more := len(u) - unreadShown; more > 0 {
		text += "\nand " + count.Of(more, "more volume")
	}
	return text
}

// Unwrap is all of them: one that is an outage may be any of them.
func (u unread) Unwrap() []error { return u }

// recordOf is the record of a volume's image. That of an image that does not exist is empty.
func (p *Planner) recordOf(ctx context.Context, found inventory.Found, self ceph.Party) (ceph.Record, error) {
	if found.Err != nil {
		return ceph.Record{}, found.Err
	}
	storage, spec, err := p.Named(ctx, found.Volume, self)
	if err != nil {
		return ceph.Record{}, err
	}
	look, err := storage.Look(ctx, spec)
	if errors.Is(err, ceph.ErrImageNotFound) {
		return ceph.Record{}, nil
	}
	return look.Record, err
}

// UnknownNode refuses a name that may be misspelt.
func UnknownNode(name string) error {
	return &failover.Refusal{
		What: "this cluster has no Node object " + name + ", and no record of its volumes names it",
		Do:   "look at `kubectl get nodes` and `kubectl cephferry status`, and use the node's name from there",
	}
}

// lostAmong is the node of that name as the API server shows it.
func lostAmong(nodes []corev1.Node, name string) failover.Lost {
	lost := failover.Lost{Node: ceph.Node{Name: name}}
	for i, node := range usage.RecordedNodes(nodes) {
		if node.Name != name {
			continue
		}
		lost.Exists, lost.Node = true, node
		for _, condition := range nodes[i].Status.Conditions {
			lost.Reporting = lost.Reporting || condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionUnknown
		}
	}
	return lost
}

// nextLost is what a person does when a node of this cluster is cut off.
func nextLost(taken []Volume) string {
	name := taken[0].Plan.Wish.Lost
	text := fmt.Sprintf("Node %s can no longer write to these volumes. If pods are still bound to it, let Kubernetes move them: "+
		"kubectl taint node %s node.kubernetes.io/out-of-service=nodeshutdown:NoExecute. When the node is back, ", name, name)
	if machines := slices.ContainsFunc(taken, func(v Volume) bool { return len(v.Plan.Fence.Machines) > 0 }); machines {
		return text + fmt.Sprintf("reboot it and run `kubectl cephferry unfence %s`; then remove the taint.", name)
	}
	return text + "reboot it, or make sure that none of these volumes is mounted there; then remove the taint."
}
