package model

import (
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// acquire is what an admission makes of the record: of a pod, or of its binding.
func (m *Model) acquire(id recordID, c, p int, now pod, stale, binding bool) answer {
	about := uint64(p)<<8 | uint64(now.node)<<2
	if stale {
		about |= 2
	}
	if binding {
		about |= 1
	}
	return m.records.ask(question{id, 'a', uint8(c), about}, func(stored ceph.Record) (ceph.Record, ownership.Step, error) {
		asks := request(c)
		if !binding && m.Without != Rule3Pending {
			asks.Pod = m.uid(c, p)
		}
		if !binding && now.node == 0 {
			asks.Unbound = m.noNode(m.uid(c, p))
		}
		if now.node != 0 && m.Without != Rule6Binding {
			asks.Nodes = []ceph.Node{m.object(int(now.node)-1, stale, m)}
		}
		next, err := ownership.Acquire(stored, asks)
		return next, "", err
	})
}

// noNode are pods that a record names because they have no node.
func (m *Model) noNode(pods ...string) []string {
	if m.Without == Rule6Unbound {
		return nil
	}
	return pods
}

// admission is the webhook's part of a pod's creation. A webhook that dies takes no
// further step; one that dies after writing is an API request that fails.
func (m *Model) admission(s state, c, p int) {
	now := s.pods[c][p]
	emit := func(kind kind, t state, next pod) {
		t.pods[c][p] = next
		m.emit(Step{kind, int8(c), int8(p), int8(next.node) - 1}, t)
	}
	switch now.phase {
	case noPod:
		if m.Early && !s.empty[c] && (!m.watched(s) || m.Without == Rule5Early) {
			emit(listEarly, s, pod{phase: unread})
			for n, owner := range m.Nodes {
				if owner == c && m.Named {
					emit(listEarly, s, pod{phase: unread, node: uint8(n + 1), stale: s.nodes[n].stale})
				}
			}
		}
		if s.empty[c] || m.refuses(s.record, c, p) || m.Without != Rule5 && !m.verdict(s, c).Allowed {
			return
		}
		emit(look, s, pod{phase: looked})
		for n, owner := range m.Nodes {
			if owner == c && m.Named {
				if !m.alone(s, c, n, "") {
					continue
				}
				emit(lookNamed, s, pod{phase: looked, node: uint8(n + 1), stale: s.nodes[n].stale})
			}
		}
	case unread:
		if !m.refuses(s.record, c, p) {
			emit(readAfter, s, pod{phase: looked, node: now.node, stale: now.stale})
		}
	case looked:
		t := s
		if m.asks(s.record, c) {
			t = m.write(s, m.acquire(s.record, c, p, now, now.stale, false))
		}
		if m.Keys && m.Without != Rule8First && (m.Without != Rule8Again || !m.owns(s.record, c)) {
			next := pod{phase: claimed, node: now.node}
			if m.records.all[s.record].State == ceph.Free {
				next.fresh, next.before = true, s.record
			}
			emit(claim, t, next)
			return
		}
		if m.Volumes && m.records.all[s.record].State == ceph.Free {
			emit(admit, t, pod{phase: taken, node: now.node, before: s.record})
			return
		}
		emit(admit, t, pod{phase: admitted, node: now.node})
	case claimed, named:
		m.names(s, c, p)
	case taken:
		emit(takeOthers, s, pod{phase: admitted, node: now.node})
		a := m.records.ask(question{s.record, 'u', 0, uint64(now.before)}, func(written ceph.Record) (ceph.Record, ownership.Step, error) {
			return ownership.Undo(written, m.records.all[now.before]), "", nil
		})
		t := m.write(s, a)
		emit(undo, t, pod{})
	}
}

// asks: the cluster writes an admission into the record.
func (m *Model) asks(id recordID, c int) bool {
	return m.Without != Rule1 && (m.Without != Rule3Admissions || !m.owns(id, c))
}

// refuses: the record does not allow the cluster to start a pod.
func (m *Model) refuses(id recordID, c, p int) bool {
	switch {
	case m.Without == Rule1:
		return false
	case m.Without == Rule2 && m.owns(id, c):
		return true
	}
	return m.acquire(id, c, p, pod{}, false, false).refused
}

// apiServer is what becomes of an admitted pod.
func (m *Model) apiServer(s state, c, p int) {
	now := s.pods[c][p]
	emit := func(kind kind, t state, next pod) {
		t.pods[c][p] = next
		if next.phase == noPod {
			t.record = m.ended(t.record, c, p)
		}
		m.emit(Step{kind, int8(c), int8(p), int8(max(now.node, next.node)) - 1}, t)
	}
	switch now.phase {
	case admitted:
		next, t := pod{phase: stored}, s
		if now.node != 0 {
			next = pod{phase: bound, node: now.node}
			t = m.binds(s, int(now.node)-1)
		}
		emit(storePod, t, next)
		emit(failRequest, s, pod{})
	case stored:
		for n, owner := range m.Nodes {
			next := pod{phase: bindingAdmitted, node: uint8(n + 1)}
			if owner != c || !s.mountable(c) || !s.nodes[n].schedulable() || !m.alone(s, c, n, m.uid(c, p)) {
				continue
			}
			t := s
			if m.asks(s.record, c) && m.Without != Rule6Binding {
				a := m.acquire(s.record, c, p, next, s.nodes[n].stale, true)
				if a.refused {
					continue
				}
				t = m.write(s, a)
			}
			if m.Keys && !m.owns(s.record, c) && m.Without != Rule8First {
				emit(claimBinding, t, pod{phase: claimed, node: next.node, fresh: true, before: s.record, binding: true})
				continue
			}
			emit(admitBinding, t, next)
		}
		emit(deletePod, s, pod{})
	case bindingAdmitted:
		if s.nodes[now.node-1].schedulable() {
			emit(bindPod, m.binds(s, int(now.node)-1), pod{phase: bound, node: now.node})
		}
		emit(failBinding, s, pod{phase: stored})
		emit(deletePod, s, pod{})
	case bound:
		emit(deletePod, s, pod{})
		if m.Force[c] {
			t := s
			t.nodes[now.node-1].forced = true
			emit(forceDeletePod, t, pod{})
		}
	}
}

// hasPod: the API server has a pod that is bound to the node.
func (m *Model) hasPod(s state, n int) bool {
	for p := range m.Pods {
		if s.pods[m.Nodes[n]][p] == (pod{phase: bound, node: uint8(n + 1)}) {
			return true
		}
	}
	return false
}
