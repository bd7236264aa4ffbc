package ownership

import (
	"slices"
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
	// Nodes are where pods go, once that is known: when one is bound, or when it is
	// created with a node's name.
	Nodes []ceph.Node
	// Unbound are the UIDs of pods on the image that have no node yet.
	Unbound []string
	// ClaimSize is the size for the record of an image that has none, in bytes.
	ClaimSize uint64
	// Exclusive says for such a record that clients map the image with krbd's option
	// exclusive.
	Exclusive bool
	// SCC is how OpenShift confines the pods of the namespace, nil if it does not, or if that
	// is not known.
	SCC *ceph.SCC
	// Renamer is the client instance that gives a keyed image the cluster's name next,
	// unless it has that.
	Renamer string
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
		next.Pending, next.Unbound, next.Named, next.Renamers = nil, nil, false, nil
		next.History = noted(stored.History, ceph.Change{At: request.Now, Event: ceph.Acquired, Party: request.Cluster})
	case stored.State == ceph.Held && Owns(stored, request.Cluster):
		owner := *stored.Owner
		owner.Party, owner.Namespace, owner.Claim = request.Cluster, request.Namespace, request.Claim
		next.Owner = &owner
	default:
		return ceph.Record{}, refuse(stored)
	}
	next = withRenamer(next, request.Renamer)
	next.Admissions++
	for _, node := range request.Nodes {
		next.Owner.Nodes = WithBoot(next.Owner.Nodes, node)
	}
	// The pod that was waited for is there.
	next.Pending = without(next.Pending, Awaited)
	if request.Pod != "" {
		next.Pending = noteUID(next.Pending, request.Pod)
	}
	for _, pod := range request.Unbound {
		next.Unbound = noteUID(next.Unbound, pod)
	}
	if request.SCC != nil {
		next.SCC = request.SCC
	}
	if stored.Revision == 0 {
		next.ClaimSize, next.Exclusive = request.ClaimSize, request.Exclusive
	}
	return next, nil
}

// maxPods bounds the pods that a record names as not seen, or as without a node.
const maxPods = 32

// What may stand for pods that a record does not name. No pod has such a UID.
const (
	// Many: there were more than a record names.
	Many = "many"
	// Awaited: a person has taken the image over and starts the workload next.
	Awaited = "awaited"
)

// noteUID adds a pod.
func noteUID(pods []string, pod string) []string {
	if slices.Contains(pods, pod) {
		return pods
	}
	next := append(slices.Clone(pods), pod)
	if len(next) <= maxPods {
		return next
	}
	return append([]string{Many}, next[len(next)-maxPods+1:]...)
}

func without(pods []string, pod string) []string {
	if !slices.Contains(pods, pod) {
		return pods
	}
	left := slices.DeleteFunc(slices.Clone(pods), func(p string) bool { return p == pod })
	if len(left) == 0 {
		return nil
	}
	return left
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
	next.History, next.SCC = before.History, before.SCC
	return freed(next)
}
