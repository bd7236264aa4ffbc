package model

import "github.com/cephferry/cephferry/pkg/ownership"

// cached is what a leader's caches have of pods and nodes: a sight of some moment, packed.
// Watchers and the record are never cached. Zero: nothing was read yet.
type cached uint32

const hasRead cached = 1 << 31

// parts are those of a sight that a cache has.
func (x *sight) parts() []*uint8 {
	return []*uint8{&x.pods, &x.unbound, &x.attached, &x.lost, &x.replaced, &x.anew, &x.stale}
}

func pack(x sight) cached {
	var c cached
	for i, bits := range x.parts() {
		c |= cached(*bits) << (i * earlier)
	}
	return c | hasRead
}

func (c cached) sight() (x sight) {
	for i, bits := range x.parts() {
		*bits = uint8(c >> (i * earlier) & (1<<earlier - 1))
	}
	x.cached = true
	return x
}

// caches is what a leader does by caches that lag: they may show any earlier moment. It writes
// into the record what they show, and releases and acquires nothing by them.
func (m *Model) caches(s state, c int) {
	t := s
	t.leaders[c].cache = pack(m.seesPods(s, c).and(m.seesNodes(s, c)))
	m.emit(Step{readCaches, int8(c), 0, 0}, t)
	if s.leaders[c].cache == 0 {
		return
	}
	x := s.leaders[c].cache.sight().and(m.seesWatchers(s, c))
	x.quiet = s.leaders[c].quiet == waited
	x.cached = m.Without != Rule3Cached
	a := m.keep(s.record, c, x)
	if a.step == ownership.Refresh || !x.cached && a.step == ownership.LetGo {
		if t := m.write(s, a); t != s {
			m.emit(Step{refreshCached, int8(c), 0, 0}, t)
		}
	}
}

// remembered is the state in which caches call what was before by its name: a pod that has
// ended is not the next one in its place, and a boot that is over not the present one.
func (m *Model) remembered(by Step, s state) state {
	for c := range m.clusters {
		cache := s.leaders[c].cache
		if cache == 0 {
			continue
		}
		x := cache.sight()
		for p := range m.Pods {
			if now := s.pods[c][p]; now.phase < stored && !now.binding {
				x.pods &^= 1 << p
				x.unbound &^= 1 << p
			}
		}
		if by.Kind == reboot && m.Nodes[by.A] == c {
			x.stale |= 1 << by.A
		}
		s.leaders[c].cache = pack(x)
	}
	return s
}
