package guard

import (
	"net/netip"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Local is what this cluster knows about one volume and itself.
type Local struct {
	// Nodes are all nodes of this cluster with their addresses.
	Nodes map[string][]netip.Addr
	// Boots are their boot ids, see [ceph.Node].
	Boots map[string]string
	// CIDRs are further ranges from which nodes of this cluster reach Ceph.
	CIDRs []netip.Prefix
	// Exempt are the ranges of daemons such as rbd-mirror, whose watches never
	// count.
	Exempt []netip.Prefix
	// Using are the nodes where this cluster has a reason to have the image open:
	// those with a VolumeAttachment of the PV, or where the driver needs no
	// attachment, those with a pod that uses the claim.
	Using []string
	// Reporting are the nodes whose status.volumesInUse lists the volume. It explains
	// nothing; see [ownership.Seen].
	Reporting []string
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

// The reasons of [Decide].
const (
	NoWatcher       Reason = "no-watcher"
	OwnWatchers     Reason = "own-watchers"
	ForeignWatchers Reason = "foreign-watchers"
	// OwnedElsewhere: no foreign watcher, but another cluster is the owner.
	OwnedElsewhere Reason = "owned-elsewhere"
	// BeingFenced: no foreign watcher, but somebody is taking the image from its
	// owner.
	BeingFenced Reason = "being-fenced"
)

// Decide is the guard's only source of yes and no.
//
//	watchers            owner               result
//	any not explained   any                 refused, foreign-watchers
//	otherwise           being taken from    refused, being-fenced
//	otherwise           another cluster     refused, owned-elsewhere
//	all explained       this one or none    allowed, own-watchers
//	none                this one or none    allowed, no-watcher
//
// A watcher is explained if it is exempt; or if it comes from an address of a
// node of this cluster and this cluster uses the volume on that node; or from one
// of the further ranges of this cluster, and this cluster uses the volume on some
// node. An address alone explains nothing: two clusters behind NAT, or with equal
// private ranges, show equal addresses.
func Decide(watchers []ceph.Watcher, record ceph.Record, self ceph.Party, local Local) Verdict {
	var foreign []Foreign
	for _, watcher := range watchers {
		if why := local.Unexplained(watcher); why != "" {
			foreign = append(foreign, Foreign{watcher, why})
		}
	}
	switch {
	case len(foreign) > 0:
		return Verdict{Reason: ForeignWatchers, Foreign: foreign}
	case record.State == ceph.Fencing:
		return Verdict{Reason: BeingFenced}
	case record.Owner != nil && !ownership.Owns(record, self):
		return Verdict{Reason: OwnedElsewhere}
	case len(watchers) > 0:
		return Verdict{Allowed: true, Reason: OwnWatchers}
	default:
		return Verdict{Allowed: true, Reason: NoWatcher}
	}
}

// Unexplained returns why the watcher is foreign, and nothing if it is not.
func (l Local) Unexplained(watcher ceph.Watcher) string {
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

// IsExempt reports whether the watcher is a daemon whose watches never count.
func (l Local) IsExempt(watcher ceph.Watcher) bool {
	address, err := ceph.ParseAddress(watcher.Addr)
	return err == nil && contains(l.Exempt, address)
}
