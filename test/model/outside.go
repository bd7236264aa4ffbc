package model

import (
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// schedulable: a pod may be bound to the node. What runs on another machine of its name
// is not modelled.
func (n node) schedulable() bool { return !n.gone && !n.replaced }

// binds notes that a pod was bound to the node, for who brings that back.
func (m *Model) binds(s state, n int) state {
	if m.Restore[m.Nodes[n]] {
		s.nodes[n].used = true
	}
	return s
}

// ended is the record once a pod is not there any more.
func (m *Model) ended(id recordID, c, p int) recordID {
	return m.records.rename(id, 'p', c*maxPods+p, func() map[string]string { return map[string]string{m.uid(c, p): formerPod} })
}

// unasked is what happens to pods without any webhook, or too early for it.
func (m *Model) unasked(s state, c, p int) {
	now := s.pods[c][p]
	emit := func(kind kind, t state, next pod) {
		t.pods[c][p] = next
		m.emit(Step{kind, int8(c), int8(p), int8(next.node) - 1}, t)
	}
	if now.phase == noPod && m.NoWebhook[c] {
		emit(createUnseen, s, pod{phase: stored})
	}
	missed := s.empty[c] || s.unnamed[c] || m.Empty[c] && m.Without == Rule1Live
	if now.phase == noPod && missed {
		emit(admitWaiting, s, pod{phase: admitted})
	}
	for n, owner := range m.Nodes {
		if owner != c || !s.nodes[n].schedulable() {
			continue
		}
		next := pod{phase: bound, node: uint8(n + 1)}
		if now.phase == stored && s.mountable(c) && (m.Unseen[c] || m.NoWebhook[c]) {
			emit(bindUnseen, m.binds(s, n), next)
		}
		if now.phase == stored && s.mountable(c) && m.Empty[c] && m.Without == Rule1Live {
			emit(bindMissing, m.binds(s, n), next)
		}
		if now.phase == noPod && missed && m.Without == Rule1Named {
			emit(admitEarly, s, pod{phase: admitted, node: next.node})
		}
		// Pods that came after the backup are forgotten. Nodes run them on until they
		// hear of it.
		if p == 0 && m.Restore[c] && s.nodes[n].used && now != next {
			t := s
			for o := range m.Pods {
				if was := s.pods[c][o]; was.phase == bound {
					t.nodes[was.node-1].forced = true
				}
				t.pods[c][o] = pod{}
				t.record = m.ended(t.record, c, o)
			}
			emit(restore, t, next)
		}
	}
}

// mountable: the cluster's claim has its volume, and names it.
func (s state) mountable(c int) bool { return !s.empty[c] && !s.unnamed[c] }

// volume is the claim's volume that comes. The webhook is asked, and acquires the image
// if the API server has a pod that waits for it. The claim names the volume after that.
func (m *Model) volume(s state, c int) {
	if s.unnamed[c] {
		t := s
		t.unnamed[c] = false
		m.emit(Step{nameVolume, int8(c), 0, 0}, t)
	}
	if !s.empty[c] || !m.verdict(s, c).Allowed {
		return
	}
	t := s
	if m.seesPods(s, c).pods != 0 {
		a := m.records.ask(question{s.record, 'v', uint8(c), m.seesPods(s, c).number()}, func(stored ceph.Record) (ceph.Record, ownership.Step, error) {
			asks := request(c)
			seen := m.seen(c, m.seesPods(s, c), m)
			asks.Unbound = seen.Unbound
			next, err := ownership.Acquire(stored, asks)
			return next, "", err
		})
		if a.refused {
			return
		}
		t = m.write(s, a)
	}
	t.empty[c], t.unnamed[c] = false, true
	m.emit(Step{bringVolume, int8(c), 0, 0}, t)
}

// ownersNamespace is that of the claims that the image belongs to.
const ownersNamespace = "shop"

// tenant is somebody whose claim names the volume of another tenant, and whose pod can
// never run.
func (m *Model) tenant(s state, c int) {
	if !m.Tenants[c] || m.Without != Rule1Whose || !m.verdict(s, c).Allowed {
		return
	}
	a := m.records.ask(question{s.record, 'e', uint8(c), 0}, func(stored ceph.Record) (ceph.Record, ownership.Step, error) {
		asks := request(c)
		asks.Namespace, asks.Pod = "evil", formerPod
		next, err := ownership.Acquire(stored, asks)
		return next, "", err
	})
	if !a.refused {
		m.emit(Step{usurp, int8(c), 0, 0}, m.write(s, a))
	}
}
