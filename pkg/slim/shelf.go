package slim

import (
	"slices"
	"strings"
	"sync"
)

// shelves bounds how many maps a shelf keeps.
const shelves = 1 << 10

// shelf keeps each map once that many objects have: of thousands of volumes, most have one
// of a few sizes and pools, and a map of one entry takes hundreds of bytes. Who reads a cached
// object changes nothing in it, so objects may have a map in common. The zero value is ready.
type shelf[M ~map[K]V, K ~string, V any] struct {
	mu  sync.Mutex
	all map[string]M
}

// one is an equal map. text is what tells values apart.
func (s *shelf[M, K, V]) one(m M, text func(V) string) M {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for key, value := range m {
		keys = append(keys, string(key)+"\x00"+text(value))
	}
	slices.Sort(keys)
	key := strings.Join(keys, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.all[key]; ok {
		return known
	}
	if s.all == nil || len(s.all) >= shelves {
		// Those that are in use stay in memory, and come back as others.
		s.all = map[string]M{}
	}
	s.all[key] = m
	return m
}
