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
	if !m.Lost[m.Nodes[n]] {
		return
	}
	plan, ok := m.lostPlan(s, n)
	if t := m.cutNode(s, n, plan.Fence); ok && t != s {
		m.emit(Step{fenceNode, int8(n), 0, 0}, t)
	}
}

// takeoverOfNode is a person who confirms what the leader then does, any time later, and again
// whenever it was interrupted: it makes the plan anew, and goes on if that cuts off nothing else.
func (m *Model) takeoverOfNode(s state, n int) {
	if !m.Objects[m.Nodes[n]] {
		return
	}
	plan, ok := m.lostPlan(s, n)
	if !ok {
		return
	}
	if parts := m.partsOf(plan, n, s.nodes[n].moved); parts != s.nodes[n].confirmed {
		t := s
		t.nodes[n].confirmed = parts
		m.emit(Step{confirmNode, int8(n), 0, 0}, t)
	}
	if s.nodes[n].confirmed == 0 || m.beyond(plan, s, n) != "" {
		return
	}
	t := m.cutNode(s, n, plan.Fence)
	if t == s {
		return
	}
	was, x := s.nodes[n], &t.nodes[n]
	// Until its Node object shows a boot, nobody can know of it.
	other := !was.stale && !was.gone && !was.replaced && !was.confirmed.has(confirmedBoot)
	client := x.instance != was.instance && !was.confirmed.has(confirmedClient|confirmedMachine)
	x.harmed = was.harmed || other || client
	m.emit(Step{takeNode, int8(n), 0, 0}, t)
}

// partsOf is what a plan cuts off of a node.
func (m *Model) partsOf(plan failover.Plan, n int, moved bool) confirmed {
	var parts confirmed
	cut := plan.Cut()
	for _, part := range []struct {
		of   confirmed
		in   []string
		text string
	}{
		{confirmedMachine, cut.Machines, machine(m.address(n))},
		{confirmedClient, cut.Instances, m.instance(n, false, moved)},
		{confirmedFormerClient, cut.Instances, m.instance(n, true, moved)},
		{confirmedBoot, cut.Boots, m.boot(n, false)},
		{confirmedFormerBoot, cut.Boots, m.boot(n, true)},
	} {
		if slices.Contains(part.in, part.text) {
			parts |= part.of
		}
	}
	return parts
}

// beyond is package failover's answer whether the plan is more than what was confirmed.
func (m *Model) beyond(plan failover.Plan, s state, n int) string {
	var cut failover.Cut
	x := s.nodes[n]
	add := func(to *[]string, text string, confirmed bool) {
		if confirmed {
			*to = append(*to, text)
		}
	}
	add(&cut.Machines, machine(m.address(n)), x.confirmed.has(confirmedMachine))
	add(&cut.Instances, m.instance(n, false, x.moved), x.confirmed.has(confirmedClient) || m.Without == Rule10Client)
	add(&cut.Instances, m.instance(n, true, x.moved), x.confirmed.has(confirmedFormerClient))
	add(&cut.Boots, m.boot(n, false), x.confirmed.has(confirmedBoot) || m.Without == Rule10Boot)
	add(&cut.Boots, m.boot(n, true), x.confirmed.has(confirmedFormerBoot))
	return plan.Beyond(cut)
}

// cutNode is the state when the fence is in force, for the node.
func (m *Model) cutNode(s state, n int, fence failover.Fence) state {
	x := &s.nodes[n]
	if slices.Contains(fence.Machines, machine(m.address(n))) {
		x.address = x.address.added(true)
	}
	if slices.Contains(fence.Instances, m.instance(n, false, x.moved)) && x.mount == mapped {
		x.instance = x.instance.added(true)
	}
	*x = x.reached()
	return s
}

// lostPlan is package failover's for a node that is lost, and whether there is something to do.
func (m *Model) lostPlan(s state, n int) (failover.Plan, bool) {
	c, x := m.Nodes[n], m.sees(s, m.Nodes[n])
	if !m.owns(s.record, c) {
		return failover.Plan{}, false
	}
	key := question{s.record, 'l', uint8(n), x.number()}
	plan, known := m.losses[key]
	if !known {
		plan = m.decideLost(s, n, x)
		m.losses[key] = plan
	}
	return plan, !plan.Done
}

func (m *Model) decideLost(s state, n int, x sight) failover.Plan {
	c, record := m.Nodes[n], m.records.all[s.record]
	record.Keyed, record.Private, record.Exclusive = true, true, m.Mapping == Exclusive
	situation := failover.Situation{Image: imageSpec, Record: record, Watchers: m.watchers(s)}
	for o, owner := range m.Nodes {
		if owner == c && x.lost>>o&1 == 0 {
			situation.Nodes = append(situation.Nodes, m.object(o, x.stale>>o&1 != 0, m))
		}
	}
	situation.Lost = failover.Lost{Exists: !s.nodes[n].gone, Node: m.object(n, x.stale>>n&1 != 0, m), Uses: x.attached>>n&1 != 0}
	wish := failover.Wish{Taker: ownership.Taker{Cluster: party(c), By: "ann"}, Lost: m.name(n)}
	plan, err := failover.Decide(situation, wish)
	if err != nil {
		plan = failover.Plan{Done: true}
	}
	return plan
}
