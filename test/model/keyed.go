package model

import (
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// names is the webhook's part of an admission after the record was written: it renames, see
// [Model.keyed], sees that the image has the cluster's name and no other, and then lists
// the watchers. One that dies is an API request that fails.
func (m *Model) names(s state, c, p int) {
	now := s.pods[c][p]
	emit := func(kind kind, t state, next pod) {
		t.pods[c][p] = next
		if next == (pod{}) {
			t.record = m.ended(t.record, c, p)
		}
		m.emit(Step{kind, int8(c), int8(p), int8(now.node) - 1}, t)
	}
	failed, granted := pod{}, pod{phase: admitted, node: now.node}
	if now.binding {
		failed, granted = pod{phase: stored}, pod{phase: bindingAdmitted, node: now.node}
	}
	emit(failRequest, s, failed)
	if now.phase == claimed {
		if s.keys.only(key(c)) || m.Without == Rule8Others && s.keys.has(key(c)) {
			now.phase = named
			emit(seeName, s, now)
		}
		return
	}
	switch {
	case m.inFlight(s, c):
	case !m.foreign(s, c):
		emit(admitKeyed, s, granted)
	case now.fresh:
		a := m.records.ask(question{s.record, 'u', 0, uint64(now.before)}, func(written ceph.Record) (ceph.Record, ownership.Step, error) {
			return ownership.Undo(written, m.records.all[now.before]), "", nil
		})
		t := m.write(m.cutRenames(s, c), a)
		emit(giveBack, t, failed)
	default:
		emit(refuseForeign, s, failed)
	}
}

// foreign: somebody has the image open whom the cluster does not account for, or has its lock.
// A silent client is no watcher, and has the lock of an image that is mapped exclusively.
func (m *Model) foreign(s state, c int) bool {
	local := m.local(s, c)
	if m.lockedBy(s, c) >= 0 {
		return true
	}
	for _, watcher := range m.watchers(s) {
		if local.Unexplained(watcher) != "" {
			return true
		}
	}
	return false
}

// lockedBy is the node of another cluster that has the image's lock and can write, or -1.
func (m *Model) lockedBy(s state, c int) int {
	n := int(s.lock) - 1
	if n < 0 || m.Nodes[n] == c || !s.nodes[n].canWrite() || m.Without == Rule8Holder {
		return -1
	}
	return n
}

// inFlight: a node of another cluster has resolved the name and not opened the image. Without
// late maps, who lists the watchers comes after that.
func (m *Model) inFlight(s state, c int) bool {
	for n, owner := range m.Nodes {
		if owner != c && s.nodes[n].mount == resolved && !m.LateMaps {
			return true
		}
	}
	return false
}

// resolve is ceph-csi's look for watchers, and krbd's for the image: both by the name that the
// cluster's own volume has. The image is opened by its id, any time later.
func (m *Model) resolve(s state, n int) {
	now, c := s.nodes[n], m.Nodes[n]
	if now.address.effective() || !s.keys.has(key(c)) {
		return
	}
	t := s
	switch free := !m.watched(s); {
	case now.mount == ready && free && !m.Coarse[c]:
		t.nodes[n].mount = checked
		m.emit(Step{checkWatchers, int8(n), 0, 0}, t)
	case now.mount == checked, now.mount == ready && free:
		t.nodes[n].mount = resolved
		m.emit(Step{resolveName, int8(n), 0, 0}, t)
	}
}

// takeName is what a person's command does once the holders of the plan are on the blocklist:
// the rename, see [Model.keyed]; then it looks who watches, and fences who does, until
// there is nobody. From there on it goes on as without keys. on: the holders are on the
// blocklist; reached is the state when the OSDs know.
func (m *Model) takeName(s state, who int, on bool, reached state) {
	now, c := s.persons[who], m.Persons[who]
	move := func(kind kind, t state, phase step) {
		t.persons[who].phase = phase
		m.emit(Step{kind, int8(who), 0, 0}, t)
	}
	// Who has the lock is in the way of the rename, or came late, and may be in no record.
	holder := m.lockedBy(s, c)
	if holder >= 0 && (on || now.phase == renamed) && s.nodes[holder].instance == noEntry {
		t := s
		t.nodes[holder].instance = yearsAdded
		m.emit(Step{fenceHolder, int8(who), int8(holder), 0}, t)
	}
	seen := s.keys.only(key(c)) || m.Without == Rule8Others && s.keys.has(key(c))
	switch now.phase {
	case begun:
		switch {
		case m.Without == Rule8Look && on && !m.watched(reached):
			move(seeNobody, reached, sawNobody)
		case m.Without == Rule8Look:
		case m.Without == Rule8FenceFirst && seen && on, on && seen && m.fenceIsOn(s, who):
			// Who renames is fenced with the holders, and so before the name is looked at.
			move(seeNameTaken, m.cutOthers(reached, c), renamed)
		}
	case sawNobody:
		if seen {
			move(seeNameTaken, s, verified)
		}
	case renamed:
		for n, owner := range m.Nodes {
			if x := s.nodes[n]; owner != c && x.watch == registered && x.instance.added(true) != x.instance {
				t := s
				t.nodes[n].instance = x.instance.added(true)
				m.emit(Step{fenceLate, int8(who), int8(n), 0}, t)
			}
		}
		if on && !m.watched(reached) && m.lockedBy(reached, c) < 0 && !m.inFlight(s, c) {
			move(verifyFence, reached, verified)
		}
	}
}
