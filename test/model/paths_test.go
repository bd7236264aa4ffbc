package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sample says which paths of a configuration are carried out with the real code: to
// one of so many states that no shortest path leads through, and so many long walks.
type sample struct{ every, walks int }

var samples = map[string]sample{
	"one node in each cluster":        {1, 20}, // which is every state
	"every accident in both clusters": {300, 20},
	"two nodes, and force":            {500, 20},
	"two pods":                        {50, 20},
	"two pods with two volumes":       {50, 50},
	"three clusters":                  {10, 20},
	"equal addresses":                 {50, 20},
	"in use before the first record":  {50, 20},
	"failover":                        {400, 40},
	"failover by two people":          {400, 40},
	"failover to two clusters":        {400, 40},
	"failover, every accident":        {200, 20},
}

// replay carries the sample out, and compares what is stored after each step with the
// model.
func (s sample) replay(t *testing.T, found *Result) {
	t.Helper()
	inner := make([]bool, len(found.states))
	for _, from := range found.from[1:] {
		inner[from] = true
	}
	paths, steps, outer := 0, 0, 0
	do := func(trace []Step) {
		carryOut(t, found.model, trace)
		paths, steps = paths+1, steps+len(trace)
	}
	for i := range found.states {
		if inner[i] {
			continue
		}
		if outer++; outer%s.every == 0 {
			do(found.path(int32(i)))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range s.walks {
		do(walk(found.model, random))
	}
	t.Logf("%d paths with %d steps carried out", paths, steps)
}

// walk is a long path that somebody takes who turns anywhere.
func walk(m *Model, random *rand.Rand) []Step {
	var trace []Step
	for s := m.initial(); len(trace) < 120; {
		var steps []Step
		var states []state
		m.next(s, func(by Step, next state) {
			steps, states = append(steps, by), append(states, next)
		})
		i := random.IntN(len(steps))
		trace, s = append(trace, steps[i]), states[i]
	}
	return trace
}

// carryOut replays a trace.
func carryOut(t *testing.T, m *Model, trace []Step) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := newReplay(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	s := m.initial()
	for i, by := range trace {
		fmt.Fprintf(&told, "%2d. %s\n", i+1, m.describe(by))
		var next state
		m.next(s, func(step Step, t state) {
			if step == by {
				next = t
			}
		})
		if err := r.step(by, next); errors.Is(err, errForgets) {
			return
		} else if err != nil {
			t.Fatalf("%s    => %v", told.String(), err)
		}
		s = next
	}
}
