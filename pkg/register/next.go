package register

import (
	"bytes"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Open is what the records of this cluster's images leave open about its nodes.
type Open struct {
	// Any: a record has a pod without a node, or cannot be read, so that any node may have
	// an image mapped.
	Any bool
	// Holders are the nodes in the records. Of one that was gone when it was recorded,
	// nothing but the name stands there.
	Holders []ceph.Node
}

// OpenBy returns what the records leave open about the nodes of a cluster.
func OpenBy(records []ceph.RecordOf, cluster ceph.Party) Open {
	var open Open
	for _, of := range records {
		owner := of.Record.Owner
		switch {
		case of.Err != nil:
			open.Any = true
		case owner != nil && owner.UID == cluster.UID:
			open.Any = open.Any || len(of.Record.Unbound) > 0
			open.Holders = append(open.Holders, owner.Nodes...)
		}
	}
	return open
}

// Next returns the registration of this cluster after the stored one, the zero one if there
// is none, and whether it says something else. present are the nodes that have a Node
// object, as the API server has them if one of the stored nodes is not among them.
//
//	registered boot                                        stays
//	its Node object is there                               yes, with all addresses of the boot
//	its machine runs another boot                          no
//	its Node object is gone, and open says that the node   yes
//	may have an image mapped
//	its Node object is gone otherwise                      no: nothing can be bound to it
//	                                                       any more
func Next(stored ceph.Registration, self ceph.Party, version string, present []ceph.Node, open Open, now time.Time) (ceph.Registration, bool) {
	next := stored
	next.Party, next.Version, next.Nodes = self, version, nil
	for _, node := range stored.Nodes {
		gone := !there(node, present)
		held := open.Any || slices.ContainsFunc(open.Holders, func(h ceph.Node) bool { return h.Name == node.Name || ownership.Same(h, node) })
		if !isOver(node, present) && (!gone || held) {
			next.Nodes = append(next.Nodes, node)
		}
	}
	for _, node := range present {
		node.Clients = nil
		next.Nodes = ownership.WithBoot(next.Nodes, node)
	}
	changed := !bytes.Equal(next.Encode(), stored.Encode())
	next.Written = now.UTC().Truncate(time.Second)
	return next, changed
}

// missing reports whether a registered node is not among the present ones.
func missing(stored ceph.Registration, present []ceph.Node) bool {
	return slices.ContainsFunc(stored.Nodes, func(node ceph.Node) bool { return !there(node, present) })
}

// gone reports whether a registered node is not among the present ones, and its boot is not
// known to be over.
func gone(stored ceph.Registration, present []ceph.Node) bool {
	return slices.ContainsFunc(stored.Nodes, func(node ceph.Node) bool { return !there(node, present) && !isOver(node, present) })
}

func there(node ceph.Node, present []ceph.Node) bool {
	return slices.ContainsFunc(present, func(p ceph.Node) bool { return ownership.Same(node, p) })
}

func isOver(node ceph.Node, present []ceph.Node) bool {
	return slices.ContainsFunc(present, func(p ceph.Node) bool { return ownership.IsOver(node, p) })
}
