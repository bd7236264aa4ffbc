package ownership

import (
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Request asks to start a pod on an image.
type Request struct {
	// Cluster is the one that asks.
	Cluster ceph.Party
	// Namespace and Claim name the PVC there.
	Namespace, Claim string
	// Pod is the UID of the pod, which the API server will store after this; empty
	// for a pod that is stored already.
	Pod string
	// Node is where the pod goes, once that is known: when it is bound, or when it is
	// created with a node's name. Nil before.
	Node *ceph.Node
	// ClaimSize is the size for the record of an image that has none, in bytes.
	ClaimSize uint64
	// Exclusive says for such a record that clients map the image with krbd's option
	// exclusive.
	Exclusive bool
	// Now is for people.
	Now time.Time
}

// Acquire is the record after the request was granted, or a [*Refused].
//
//	state     owner     result
//	free      -         held by who asks; the epoch rises
//	held      the same  the same; the admissions rise
//	held      another   refused
//	fencing   any       refused
//
// The owner's own requests write, too: whoever proves meanwhile that the image is
// idle finds another record than the one that the proof was about. The caller has
// looked at the watchers after reading stored.
func Acquire(stored ceph.Record, request Request) (ceph.Record, error) {
	next := stored
	switch {
	case stored.State == ceph.Free:
		next.State = ceph.Held
		next.Epoch++
		next.Owner = &ceph.Owner{
			Party: request.Cluster, Namespace: request.Namespace, Claim: request.Claim, Since: seconds(request.Now),
		}
		next.Pending = nil
		next.History = noted(stored.History, ceph.Change{At: request.Now, Event: ceph.Acquired, Party: request.Cluster})
	case stored.State == ceph.Held && Owns(stored, request.Cluster):
		owner := *stored.Owner
		owner.Party, owner.Namespace, owner.Claim = request.Cluster, request.Namespace, request.Claim
		next.Owner = &owner
	default:
		return ceph.Record{}, refuse(stored)
	}
	next.Admissions++
	if request.Node != nil {
		next.Owner.Nodes = with(next.Owner.Nodes, *request.Node)
	}
	if request.Pod != "" {
		next.Pending = pend(stored.Pending, request.Pod)
	}
	if stored.Revision == 0 {
		next.ClaimSize, next.Exclusive = request.ClaimSize, request.Exclusive
	}
	return next, nil
}

// with is the nodes, sorted by name, with node as it is now. A node whose Node object
// is gone has no addresses any more, and is fenced by those that were recorded.
func with(nodes []ceph.Node, node ceph.Node) []ceph.Node {
	if i := slices.IndexFunc(nodes, func(n ceph.Node) bool { return n.Name == node.Name }); i >= 0 && len(node.Addresses) == 0 {
		return nodes
	}
	next := slices.DeleteFunc(slices.Clone(nodes), func(n ceph.Node) bool { return n.Name == node.Name })
	next = append(next, node)
	slices.SortFunc(next, func(a, b ceph.Node) int { return strings.Compare(a.Name, b.Name) })
	return next
}

// maxPending bounds the pods that a record keeps as not seen.
const maxPending = 32

// Many stands in a record's Pending for pods that are no longer named there. No pod
// has that UID, so only time takes it away, see [Keep].
const Many = "many"

// pend adds a pod to those that were not seen yet.
func pend(pending []string, pod string) []string {
	if slices.Contains(pending, pod) {
		return pending
	}
	next := append(slices.Clone(pending), pod)
	if len(next) <= maxPending {
		return next
	}
	return append([]string{Many}, next[len(next)-maxPending+1:]...)
}

// Owns reports whether the image is the cluster's.
func Owns(record ceph.Record, cluster ceph.Party) bool {
	return record.Owner != nil && record.Owner.UID == cluster.UID
}

// Undo is the record after Acquire took the image from free for a pod that does not
// start after all. It is for exactly the record that Acquire's caller has written:
// every later one may stand for another pod.
func Undo(written, before ceph.Record) ceph.Record {
	next := written
	next.State, next.Owner, next.Pending, next.History = ceph.Free, nil, nil, before.History
	return next
}
