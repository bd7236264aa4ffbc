package model

import "math/bits"

// seen are the states that an exploration has found. Nearly all of its time would go into a Go map, which
// hashes a state field by field. Here a state that may be known is compared with
// the one that is, so that the hash decides nothing.
type seen struct {
	model *Model
	// slots have the place of a state, counted from one, and half of its hash. Their number is a
	// power of two.
	slots []slot
	used  int
}

type slot struct {
	place uint32
	hash  uint32
}

func newSeen(m *Model) *seen { return &seen{model: m, slots: make([]slot, 1<<10)} }

// add reports whether the state is new. It is the next one of states then.
func (k *seen) add(s *state, states []state) bool {
	if 2*k.used >= len(k.slots) {
		k.grow()
	}
	hash := k.model.hash(s)
	mask := uint32(len(k.slots) - 1)
	at := hash & mask
	for ; k.slots[at].place != 0; at = (at + 1) & mask {
		if k.slots[at].hash == hash && states[k.slots[at].place-1] == *s {
			return false
		}
	}
	k.slots[at] = slot{uint32(len(states) + 1), hash}
	k.used++
	return true
}

func (k *seen) grow() {
	old := k.slots
	k.slots = make([]slot, 2*len(old))
	mask := uint32(len(k.slots) - 1)
	for _, s := range old {
		if s.place == 0 {
			continue
		}
		at := s.hash & mask
		for k.slots[at].place != 0 {
			at = (at + 1) & mask
		}
		k.slots[at] = s
	}
}

// hash is one of the fields that the configuration uses.
func (m *Model) hash(s *state) uint32 {
	h := uint64(s.record) | uint64(s.lock)<<16 | uint64(s.keys.names)<<24 | uint64(s.keys.directory)<<32 | s.keys.stray.bits()<<40
	for c := range m.clusters {
		for p := range m.Pods {
			h = mixed(h, s.pods[c][p].bits())
		}
		l := s.leaders[c]
		h = mixed(h, uint64(l.proof)|uint64(l.quiet)<<2|uint64(l.cache)<<4|bit(s.empty[c])<<36|bit(s.unnamed[c])<<37|s.keys.hands[c].bits()<<38)
	}
	for n := range m.Nodes {
		h = mixed(h, s.nodes[n].bits())
	}
	for who := range m.Persons {
		p := s.persons[who]
		h = mixed(h, uint64(p.phase)|uint64(p.machines)<<8|uint64(p.instances)<<16)
	}
	return uint32(h ^ h>>32)
}

// mixed is two words in one, by the product of 128 bits.
func mixed(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, word^0xe7037ed1a0b428db)
	return hi ^ lo ^ h<<1
}

func bit(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func (h hand) bits() uint64 { return uint64(h.phase) | uint64(h.from)<<3 | uint64(h.to)<<6 }

func (p pod) bits() uint64 {
	return uint64(p.before) | uint64(p.phase)<<16 | uint64(p.node)<<24 | bit(p.stale)<<32 | bit(p.fresh)<<33 | bit(p.binding)<<34
}

func (n node) bits() uint64 {
	return uint64(n.mount) | uint64(n.watch)<<3 | uint64(n.instance)<<6 | uint64(n.address)<<9 | uint64(n.former)<<12 |
		bit(n.forced)<<16 | bit(n.attached)<<17 | bit(n.inUse)<<18 | bit(n.gone)<<19 | bit(n.anew)<<20 | bit(n.replaced)<<21 |
		bit(n.stale)<<22 | bit(n.used)<<23 | bit(n.moved)<<24 | bit(n.readdressed)<<25 | uint64(n.confirmed)<<26 | bit(n.harmed)<<31
}
