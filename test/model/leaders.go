package model

import (
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// sight is what a leader saw, small: bits of pods and nodes. Watches of dead clients,
// and former addresses, are earlier bits higher.
type sight struct {
	pods, unbound, attached, watchers, explained, moved uint8
	// lost have no Node object, or that of another machine: replaced; or one that was made
	// anew, and whose kubelet has not reported: anew.
	// stale show the boot before.
	lost, replaced, anew, stale uint8
	quiet                       bool
	// cached: pods and nodes are from a cache.
	cached bool
}

const earlier = 4

func (x sight) number() uint64 {
	var n uint64
	// Watches and former addresses have two bits for each node.
	for _, bits := range []uint8{x.watchers, x.explained, x.moved} {
		n = n<<8 | uint64(bits)
	}
	for _, bits := range []uint8{x.pods, x.unbound, x.attached, x.lost, x.replaced, x.anew, x.stale} {
		n = n<<earlier | uint64(bits)
	}
	for _, yes := range []bool{x.quiet, x.cached} {
		n <<= 1
		if yes {
			n |= 1
		}
	}
	return n
}

// keep asks package ownership what a leader does.
func (m *Model) keep(id recordID, c int, x sight) answer {
	return m.records.ask(question{id, 'k', uint8(c), x.number()}, func(stored ceph.Record) (ceph.Record, ownership.Step, error) {
		seen := m.seen(c, x, m)
		next, step, _ := ownership.Keep(stored, request(c), seen)
		if m.Without == Rule3Grows {
			next = forgets(next, seen)
		}
		return next, step, nil
	})
}

// seen is what a leader saw, for package ownership.
func (m *Model) seen(c int, x sight, names names) ownership.Seen {
	seen := ownership.Seen{Quiet: x.quiet, Cached: x.cached}
	for p := range m.Pods {
		if x.pods>>p&1 != 0 {
			seen.Pods = append(seen.Pods, names.uid(c, p))
		}
		if x.unbound>>p&1 != 0 {
			seen.Unbound = append(seen.Unbound, m.noNode(names.uid(c, p))...)
		}
	}
	for n := range m.Nodes {
		if x.attached>>n&1 != 0 {
			seen.Attached = append(seen.Attached, m.object(n, x.stale>>n&1 != 0, names))
		}
		for _, dead := range []bool{false, true} {
			bit := n
			if dead {
				bit += earlier
			}
			client := names.instance(n, dead, x.moved>>n&1 != 0)
			if x.watchers>>bit&1 != 0 {
				seen.Watchers = append(seen.Watchers, client)
			}
			if x.explained>>bit&1 != 0 {
				seen.Explained = append(seen.Explained, client)
			}
		}
		if m.Nodes[n] == c && x.lost>>n&1 == 0 {
			seen.Present = append(seen.Present, m.present(n, x, names))
		}
	}
	return seen
}

// present is a Node object as it is now.
func (m *Model) present(n int, x sight, names names) ownership.Present {
	node := m.object(n, x.stale>>n&1 != 0, names)
	if x.anew>>n&1 != 0 && m.Without != Rule3Anew {
		node.UID = "made anew"
	}
	if x.replaced>>n&1 != 0 && m.Without != Rule3Machine {
		node.UID, node.BootID, node.MachineID = "of another", "another", "another"
	}
	return ownership.Present{Node: node}
}

// forgets is the record with the addresses and clients that its holders have now.
func forgets(record ceph.Record, seen ownership.Seen) ceph.Record {
	if record.Owner == nil {
		return record
	}
	owner := *record.Owner
	owner.Nodes = slices.Clone(owner.Nodes)
	for i := range owner.Nodes {
		node := &owner.Nodes[i]
		for _, now := range seen.Attached {
			if now.Name == node.Name {
				node.Addresses = now.Addresses
				node.Clients = slices.DeleteFunc(slices.Clone(node.Clients), func(client string) bool { return !slices.Contains(seen.Watchers, client) })
			}
		}
	}
	record.Owner = &owner
	return record
}

// sees is all that a leader can see at one moment.
func (m *Model) sees(s state, c int) sight {
	return m.seesPods(s, c).and(m.seesNodes(s, c)).and(m.seesWatchers(s, c))
}

func (x sight) and(y sight) sight {
	x.pods |= y.pods
	x.attached |= y.attached
	x.watchers |= y.watchers
	x.lost |= y.lost
	x.replaced |= y.replaced
	x.anew |= y.anew
	x.stale |= y.stale
	x.explained |= y.explained
	x.moved |= y.moved
	x.unbound |= y.unbound
	x.cached = x.cached || y.cached
	return x
}

func (m *Model) seesPods(s state, c int) (x sight) {
	for p := range m.Pods {
		if s.pods[c][p].phase >= stored || s.pods[c][p].binding {
			x.pods |= 1 << p
			if s.pods[c][p].phase < bound {
				x.unbound |= 1 << p
			}
		}
	}
	return x
}

func (m *Model) seesNodes(s state, c int) (x sight) {
	for n, owner := range m.Nodes {
		now := s.nodes[n]
		if owner == c && (now.attached || m.Without != Rule3InUse && (now.inUse || m.hasPod(s, n))) {
			x.attached |= 1 << n
		}
		if owner == c && now.gone && m.Without != Rule3Gone {
			x.lost |= 1 << n
		}
		if owner == c && now.replaced {
			x.replaced |= 1 << n
		}
		if owner == c && now.anew {
			x.anew |= 1 << n
		}
		if owner == c && now.stale {
			x.stale |= 1 << n
		}
	}
	return x
}

func (m *Model) seesWatchers(s state, c int) sight {
	key := m.watching(s, c)
	x, known := m.sights[key]
	if !known {
		x = m.accounts(s, c)
		m.sights[key] = x
	}
	return x
}

// accounts is what it sees of the watchers, and which of them the cluster explains.
func (m *Model) accounts(s state, c int) (x sight) {
	local := m.local(s, c)
	for n := range m.Nodes {
		if s.nodes[n].watch != registered {
			continue
		}
		bit := n
		if s.nodes[n].mount != mapped {
			bit += earlier
		}
		if s.nodes[n].moved {
			x.moved |= 1 << n
		}
		x.watchers |= 1 << bit
		if local.Unexplained(ceph.Watcher{Addr: s.watching(n, m)}) == "" {
			x.explained |= 1 << bit
		}
	}
	return x
}

// leader is what a cluster's reconciler does. It keeps the record true in one step,
// because that rests on nothing but the swap; the proof of a release it gathers
// step by step.
func (m *Model) leader(s state, c int) {
	if s.empty[c] {
		return // there is nothing to look at
	}
	now := s.leaders[c]
	emit := func(kind kind, change func(*leader)) {
		t := s
		change(&t.leaders[c])
		m.emit(Step{kind, int8(c), 0, 0}, t)
	}
	if m.Caches[c] {
		m.caches(s, c)
	}
	all := m.sees(s, c)
	all.quiet = now.quiet == waited
	if m.Slow[c] {
		all.watchers, all.explained, all.moved = 0, 0, 0
	}
	if a := m.keep(s.record, c, all); a.step == ownership.Refresh || a.step == ownership.Adopt {
		if t := m.write(s, a); t != s {
			m.emit(Step{refresh, int8(c), 0, 0}, t)
		}
	}
	if !m.owns(s.record, c) || m.NoRelease[c] {
		return
	}
	switch now.quiet {
	case notWaiting:
		emit(beginWait, func(l *leader) { l.quiet = waiting })
	case waiting:
		// What was admitted before the wait began is stored by its end, or never.
		outstanding := false
		for p := range m.Pods {
			outstanding = outstanding || s.pods[c][p].phase >= claimed && s.pods[c][p].phase <= admitted
		}
		if !outstanding || m.Late {
			emit(endWait, func(l *leader) { l.quiet = waited })
		}
	}
	if m.Without == Rule3 {
		t := m.write(s, m.keep(s.record, c, sight{quiet: true}))
		m.emit(Step{release, int8(c), 0, 0}, t)
		return
	}
	order := m.order()
	if int(now.proof) == len(order) {
		if a := m.keep(s.record, c, sight{quiet: now.quiet == waited}); a.step == ownership.LetGo {
			m.emit(Step{release, int8(c), 0, 0}, m.write(m.cutRenames(s, c), a))
		}
		return
	}
	part := order[now.proof]
	x := part.sees(m, s, c)
	x.quiet = now.quiet == waited
	if m.keep(s.record, c, x).step == ownership.LetGo {
		emit(part.kind, func(l *leader) { l.proof++ })
	}
}

// part is one look of the proof that an image is idle.
type part struct {
	kind kind
	sees func(*Model, state, int) sight
}

// order is the order of the proof. The record is read with the first look: the proof
// only comes to something while the record stays as it was.
func (m *Model) order() []part {
	pods, nodes, watchers := part{leaderPods, (*Model).seesPods}, part{leaderNodes, (*Model).seesNodes}, part{leaderWatchers, (*Model).seesWatchers}
	if m.Without == Rule3Order {
		return []part{nodes, watchers, pods}
	}
	return []part{pods, nodes, watchers}
}

// outwait: without rule 4, a cluster takes what nobody has watched for long.
func (m *Model) outwait(s state, c int) {
	record := m.records.all[s.record]
	if m.Without != Rule4 || record.State != ceph.Held || m.owns(s.record, c) || m.watched(s) {
		return
	}
	a := m.records.ask(question{s.record, 't', uint8(c), 0}, func(stored ceph.Record) (ceph.Record, ownership.Step, error) {
		next, err := ownership.Release(stored, stored.Owner.Party, "", time.Time{})
		return next, "", err
	})
	m.emit(Step{timeBreaks, int8(c), 0, 0}, m.write(s, a))
}
