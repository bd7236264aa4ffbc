package model

import (
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Result is what an exploration found.
type Result struct {
	// States is how many there are, and Depth how many steps the farthest takes.
	States, Depth int
	// Wrong is what is wrong in the first state where something is; empty if nothing is.
	Wrong string
	// Trace leads there by as few steps as possible.
	Trace []Step

	model  *Model
	states []state
	from   []int32
	by     []Step
}

// Explore visits every state that can be reached, nearest first, until wrong has
// something to say about one.
func (m *Model) Explore(wrong func(*Model, state) string, limit int) (*Result, error) {
	r := &Result{model: m}
	seen := newSeen(m)
	visit := func(from int32, by Step, s state) {
		if !seen.add(&s, r.states) {
			return
		}
		r.states, r.from, r.by = append(r.states, s), append(r.from, from), append(r.by, by)
	}
	visit(-1, Step{}, m.initial())
	end := 1
	for i := 0; i < len(r.states); i++ {
		if i == end {
			end = len(r.states)
			r.Depth++
		}
		s := r.states[i]
		if r.Wrong = wrong(m, s); r.Wrong != "" {
			r.Trace = r.path(int32(i))
			break
		}
		if len(r.states) > limit {
			return nil, fmt.Errorf("more than %d states", limit)
		}
		m.next(s, func(by Step, t state) { visit(int32(i), by, t) })
	}
	r.States = len(r.states)
	return r, nil
}

// path is the steps to a state.
func (r *Result) path(i int32) []Step {
	if r.from[i] < 0 {
		return nil
	}
	return append(r.path(r.from[i]), r.by[i])
}

// TwoWriters says which clients of two clusters can write, if there are such.
func TwoWriters(m *Model, s state) string {
	for n, c := range m.Nodes {
		for o, other := range m.Nodes[:n] {
			if c != other && s.nodes[n].canWrite() && s.nodes[o].canWrite() {
				return fmt.Sprintf("%s and %s can both write", m.name(o), m.name(n))
			}
		}
	}
	return ""
}

// TwoNodes says which nodes of one cluster can write at the same time.
func TwoNodes(m *Model, s state) string {
	for n, c := range m.Nodes {
		for o, other := range m.Nodes[:n] {
			if c == other && s.nodes[n].canWrite() && s.nodes[o].canWrite() {
				return fmt.Sprintf("%s and %s can both write", m.name(o), m.name(n))
			}
		}
	}
	return ""
}

// Harmed says of which node something was cut off that nobody has confirmed: a boot of it, or a
// client, that was not there then.
func Harmed(m *Model, s state) string {
	for n := range m.Nodes {
		if s.nodes[n].harmed {
			return fmt.Sprintf("%s is cut off, as it is now, and a person has confirmed that for what it was before", m.name(n))
		}
	}
	return ""
}

// Stranger says which client can write although the record does not name its cluster
// as the owner.
func Stranger(m *Model, s state) string {
	for n, c := range m.Nodes {
		if s.nodes[n].canWrite() && !m.mayWrite(s.record, c) {
			return fmt.Sprintf("%s can write, and %s is not the recorded owner", m.name(n), clusterNames[c])
		}
	}
	return ""
}

// Usurped says which cluster has the image for a claim that it does not belong to.
func Usurped(m *Model, s state) string {
	if owner := m.records.all[s.record].Owner; owner != nil && owner.Namespace != ownersNamespace {
		return fmt.Sprintf("%s has the image for claim %s/%s, and keeps everybody else from it", owner.Name, owner.Namespace, owner.Claim)
	}
	return ""
}

// OtherName says which cluster admitted a pod although another cluster's name leads to the
// image.
func OtherName(m *Model, s state) string {
	for c := range m.clusters {
		for other := range m.clusters {
			if other != c && s.pods[c][0].phase == admitted && s.keys.has(key(other)) {
				return fmt.Sprintf("%s has admitted a pod, and the name of %s leads to the image", clusterNames[c], clusterNames[other])
			}
		}
	}
	return ""
}

// Unfenced says which stranger can write whom the owner's leader will not fence.
func Unfenced(m *Model, s state) string {
	wrong := ""
	for n, c := range m.Nodes {
		record := &m.records.all[s.record]
		if !s.nodes[n].canWrite() || record.State != ceph.Held || record.Owner.UID == clusterNames[c] {
			continue
		}
		fenced := s.nodes[n].reached().fenced()
		m.next(s, func(by Step, t state) {
			fenced = fenced || by.Kind == keeperFences && int(by.B) == n && t.nodes[n].reached().fenced()
		})
		if !fenced {
			wrong = fmt.Sprintf("%s can write, %s owns the image, and its leader does not fence it", m.name(n), record.Owner.Name)
		}
	}
	return wrong
}

// Stuck says which cluster owns the image and cannot give it its name.
func Stuck(m *Model, s state) string {
	if s.keys.stray.phase != idle {
		return ""
	}
	for c := range m.clusters {
		if !m.owns(s.record, c) || s.keys.hands != ([maxClusters]hand{}) || s.keys.only(key(c)) {
			continue
		}
		next, any := s.keys.work(key(c), m.Without != Rule8Repair)
		_, _, ok := s.keys.step(next)
		if !any || !ok {
			return fmt.Sprintf("%s owns the image, and cannot give it its name", clusterNames[c])
		}
	}
	return ""
}

// LockedOut says which cluster may not start a pod on an image that it owns.
func LockedOut(m *Model, s state) string {
	for c := range m.clusters {
		if m.owns(s.record, c) && m.refuses(s.record, c, 0) {
			return fmt.Sprintf("%s owns the image, and refuses its own pod", clusterNames[c])
		}
	}
	return ""
}
