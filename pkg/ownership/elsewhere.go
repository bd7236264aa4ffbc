package ownership

import (
	"net/netip"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Rival is a boot of the owner that may write to an image besides the node where a pod goes.
type Rival struct {
	ceph.Node
	// Why is for people.
	Why string
	// AddressOf is the node that has an address of the boot now, and would be cut off with it: the
	// machine was reinstalled, or replaced. Empty if none has.
	AddressOf string
}

// Rivals lists the boots of the owner that may have the image mapped, apart from those in at,
// where a pod goes. seen is what the API server shows, gathered after the record was read; a
// VolumeAttachment that is gone proves nothing, because Kubernetes takes it away by force: a
// boot counts until [Keep] would take it out of the record.
//
// A binding that was admitted and is not stored yet is at no node. So while a pod other than
// this one may be bound, no holder counts as one that has let go.
func Rivals(record ceph.Record, pod string, at []ceph.Node, seen Seen) []Rival {
	if record.Owner == nil {
		return nil
	}
	here := func(node ceph.Node) bool {
		return slices.ContainsFunc(at, func(n ceph.Node) bool { return Same(node, n) })
	}
	inFlight := slices.ContainsFunc(record.Unbound, func(p string) bool {
		return p != pod && (slices.Contains(seen.Unbound, p) || slices.Contains(record.Pending, p) && !slices.Contains(seen.Pods, p))
	})
	var all []Rival
	for _, holder := range record.Owner.Nodes {
		switch why := held(holder, seen.Present); {
		case here(holder):
		case seen.uses(holder):
			all = append(all, Rival{Node: holder, Why: "node " + holder.Name + " has not reported that it has unmapped the volume"})
		case why != "":
			all = append(all, Rival{Node: holder, Why: why})
		case inFlight:
			all = append(all, Rival{Node: holder, Why: "another pod of the claim has no node yet, and may get node " + holder.Name})
		}
	}
	for _, node := range seen.Attached {
		recorded := slices.ContainsFunc(record.Owner.Nodes, func(h ceph.Node) bool { return Same(h, node) })
		if !recorded && !here(node) {
			all = append(all, Rival{Node: node, Why: "node " + node.Name + " uses the volume, and the record does not name it yet"})
		}
	}
	for i := range all {
		all[i].AddressOf = addressOf(all[i].Node, seen.Present)
	}
	return all
}

// addressOf is the node of another machine, or of one not known to be the same, that has an
// address of the boot now.
func addressOf(boot ceph.Node, present []Present) string {
	for _, now := range present {
		if !Same(boot, now.Node) && !IsOver(boot, now.Node) && slices.ContainsFunc(now.IPs(), func(a netip.Addr) bool { return slices.Contains(boot.IPs(), a) }) {
			return now.Name
		}
	}
	return ""
}

// IsCutOff reports whether the blocklist, which has these entries, keeps a boot from Ceph for
// good: whatever comes from its addresses, and each client of it that was seen. Of a boot
// without an address nobody can say so.
func IsCutOff(node ceph.Node, entries []ceph.BlocklistEntry, now time.Time) bool {
	addresses := node.IPs()
	if len(addresses) == 0 || len(addresses) < len(node.Addresses) {
		return false
	}
	addrs := slices.Clone(node.Clients)
	for _, address := range addresses {
		addrs = append(addrs, netip.AddrPortFrom(address.Unmap(), 0).String()+"/0")
	}
	return !slices.ContainsFunc(addrs, func(addr string) bool { return !isListed(addr, entries, now) })
}

// isListed reports whether an entry that lasts covers the address.
func isListed(addr string, entries []ceph.BlocklistEntry, now time.Time) bool {
	return slices.ContainsFunc(entries, func(e ceph.BlocklistEntry) bool {
		return e.Covers(addr) && e.IsForGood(now)
	})
}
