package model

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// why says for what reason none of these steps may happen. Where the product decides, it is the
// product's own reason.
func (m *Model) why(s state, typed pattern) string {
	at := (&scenario{Model: m, now: s}).place(strings.Fields(commands[typed.kinds[0]])[1:], typed.arguments)
	reason := ""
	switch typed.kinds[0] {
	case look, lookNamed, readAfter:
		reason = m.whyNoReview(s, at)
	case admitBinding, claimBinding, bindPod:
		reason = m.whyNoBinding(s, at)
	case reportInUse, checkWatchers, resolveName, mapNode:
		at.n = m.nodeNamed(typed.arguments[0])
		reason = m.whyNoMap(s, at.n)
	case unfence:
		n := m.nodeNamed(typed.arguments[0])
		if s.nodes[n].address == noEntry {
			reason = m.name(n) + " is not on the blocklist"
		} else if err := m.letGo(s, n); err != nil {
			reason = err.Error()
		}
	case release, leaderPods, leaderNodes, leaderWatchers, refresh:
		x := m.sees(s, at.c)
		x.quiet = s.leaders[at.c].quiet == waited
		_, _, reason = ownership.Keep(m.records.all[s.record], request(at.c), m.seen(at.c, x, m))
	case beginFence, verifyFence, finishFence:
		reason = m.whyNoFailover(s, at.who)
	case takeNode:
		n := m.nodeNamed(typed.arguments[0])
		plan, _ := m.lostPlan(s, n)
		reason = m.beyond(plan, s, n)
	case dropFence:
		if _, err := m.fenced(m.records.all[s.record], 'd', at.who); err != nil {
			reason = err.Error()
		}
	}
	if reason == "" {
		return "nothing of that can happen now"
	}
	reason, _, _ = strings.Cut(reason, ", since ") // there are no times here
	return strings.Join(strings.Fields(reason), " ")
}

func (m *Model) whyNoReview(s state, at place) string {
	if phase := s.pods[at.c][at.p].phase; phase != noPod && phase != unread {
		return "the pod is there"
	}
	if s.empty[at.c] {
		return "the claim has no volume"
	}
	if m.Without == Rule2 && m.owns(s.record, at.c) {
		return "without rule 2, the owner may not acquire again"
	}
	asks := request(at.c)
	asks.Pod = m.uid(at.c, at.p)
	if _, err := ownership.Acquire(m.records.all[s.record], asks); err != nil {
		return err.Error()
	}
	if verdict := m.verdict(s, at.c); !verdict.Allowed {
		var foreign []string
		for _, f := range verdict.Foreign {
			foreign = append(foreign, fmt.Sprintf("%s (%s)", f.Addr, f.Why))
		}
		return fmt.Sprintf("%s: %s", verdict.Reason, strings.Join(foreign, ", "))
	}
	return m.whyNotAlone(s, at, "")
}

func (m *Model) whyNoBinding(s state, at place) string {
	switch {
	case at.n < 0 || m.Nodes[at.n] != at.c:
		return "it is a node of another cluster"
	case !s.nodes[at.n].schedulable():
		return "no pod can be bound to " + m.name(at.n)
	}
	if _, err := ownership.Acquire(m.records.all[s.record], request(at.c)); err != nil {
		return err.Error()
	}
	return m.whyNotAlone(s, at, m.uid(at.c, at.p))
}

func (m *Model) whyNotAlone(s state, at place, uid string) string {
	var all []string
	if at.n >= 0 {
		for _, rival := range m.rivals(s, at.c, at.n, uid) {
			all = append(all, rival.Why)
		}
	}
	return strings.Join(all, ", ")
}

// whyNoMap is about a node's client. krbd and ceph-csi are modelled, so the words are ours.
func (m *Model) whyNoMap(s state, n int) string {
	now, c := s.nodes[n], m.Nodes[n]
	switch {
	case now.mount == mapped:
		return "it has the image mapped"
	case !m.hasPod(s, n) && !now.forced:
		return "no pod runs there"
	case now.readdressed:
		return "its address has changed"
	case now.address.effective():
		return "its address is on the blocklist"
	case m.Keys && now.mount < resolved && !s.keys.has(key(c)):
		return fmt.Sprintf("%s leads to no image: no such image", nameOf(int8(key(c))))
	case m.Mapping == Exclusive && s.lock != 0 && int(s.lock) != n+1 && s.nodes[s.lock-1].watch == registered:
		return fmt.Sprintf("%s has the image's lock and does not give it up", m.name(int(s.lock)-1))
	case now.mount != checked && m.watched(s):
		return "the image has a watcher: " + m.watchers(s)[0].Addr
	}
	return ""
}

func (m *Model) whyNoFailover(s state, who int) string {
	stored := m.records.all[s.record]
	if s.persons[who].phase == nobody {
		if plan, err := m.proposal(stored, m.watchers(s), who); err != nil || plan.Done {
			return reasonOf(plan, err)
		}
		if _, err := m.fenced(stored, 'b', who); err != nil {
			return err.Error()
		}
		return ""
	}
	if _, err := m.fenced(stored, 'f', who); err != nil {
		return err.Error()
	}
	var left []string
	for n := range m.Nodes {
		if s.nodes[n].watch == registered {
			left = append(left, m.name(n))
		}
	}
	if len(left) > 0 {
		return "it is watched by " + strings.Join(left, ", ")
	}
	return "not every holder is on the blocklist"
}

func reasonOf(plan failover.Plan, err error) string {
	if plan.Done {
		return "the image is this cluster's, and nothing is to be done"
	}
	return err.Error()
}
