package ownership

import (
	"reflect"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// NoteNodeFenced is the record in whose history stands that a person has cut a node of the owner
// off, by these addresses. Owner and holders stay: a fence ends nothing that Kubernetes shows.
func NoteNodeFenced(stored ceph.Record, taker Taker, fenced []string) ceph.Record {
	next := stored
	next.History = noted(stored.History, ceph.Change{
		At: taker.Now, Event: ceph.NodeFenced, Party: taker.Cluster, By: taker.By, Fenced: slices.Clone(fenced),
	})
	return next
}

// NoteFenced is the record that names these nodes as fenced besides those that it
// names already. It is written before they are put on the blocklist, so that no entry
// is forgotten.
func NoteFenced(stored ceph.Record, nodes []ceph.FencedNode) ceph.Record {
	next := stored
	next.Fenced = slices.Clone(stored.Fenced)
	for _, node := range nodes {
		if !containsNode(next.Fenced, node) {
			next.Fenced = append(next.Fenced, node)
		}
	}
	return next
}

// NoteLifted is the record without these nodes: their addresses are not on the
// blocklist any more.
func NoteLifted(stored ceph.Record, nodes []ceph.FencedNode) ceph.Record {
	next := stored
	next.Fenced = nil
	for _, node := range stored.Fenced {
		if !containsNode(nodes, node) {
			next.Fenced = append(next.Fenced, node)
		}
	}
	return next
}

// containsNode wants everything equal: after a reboot, a node is another one.
func containsNode(nodes []ceph.FencedNode, node ceph.FencedNode) bool {
	return slices.ContainsFunc(nodes, func(n ceph.FencedNode) bool { return reflect.DeepEqual(n, node) })
}
