package keeper

import (
	"slices"
	"sync"
	"time"
)

// queue are the workloads that wait for volumes. Namespaces take turns, and so do the
// workloads of a namespace. The zero value is ready.
type queue struct {
	mu sync.Mutex
	// turns are the namespaces in which workloads wait, and waiting are the workloads of each; the
	// next one comes first in both.
	turns   []string
	waiting map[string][]*sleeper
	pass    int
}

// add remembers a workload, instead of what is known of it already. It has its first turn
// in the next pass. Where too much is remembered, the namespace with most of it loses the
// last of its workloads. Those are returned.
func (q *queue) add(s *sleeper) (lost []*sleeper) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.pass = q.pass
	namespace := s.object.Namespace
	all, known := q.waiting[namespace]
	if i := slices.IndexFunc(all, func(other *sleeper) bool { return other.object.UID == s.object.UID }); i >= 0 {
		all[i] = s
	} else {
		all = append(all, s)
	}
	if q.waiting == nil {
		q.waiting = map[string][]*sleeper{}
	}
	q.waiting[namespace] = all
	if !known {
		q.turns = append(q.turns, namespace)
	}
	for {
		total, most := 0, ""
		for _, namespace := range q.turns {
			total += size(q.waiting[namespace])
			if size(q.waiting[namespace]) > size(q.waiting[most]) {
				most = namespace
			}
		}
		if total <= maxVolumes {
			return lost
		}
		last := q.waiting[most][len(q.waiting[most])-1]
		q.drop(last)
		lost = append(lost, last)
	}
}

func size(all []*sleeper) (volumes int) {
	for _, s := range all {
		volumes += len(s.volumes)
	}
	return volumes
}

// workloads is how many wait.
func (q *queue) workloads() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, all := range q.waiting {
		n += len(all)
	}
	return n
}

// begin begins a pass.
func (q *queue) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pass++
}

// next returns whose turn it is, nil if everybody had one in this pass. It forgets whoever
// is not worth waking any more, and returns those, too.
func (q *queue) next(now time.Time) (next *sleeper, forgotten []*sleeper) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for done := 0; done < len(q.turns); {
		namespace := q.turns[0]
		all := q.waiting[namespace]
		s := all[0]
		if now.Sub(s.since) > remembered {
			q.drop(s)
			forgotten = append(forgotten, s)
			continue
		}
		q.turns = append(q.turns[1:], namespace)
		if s.pass == q.pass {
			done++ // the others of this namespace had their turn, or came during this pass
			continue
		}
		s.pass = q.pass
		q.waiting[namespace] = append(all[1:], s)
		return s, forgotten
	}
	return nil, forgotten
}

// remove forgets a workload that was not refused anew.
func (q *queue) remove(s *sleeper) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(s)
}

func (q *queue) drop(s *sleeper) {
	namespace := s.object.Namespace
	all := slices.DeleteFunc(q.waiting[namespace], func(other *sleeper) bool { return other == s })
	if q.waiting[namespace] = all; len(all) == 0 {
		delete(q.waiting, namespace)
		q.turns = slices.DeleteFunc(q.turns, func(other string) bool { return other == namespace })
	}
}
