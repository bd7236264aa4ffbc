package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// inexact is why the client instances in the record are not enough, so that their machines
// are cut off too, or empty. A client that nobody recorded can write to an image that is not
// mapped exclusively without having its lock, and when it is silent, without a watcher. If
// the image is not keyed, a machine may map it again, as another client. A client that the
// image shares with the other volumes of its node is no less than the machine: until that
// reboots, it can map nothing, and somebody has to be told.
//
// A boot that is over has nothing mapped.
func (s Situation) inexact(alive []ceph.Node) string {
	var unseen []string
	for _, node := range alive {
		if len(node.Clients) == 0 {
			unseen = append(unseen, node.Name)
		}
	}
	switch record := s.Record; {
	case !record.Keyed:
		return "the image does not carry its owner's name, so a machine could map it again as another client"
	case !record.Exclusive:
		return "the image is not mapped exclusively, so an unrecorded client could write unseen"
	case !record.Private:
		return "its mappings are not clients of their own, so fencing them cuts off the other volumes of their node as well"
	case len(record.Unbound) > 0:
		return pods(len(record.Unbound)) + " admitted, and the record does not say on which node"
	case len(record.Pending) > 0:
		return pods(len(record.Pending)) + " admitted, and the record does not say what came of it"
	case len(unseen) > 0:
		return "no client of node " + strings.Join(unseen, ", ") + " was seen"
	}
	return ""
}

// aliveInstances are the clients of the owner but those of boots that are over.
func (s Situation) aliveInstances() []string {
	owner := *s.Record.Owner
	owner.Nodes = s.alive(owner.Nodes)
	return owner.Instances()
}

// opened are the clients that have the image open, or its lock, which is all that a silent
// one has.
func (s Situation) opened() []ceph.Watcher {
	all := slices.Clone(s.Watchers)
	if s.Holder != nil {
		all = append(all, ceph.Watcher{Addr: s.Holder.Addr, Client: s.Holder.Client})
	}
	return slices.DeleteFunc(all, func(w ceph.Watcher) bool { return w.Addr == s.Self })
}

// theirs are the addresses of the plan's cluster, by its record and by the register,
// without those that this cluster, a third one, or Ceph has too, and those to spare.
func (s Situation) theirs(plan Plan) []netip.Addr {
	var all, known []netip.Addr
	from := func(into []netip.Addr, clients []string, nodes []ceph.Node) []netip.Addr {
		for _, client := range clients {
			if address, err := ceph.ParseAddress(client); err == nil {
				into = append(into, address)
			}
		}
		for _, node := range nodes {
			into = append(into, node.IPs()...)
		}
		return into
	}
	all = from(all, s.aliveInstances(), plan.Nodes)
	known = from(known, s.Explained, s.Nodes)
	for _, registration := range s.Clusters {
		if registration.UID == plan.From.UID {
			all = from(all, nil, s.alive(registration.Nodes))
		} else {
			known = from(known, nil, registration.Nodes)
		}
	}
	for _, daemon := range s.Daemons {
		known = append(known, daemon.Addr.Unmap())
	}
	others := map[netip.Addr]bool{}
	for _, address := range known {
		others[address] = true
	}
	all = slices.DeleteFunc(all, func(address netip.Addr) bool {
		return others[address] || s.isElsewhere(address, plan.From.UID) || slices.Contains(plan.Wish.Spare, address) ||
			within(s.Local, address) || within(s.Exempt, address)
	})
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// isTheirs reports whether a client comes from where only the dead cluster is.
func (p Plan) isTheirs(client string) bool {
	address, err := ceph.ParseAddress(client)
	return err == nil && ceph.CheckFence(client) == nil && slices.Contains(p.Theirs, address)
}

// OnlyThis reports whether nothing but this volume loses Ceph.
func (p Plan) OnlyThis() bool {
	return p.Exact && len(p.Fence.Machines) == 0 && len(p.Carried) == 0 && len(p.Unknown) == 0
}

// coverShort adds the machines of clients that are on the blocklist for a short time only,
// as Ceph puts there whose lock was taken over. Such an entry is replaced while another one
// covers the client, see [ceph.PlanFence].
func (s Situation) coverShort(plan *Plan) {
	alive := s.aliveInstances()
	for _, client := range plan.Fence.Instances {
		address, err := ceph.ParseAddress(client)
		if err != nil || plan.Fence.has(address) || slices.Contains(plan.Wish.Spare, address) {
			continue
		}
		if slices.Contains(s.Record.Owner.Instances(), client) && !slices.Contains(alive, client) {
			continue
		}
		i := slices.IndexFunc(s.Entries, func(e ceph.BlocklistEntry) bool { return e.Addr == client })
		if i < 0 {
			continue
		}
		if _, err := ceph.PlanFence(s.Entries, []string{client}, s.Now, ceph.MaxFence); !errors.Is(err, ceph.ErrFenceShort) {
			continue
		}
		plan.Fence.Machines = unique(append(slices.Clone(plan.Fence.Machines), machineOf(address)))
		why := fmt.Sprintf("client %s is on the blocklist until %s, and Ceph does not extend an entry unless another covers it", client, s.Entries[i].Until.UTC().Format(time.RFC3339))
		if plan.Exact = false; plan.Because != "" {
			why = plan.Because + "; " + why
		}
		plan.Because = why
	}
}

// refuseHolder is nil unless somebody whom the fence does not cut off has the image's lock.
// It may be silent, and write when it is back.
func (s Situation) refuseHolder(plan Plan) error {
	if s.Holder == nil || s.Holder.Addr == s.Self || plan.Fence.covers(s.Holder.Addr) {
		return nil
	}
	return refuse(
		"find out who that is; if it is a client of the dead cluster, add --also-fence "+s.Holder.Addr+"; if it is one of any other cluster, scale its workload down there",
		"client %s (%s) has the image's lock, and the record does not say that it is one of cluster %s", s.Holder.Addr, s.Holder.Client, plan.From.Name)
}

// checkKey refuses when the volume of this cluster would not lead to the image by the name
// that it would get.
func (s Situation) checkKey(cluster ceph.Party) error {
	if !s.Record.Keyed && s.Image.Key == "" {
		return nil
	}
	const anew = "recreate the volume's PersistentVolume with the volumeHandle "
	base := s.Image.Base().Name
	if !s.Record.Keyed {
		return refuse(anew+base, "the image does not carry its owner's name, and the volume of this cluster leads to %s", s.Image.Own())
	}
	for _, key := range s.Keys {
		if key.Name == s.Image.Key && key.UID != cluster.UID {
			return refuse(anew+ceph.JoinName(base, "KEY")+", with the key of this cluster",
				"the volume of this cluster leads to %s, which is the name for another cluster (uid %s)", s.Image.Own(), key.UID)
		}
	}
	if own := OwnKey(s.Keys, cluster); s.Image.Key != own {
		return refuse(anew+ceph.JoinName(base, own),
			"the volume of this cluster leads to %s, and the image would get the name %s", s.Image.Own(), ceph.JoinName(base, own))
	}
	return nil
}

// OwnKey is the key that the cluster has, or else would get.
func OwnKey(keys []ceph.Key, cluster ceph.Party) string {
	for _, key := range keys {
		if key.UID == cluster.UID {
			return key.Name
		}
	}
	return cluster.Name
}
