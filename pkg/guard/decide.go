package guard

import (
	"net/netip"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Local is what this cluster knows about one volume and itself.
type Local struct {
	// Nodes are the nodes of this cluster with their addresses.
	Nodes map[string][]netip.Addr
	// CIDRs are further ranges from which nodes of this cluster reach Ceph.
	CIDRs []netip.Prefix
	// Exempt are the ranges of daemons such as rbd-mirror, whose watches never
	// count.
	Exempt []netip.Prefix
	// Using are the nodes where this cluster has a reason to have the image open:
	// those with a VolumeAttachment of the PV, or where the driver needs no
	// attachment, those with a pod that uses the claim.
	Using []string
}

// Foreign is a watcher that this cluster does not account for.
type Foreign struct {
	ceph.Watcher
	// Why says what is known about it, for people.
	Why string
}

// Verdict is the answer for one volume.
type Verdict struct {
	Allowed bool
	Reason  Reason
	// Foreign are the watchers that led to a refusal.
	Foreign []Foreign
}

// Reason is why, for yes as well as for no. It is a label of metrics.
type Reason string

// The reasons of decide.
const (
	NoWatcher       Reason = "no-watcher"
	OwnWatchers     Reason = "own-watchers"
	ForeignWatchers Reason = "foreign-watchers"
)

// decide is the guard's only source of yes and no.
//
//	watchers            result
//	none                allowed, no-watcher
//	all explained       allowed, own-watchers
//	any not explained   refused, foreign-watchers
//
// A watcher is explained if it is exempt; or if it comes from an address of a
// node of this cluster and this cluster uses the volume on that node; or from one
// of the further ranges of this cluster, and this cluster uses the volume on some
// node. An address alone explains nothing: two clusters behind NAT, or with equal
// private ranges, show equal addresses.
func decide(watchers []ceph.Watcher, local Local) Verdict {
	var foreign []Foreign
	for _, watcher := range watchers {
		if why := local.unexplained(watcher); why != "" {
			foreign = append(foreign, Foreign{watcher, why})
		}
	}
	switch {
	case len(foreign) > 0:
		return Verdict{Reason: ForeignWatchers, Foreign: foreign}
	case len(watchers) > 0:
		return Verdict{Allowed: true, Reason: OwnWatchers}
	default:
		return Verdict{Allowed: true, Reason: NoWatcher}
	}
}

// unexplained returns why the watcher is foreign, and nothing if it is not.
func (l Local) unexplained(watcher ceph.Watcher) string {
	address, err := ceph.ParseAddress(watcher.Addr)
	if err != nil {
		return "an address that cannot be read"
	}
	if contains(l.Exempt, address) {
		return ""
	}
	node := l.nodeAt(address)
	switch {
	case node != "" && slices.Contains(l.Using, node):
		return ""
	case node != "":
		return "the address of node " + node + ", which does not use the volume"
	case contains(l.CIDRs, address) && len(l.Using) > 0:
		return ""
	case contains(l.CIDRs, address):
		return "an address of this cluster, which uses the volume on no node"
	default:
		return "not a node of this cluster"
	}
}

// nodeAt returns a node with that address, one that uses the volume if there is
// one: nothing keeps two Node objects from having equal addresses.
func (l Local) nodeAt(address netip.Addr) string {
	found := ""
	for name, addresses := range l.Nodes {
		if !slices.Contains(addresses, address) {
			continue
		}
		if slices.Contains(l.Using, name) {
			return name
		}
		if found == "" || name < found {
			found = name
		}
	}
	return found
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}
