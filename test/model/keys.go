package model

// keys are the names that lead to the image, and the renames on their way.
type keys struct {
	// names are those that lead to the image, as bits: there is an object rbd_id.<name>.
	// Usually there is one, during a rename there are two.
	names uint8
	// directory is the name that rbd_directory has for the image.
	directory uint8
	// hands are what each cluster, or a person for it, is renaming or repairing now. Stray
	// is a rename whose caller has given up, and which goes on.
	hands [maxClusters]hand
	stray hand
}

// The names. A cluster's own is its number plus one; base says that nobody owns the image.
const base = 0

func key(c int) uint8 { return uint8(c + 1) }

func nameOf(name int8) string {
	if name == base {
		return "shop.data"
	}
	return "shop.data~" + clusterNames[name-1]
}

// hand is a rename, or a repair, and how far it is. Each part is a request to another object,
// so that each may be late.
type hand struct {
	phase    handPhase
	from, to uint8
}

type handPhase uint8

const (
	idle handPhase = iota
	// opened: the image is open by the name from.
	opened
	// created: rbd_id.<to> is there.
	created
	// listed: the directory has to, and rbd_id.<from> is there yet.
	listed
	// repairing: the directory did not have from, whose rbd_id.<from> will be removed.
	repairing
	// restoring: the directory had to, of which there was no rbd_id.<to>; it will be made.
	restoring
)

// has: the name leads to the image.
func (k keys) has(name uint8) bool { return k.names>>name&1 != 0 }

// only: the name leads to the image, no other does, and the directory has it. The product
// looks for base and for the name of each cluster that has a key beside the image.
func (k keys) only(name uint8) bool { return k.names == 1<<name && k.directory == name }

// work is what has to be done so that the image has a name and no other: a rename, or the
// repair of one that died half-way. The name that the directory does not have is removed, and
// one that leads nowhere although the directory has it is made again. The product has this
// decision in RenameImage of package ceph, see carryOver.
func (k keys) work(name uint8, repairs bool) (hand, bool) {
	switch {
	case k.only(name):
		return hand{}, false
	case !repairs, k.only(k.directory):
		return hand{phase: opened, from: k.directory, to: name}, k.directory != name
	case !k.has(k.directory):
		return hand{phase: restoring, to: k.directory}, true
	}
	for other := range uint8(maxClusters + 1) {
		if other != k.directory && k.has(other) {
			return hand{phase: repairing, from: other}, true
		}
	}
	return hand{}, false
}

// step is what comes next of a rename, apart from locks, and whether it fails. librbd's rename
// makes rbd_id.<to>, which must not be there, has the directory changed, which must have from,
// and removes rbd_id.<from>. When the second fails, what the first made stays.
func (k keys) step(h hand) (keys, hand, bool) {
	switch h.phase {
	case opened:
		if !k.has(h.from) || k.has(h.to) {
			return k, hand{}, false
		}
		k.names |= 1 << h.to
		h.phase = created
	case created:
		if k.directory != h.from {
			return k, hand{}, false
		}
		k.directory = h.to
		h.phase = listed
	case listed, repairing:
		k.names &^= 1 << h.from
		h = hand{}
	case restoring:
		k.names |= 1 << h.to
		h = hand{}
	}
	return k, h, true
}

// wants is the name that a cluster gives the image, for whoever there is at it: a webhook that
// admits a pod, the leader, or a person who fails over.
func (m *Model) wants(s state, c int) (uint8, bool) {
	record := &m.records.all[s.record]
	free := record.Owner == nil
	switch own, taking := m.owns(s.record, c), record.Takeover != nil && record.Takeover.UID == clusterNames[c]; {
	case own && !m.NoLeaders:
		return key(c), true
	case own, m.Without == Rule8Renamer:
		for p := range m.Pods {
			if s.pods[c][p].phase == claimed {
				return key(c), true
			}
		}
		fallthrough
	case taking:
		for who, of := range m.Persons {
			if of == c && taking && m.renames(s, who) {
				return key(c), true
			}
		}
	}
	// Who has let the image go gives it back its name.
	return base, free && !m.NoLeaders && s.keys.directory == key(c)
}

// renames: a person's command has come to the rename.
func (m *Model) renames(s state, who int) bool {
	now := s.persons[who]
	switch m.Without {
	case Rule8FenceFirst:
		return now.phase == begun
	case Rule8Look:
		return now.phase == sawNobody
	}
	return now.phase == begun && m.fenceIsOn(s, who)
}

// fenceIsOn: everybody in the plan is on the blocklist, and the OSDs know.
func (m *Model) fenceIsOn(s state, who int) bool {
	now := s.persons[who]
	for n := range m.Nodes {
		x := s.nodes[n]
		if now.machines>>n&1 != 0 && !x.address.effective() ||
			now.machines>>(n+earlier)&1 != 0 && x.moved && !x.former.effective() ||
			now.instances>>n&1 != 0 && !x.instance.effective() {
			return false
		}
	}
	return true
}

// keyed is what a cluster does about the name of the image, and about who has it open
// although it is not theirs.
func (m *Model) keyed(s state, c int) {
	if !m.Keys {
		return
	}
	emit := func(kind kind, h hand, t state) { m.emit(Step{kind, int8(c), int8(h.from), int8(h.to)}, t) }
	now := s.keys.hands[c]
	if now.phase == idle {
		name, wanted := m.wants(s, c)
		if next, any := s.keys.work(name, m.Without != Rule8Repair); wanted && any {
			t := s
			if m.records.all[s.record].Takeover != nil || next.phase != opened {
				t = m.cutOthers(s, c)
			}
			t.keys.hands[c] = next
			emit(map[handPhase]kind{opened: openRename, repairing: openRepair, restoring: openRestore}[next.phase], next, t)
		}
	} else {
		t, ok := m.lockForRename(s, now)
		var next hand
		if ok {
			t.keys, next, ok = t.keys.step(now)
		}
		t.keys.hands[c] = next
		does := map[handPhase]kind{opened: createName, created: moveDirectory, listed: removeName, repairing: repairName, restoring: restoreName}[now.phase]
		if !ok {
			does = renameFails
		}
		emit(does, now, t)
		t = s
		t.keys.hands[c] = hand{}
		if ok {
			emit(renameDies, now, t)
		}
		if m.Stray && ok && s.keys.stray.phase == idle {
			t.keys.stray = now
			emit(renameLeft, now, t)
		}
	}
	if c == 0 {
		m.strays(s)
	}
	if m.owns(s.record, c) && !m.NoLeaders && m.Without != Rule8Keeper {
		for n, owner := range m.Nodes {
			if x := s.nodes[n]; owner != c && x.watch == registered && x.instance.added(true) != x.instance {
				t := s
				t.nodes[n].instance = x.instance.added(true)
				m.emit(Step{keeperFences, int8(c), int8(n), 0}, t)
			}
		}
	}
}

// strays is what becomes of a rename whose caller has given up.
func (m *Model) strays(s state) {
	now := s.keys.stray
	if now.phase == idle {
		return
	}
	t, ok := m.lockForRename(s, now)
	if ok {
		t.keys, t.keys.stray, ok = t.keys.step(now)
	}
	does := map[handPhase]kind{opened: strayCreates, created: strayMoves, listed: strayRemoves, repairing: strayRemoves, restoring: strayCreates}[now.phase]
	if !ok {
		t.keys.stray, does = hand{}, strayFails
	}
	m.emit(Step{does, 0, int8(now.from), int8(now.to)}, t)
}

// lockForRename takes the image's lock for a rename, if it is about to write. krbd gives it
// up, but mapped exclusively not while it lives. RenameImage does not take it from a silent
// client, which librbd would fence for an hour, unless that is fenced already. That renames
// take the lock from each other too is left out: it only spares us late ones.
func (m *Model) lockForRename(s state, h hand) (state, bool) {
	if h.phase != opened || m.Mapping == NoLock || s.lock == 0 {
		return s, true
	}
	holder := &s.nodes[s.lock-1]
	switch {
	case holder.watch == registered:
		return s, m.Mapping != Exclusive
	case holder.mount == mapped:
		if !holder.fenced() && m.Without != Rule8Holder && m.Without != Rule8FenceFirst {
			return s, false
		}
		if !holder.fenced() {
			holder.instance = holder.instance.added(false).propagated()
		}
		holder.watch = lost
	}
	s.lock = 0
	return s, true
}

// cutRenames fences what a cluster is renaming, before the record is not the cluster's any
// more. Who renames has written its own client into the record before, while that was the
// cluster's, and so cannot begin any later. What is renamed to base harms nobody.
func (m *Model) cutRenames(s state, c int) state {
	if m.Keys && m.Without != Rule8Renamer {
		if s.keys.hands[c].to == key(c) || s.keys.hands[c].phase == repairing {
			s.keys.hands[c] = hand{}
		}
		if s.keys.stray.to == key(c) || s.keys.stray.phase == repairing {
			s.keys.stray = hand{}
		}
	}
	return s
}

// cutOthers fences what is being renamed by anybody but this hand.
func (m *Model) cutOthers(s state, c int) state {
	if m.Without != Rule8Renamer {
		s.keys.stray = hand{}
		for other := range s.keys.hands {
			if other != c {
				s.keys.hands[other] = hand{}
			}
		}
	}
	return s
}
