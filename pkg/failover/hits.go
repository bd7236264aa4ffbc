package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// collisions are the reasons why the fence would hit somebody else than the holder.
// Equal addresses are common: clusters behind one router, equal private ranges.
func (s Situation) collisions(fence Fence, holder ceph.Owner) []error {
	var all []error
	hits := func(address netip.Addr, whose string) {
		all = append(all, refuse(
			fmt.Sprintf("leave that machine out with --spare %s, if you know that no other client of cluster %s comes from there than those in the record", address, holder.Name),
			"the fence would cut off %s, which is %s", address, whose))
	}
	for _, addr := range fence.Machines {
		address, err := ceph.ParseAddress(addr)
		if err != nil {
			return []error{err}
		}
		if s.Self != "" && (ceph.BlocklistEntry{Addr: addr}).Covers(s.Self) {
			hits(address, "where this command runs")
		}
		if node := s.nodeAt(address); node != "" {
			hits(address, "node "+node+" of this cluster")
		} else if within(s.Local, address) {
			hits(address, "an address of this cluster")
		}
		var daemons []string
		for _, daemon := range s.Daemons {
			if daemon.Addr == address {
				daemons = append(daemons, daemon.Name)
			}
		}
		if len(daemons) > 0 {
			hits(address, strings.Join(unique(daemons), ", ")+" of Ceph itself")
		}
	}
	for _, other := range s.hit(fence) {
		owner := other.Record.Owner
		if owner.UID == holder.UID {
			continue
		}
		for _, client := range owner.Instances() {
			if slices.Contains(fence.Instances, client) {
				all = append(all, refuse("find out whose client that is; if cluster "+owner.Name+" is the dead one, name it with --from, or else one of the two records is wrong",
					"client %s is in the record of image %s too, which cluster %s owns", client, other.Image, owner.Name))
			} else if address, err := ceph.ParseAddress(client); err == nil && fence.covers(client) {
				hits(address, fmt.Sprintf("where cluster %s has image %s open", owner.Name, other.Image))
			}
		}
		for _, node := range owner.Nodes {
			for _, address := range node.IPs() {
				if fence.has(address) {
					hits(address, fmt.Sprintf("node %s of cluster %s, which owns image %s", node.Name, owner.Name, other.Image))
				}
			}
		}
	}
	return all
}

// carried are the other volumes of the holder that lose Ceph with the fence.
func (s Situation) carried(fence Fence, holder ceph.Owner) (carried []Carried, unknown []ceph.ImageSpec) {
	for _, image := range s.indexed().unread {
		if image.Base() != s.Image.Base() {
			unknown = append(unknown, image)
		}
	}
	for _, other := range s.hit(fence) {
		owner := other.Record.Owner
		if owner.UID != holder.UID {
			continue
		}
		var by []string
		for _, client := range owner.Instances() {
			if fence.covers(client) {
				by = append(by, client)
			}
		}
		for _, node := range owner.Nodes {
			for _, address := range node.IPs() {
				if fence.has(address) {
					by = append(by, machineOf(address))
				}
			}
		}
		if len(by) > 0 {
			carried = append(carried, Carried{other.Image, *owner, unique(by)})
		}
	}
	return carried, unknown
}

// nodeAt is the name of the node of this cluster with that address.
func (s Situation) nodeAt(address netip.Addr) string {
	for _, node := range s.Nodes {
		if slices.Contains(node.IPs(), address) {
			return node.Name
		}
	}
	return ""
}

func within(ranges []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(address) })
}
