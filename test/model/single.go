package model

import (
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// alone: the guard lets a pod have this node. Another node of the cluster has let go of the image, or
// is cut off, see guard.alone. It asks nothing about an image that is mapped exclusively.
func (m *Model) alone(s state, c, n int, uid string) bool {
	return len(m.rivals(s, c, n, uid)) == 0
}

// rivals are those others.
func (m *Model) rivals(s state, c, n int, uid string) []ownership.Rival {
	if !m.Single || m.Mapping == Exclusive || m.Without == Rule9 || !m.owns(s.record, c) {
		return nil
	}
	record := m.records.all[s.record]
	x := m.sees(s, c)
	if m.Without == Rule9Attachment {
		for o := range m.Nodes {
			if !s.nodes[o].attached {
				x.attached &^= 1 << o
			}
		}
	}
	if m.Without == Rule9Flight {
		x.unbound, record.Pending = 0, nil
	}
	entries, now := m.entries(s)
	rivals := ownership.Rivals(record, uid, []ceph.Node{m.object(n, s.nodes[n].stale, m)}, m.seen(c, x, m))
	return slices.DeleteFunc(rivals, func(r ownership.Rival) bool {
		return ownership.IsCutOff(r.Node, entries, now)
	})
}

// entries are those of the blocklist that the OSDs know.
func (m *Model) entries(s state) (all []ceph.BlocklistEntry, now time.Time) {
	add := func(addr string, e entry) {
		until := now.Add(ceph.MaxFence)
		if e == hour {
			until = now.Add(time.Hour)
		}
		if e.effective() {
			all = append(all, ceph.BlocklistEntry{Addr: addr, Until: until})
		}
	}
	for n, x := range s.nodes[:len(m.Nodes)] {
		add(machine(m.address(n)), x.address)
		add(m.instance(n, false, x.moved), x.instance)
		if x.moved {
			add(machine(m.formerAddress(n)), x.former)
		}
	}
	return all, now
}

// attachable: no other node of the cluster has the volume attached.
func (m *Model) attachable(s state, n int) bool {
	if !m.Single || s.nodes[n].attached {
		return true
	}
	for o, c := range m.Nodes {
		if o != n && c == m.Nodes[n] && s.nodes[o].attached {
			return false
		}
	}
	return true
}

// lostNode is a person who cuts one node of a cluster off from the cluster's image, whether
// the node is lost or not. The OSDs know at once: who asks whether a node is cut off makes sure of
// that.
func (m *Model) lostNode(s state, n int) {
	c := m.Nodes[n]
	if !m.Lost[c] || !m.owns(s.record, c) {
		return
	}
	fence := m.lostFence(s, n)
	t := s
	x := &t.nodes[n]
	if slices.Contains(fence.Machines, machine(m.address(n))) {
		x.address = x.address.added(true)
	}
	if slices.Contains(fence.Instances, m.instance(n, false, x.moved)) && x.mount == mapped {
		x.instance = x.instance.added(true)
	}
	*x = x.reached()
	if t != s {
		m.emit(Step{fenceNode, int8(n), 0, 0}, t)
	}
}

// lostFence is what package failover puts on the blocklist for a node that is lost.
func (m *Model) lostFence(s state, n int) failover.Fence {
	c, x := m.Nodes[n], m.sees(s, m.Nodes[n])
	key := question{s.record, 'l', uint8(n), x.number()}
	if fence, known := m.fences[key]; known {
		return fence
	}
	record := m.records.all[s.record]
	record.Keyed, record.Private, record.Exclusive = true, true, m.Mapping == Exclusive
	situation := failover.Situation{Image: imageSpec, Record: record, Watchers: m.watchers(s)}
	situation.Lost = failover.Lost{Exists: !s.nodes[n].gone, Node: m.node(n), Uses: x.attached>>n&1 != 0}
	for o, owner := range m.Nodes {
		if owner == c {
			situation.Nodes = append(situation.Nodes, m.node(o))
		}
	}
	wish := failover.Wish{Taker: ownership.Taker{Cluster: party(c), By: "ann"}, Lost: m.name(n)}
	plan, err := failover.Decide(situation, wish)
	if err != nil || plan.Done {
		plan.Fence = failover.Fence{}
	}
	m.fences[key] = plan.Fence
	return plan.Fence
}
