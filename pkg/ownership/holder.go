package ownership

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Present is a node of this cluster as its Node object is now.
type Present struct {
	ceph.Node
	// Reports: its status.volumesInUse lists a volume, so its kubelet has found out what
	// it has mounted. One that has just started lists none, whatever is mounted.
	Reports bool
}

// sameBoot reports whether two nodes are the same boot of the same machine.
func sameBoot(a, b ceph.Node) bool { return a.BootID != "" && a.BootID == b.BootID }

// sameMachine reports whether two nodes are known to be the same machine, be it another
// boot or another name. Without the ids of both machines, one Node object that has kept
// an address is the same.
func sameMachine(a, b ceph.Node) bool {
	if a.MachineID != "" && b.MachineID != "" {
		return a.MachineID == b.MachineID && a.SystemUUID == b.SystemUUID
	}
	return a.UID != "" && a.UID == b.UID &&
		slices.ContainsFunc(a.Addresses, func(address string) bool { return slices.Contains(b.Addresses, address) })
}

// IsOver reports whether it is proven that the boot of a node is over: its machine runs
// another one now. Nothing that was mapped then writes any more. A name proves nothing.
func IsOver(recorded, now ceph.Node) bool {
	return recorded.BootID != "" && now.BootID != "" && recorded.BootID != now.BootID && sameMachine(recorded, now)
}

// Concerns reports whether what a node is now may say something about a recorded one.
func Concerns(recorded, now ceph.Node) bool {
	return recorded.Name == now.Name || sameBoot(recorded, now) || sameMachine(recorded, now)
}

// Doubt is what is missing for the proof that a holder has let go.
type Doubt string

// The doubts.
const (
	// NodeGone: its Node object is gone.
	NodeGone Doubt = "whose Node object is gone"
	// NodeAnew: its Node object was made anew, during the same boot.
	NodeAnew Doubt = "whose Node object was recreated, and lists no volume in use yet"
	// OtherMachine: the Node of its name may be another machine.
	OtherMachine Doubt = "and nothing proves that the Node of that name is the same machine"
	// BootUnknown: of the holder or of the Node of its name, the boot is not known.
	BootUnknown Doubt = "whose boot is not known"
)

// DoubtAbout returns why a holder that nothing shows to use the image may still have it mapped,
// or empty if it has not: its boot is over, or it reports volumes, and not this one.
//
// kubelet has a volume in status.volumesInUse before it maps it and until it has unmapped
// it, also over a restart of its own, because it keeps what the Node object lists until it
// has found out (pkg/kubelet/nodestatus: VolumesInUse). A Node object that was made anew
// lists nothing at first.
func DoubtAbout(holder ceph.Node, present []Present) Doubt {
	doubt := NodeGone
	for _, now := range present {
		switch {
		case IsOver(holder, now.Node):
			return ""
		case sameBoot(holder, now.Node) && (now.Reports || holder.UID != "" && holder.UID == now.UID):
			return ""
		case sameBoot(holder, now.Node):
			doubt = NodeAnew
		case holder.Name == now.Name && holder.BootID != "" && now.BootID != "":
			doubt = OtherMachine
		case holder.Name == now.Name:
			doubt = BootUnknown
		}
	}
	return doubt
}

// held is the doubt as a sentence, or empty.
func held(holder ceph.Node, present []Present) string {
	doubt := DoubtAbout(holder, present)
	if doubt == "" {
		return ""
	}
	return "it was on node " + holder.Name + ", " + string(doubt)
}

// Same reports whether a node is taken for a recorded one: it is that boot, or has its name
// where one of the two boots is not known.
func Same(recorded, node ceph.Node) bool {
	return sameBoot(recorded, node) || recorded.Name == node.Name && (recorded.BootID == "" || node.BootID == "")
}

// WithBoot returns the boots, sorted, and node. A boot that is among them already only
// gains addresses and clients. A node of which nothing but the name is known adds nothing
// to a boot of that name.
func WithBoot(boots []ceph.Node, node ceph.Node) []ceph.Node {
	i := slices.IndexFunc(boots, func(boot ceph.Node) bool { return Same(boot, node) })
	next := slices.Clone(boots)
	if i < 0 {
		next = append(next, node)
	} else {
		next[i] = united(next[i], node)
	}
	slices.SortFunc(next, func(a, b ceph.Node) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.BootID, b.BootID))
	})
	return next
}

// united is one boot that was seen twice. The UID stays the first: what that Node object
// says of volumes in use has been true all along.
func united(recorded, now ceph.Node) ceph.Node {
	if recorded.BootID == "" && now.BootID != "" {
		// It was recorded by its name. Which Node object that was, nobody knows.
		recorded.BootID, recorded.MachineID, recorded.SystemUUID = now.BootID, now.MachineID, now.SystemUUID
	}
	recorded.UID = cmp.Or(recorded.UID, now.UID)
	recorded.MachineID, recorded.SystemUUID = cmp.Or(recorded.MachineID, now.MachineID), cmp.Or(recorded.SystemUUID, now.SystemUUID)
	recorded.Addresses = union(recorded.Addresses, now.Addresses)
	recorded.Clients = union(recorded.Clients, now.Clients)
	return recorded
}

// union is first, and what more has besides.
func union(first, more []string) []string {
	all := slices.Clone(first)
	for _, one := range more {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// assign notes client instances that this cluster accounts for, each at the holder from
// whose address it came. Where several have that address, as two boots of one machine, each
// gets it; where none has, the owner.
func assign(owner *ceph.Owner, clients []string) {
	owner.Nodes, owner.Clients = slices.Clone(owner.Nodes), slices.Clone(owner.Clients)
	for _, client := range clients {
		address, found := ip(client), slices.Contains(owner.Clients, client)
		for i := range owner.Nodes {
			if node := &owner.Nodes[i]; slices.Contains(node.Clients, client) {
				found = true
			}
		}
		if found {
			continue
		}
		for i := range owner.Nodes {
			if node := &owner.Nodes[i]; slices.Contains(node.Addresses, address) {
				node.Clients = append(slices.Clone(node.Clients), client)
				slices.Sort(node.Clients)
				found = true
			}
		}
		if !found {
			owner.Clients = append(owner.Clients, client)
			slices.Sort(owner.Clients)
		}
	}
}

// ip is the address without port and nonce, or all of it if that cannot be read.
func ip(client string) string {
	address, err := ceph.ParseAddress(client)
	if err != nil {
		return client
	}
	return address.String()
}
