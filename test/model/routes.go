package model

import (
	"fmt"
	"slices"
	"strings"
)

// route is a way of several steps. Of its kinds the first that may happen is taken, until it
// has arrived, or nothing of it may happen.
type route struct {
	usage string
	kinds []kind
	// arrived: there is nothing left to do.
	arrived func(m *Model, s state, at place) bool
	// stuck is the kind of step whose refusal is the reason.
	stuck func(m *Model, s state, at place) kind
}

// place is what a route is about: a pod and its node, a cluster, a person.
type place struct{ c, p, n, who int }

// routes are the commands of several steps.
var routes = map[string]route{
	// start creates a pod, has it bound to the node, and has that map the image.
	"start": {
		usage: "start {d} {m}",
		kinds: []kind{
			mapNode, resolveName, checkWatchers, reportInUse, bindPod, admitKeyed, seeName, repairName, removeName, moveDirectory, createName,
			openRepair, openRename, admitBinding, claimBinding, storePod, takeOthers, admit, claim, look,
		},
		arrived: func(_ *Model, s state, at place) bool { return s.nodes[at.n].mount == mapped },
		stuck: func(m *Model, s state, at place) kind {
			switch phase := s.pods[at.c][at.p].phase; {
			case phase == noPod:
				return look
			case phase == stored:
				return admitBinding
			case s.nodes[at.n].mount == notMounted:
				return reportInUse
			}
			return mapNode
		},
	},
	// stop deletes a pod, and has its node unmount the volume.
	"stop": {
		usage: "stop {d}",
		kinds: []kind{detach, reportUnused, unmap, forgetPod, deletePod},
		arrived: func(_ *Model, s state, at place) bool {
			return s.pods[at.c][at.p] == (pod{}) && (at.n < 0 || !s.nodes[at.n].attached && !s.nodes[at.n].inUse)
		},
		stuck: func(*Model, state, place) kind { return deletePod },
	},
	// let-go has a cluster's leader prove that the image is idle, and release it.
	"let-go": {
		usage: "let-go {c}",
		kinds: []kind{removeName, moveDirectory, createName, openRename, release, refresh, leaderWatchers, leaderNodes, leaderPods, endWait, beginWait},
		arrived: func(m *Model, s state, at place) bool {
			return !m.owns(s.record, at.c) && (!m.Keys || s.keys.only(base))
		},
		stuck: func(*Model, state, place) kind { return release },
	},
	// fail-over is a person's command from its beginning to its end.
	"fail-over": {
		usage: "fail-over {p}",
		kinds: []kind{
			finishFence, verifyFence, seeNameTaken, fenceLate, repairName, removeName, moveDirectory, createName, openRepair, openRename,
			reachOSDs, fenceHolder, blocklist, beginFence,
		},
		arrived: func(m *Model, s state, at place) bool { return m.owns(s.record, m.Persons[at.who]) },
		stuck: func(_ *Model, s state, at place) kind {
			if s.persons[at.who].phase == nobody {
				return beginFence
			}
			return verifyFence
		},
	},
}

// follow goes a route, and tells where it is stuck.
func (s *scenario) follow(r route, line string) (reason string, err error) {
	words, typed := strings.Fields(r.usage), strings.Fields(line)
	if len(words) != len(typed) {
		return "", fmt.Errorf("%q is used as: %s", typed[0], r.usage)
	}
	if err := s.checkArguments(words, typed); err != nil {
		return "", err
	}
	at := s.place(words, typed)
	for range 200 {
		if r.arrived(s.Model, s.now, at) {
			return "", nil
		}
		found := s.enabled(func(by Step) bool { return slices.Contains(r.kinds, by.Kind) && s.isAbout(r, by, at) })
		if len(found) == 0 {
			return s.why(s.now, s.patternAt(r.stuck(s.Model, s.now, at), at)), nil
		}
		best := slices.MinFunc(found, func(a, b takenStep) int {
			return slices.Index(r.kinds, a.by.Kind) - slices.Index(r.kinds, b.by.Kind)
		})
		if s.take(best); s.wrong != "" {
			return "", nil
		}
	}
	return "", fmt.Errorf("%s: it comes to no end", line)
}

// place reads what a route is about.
func (s *scenario) place(words, typed []string) place {
	at := place{n: -1}
	for i, word := range words {
		switch word {
		case "{d}":
			at.c, at.p = s.podNamed(typed[i])
			if node := s.now.pods[at.c][at.p].node; node > 0 {
				at.n = int(node) - 1
			}
		case "{m}":
			at.n = s.nodeNamed(typed[i])
		case "{c}":
			at.c = slices.Index(clusterNames[:], typed[i])
		case "{p}":
			at.who = slices.Index(personNames[:], typed[i])
			at.c = s.Persons[at.who]
		}
	}
	return at
}

func (m *Model) podNamed(name string) (c, p int) {
	for c := range m.clusters {
		for p := range m.Pods {
			if podName(c, p) == name {
				return c, p
			}
		}
	}
	return 0, 0
}

func (m *Model) nodeNamed(name string) int {
	for n := range m.Nodes {
		if m.name(n) == name {
			return n
		}
	}
	return -1
}

// isAbout: the step is one of what the route is about. A person's command fences any node.
func (s *scenario) isAbout(r route, by Step, at place) bool {
	for _, word := range strings.Fields(commands[by.Kind])[1:] {
		var ok bool
		switch word {
		case "{d}":
			ok = s.argument(word, by) == podName(at.c, at.p)
		case "{c}":
			ok = int(by.A) == at.c
		case "{p}":
			ok = int(by.A) == at.who
		case "{n}":
			ok = int(by.A) == at.n || by.Kind == reachOSDs
		case "{m}":
			ok = by.C < 0 || int(by.C) == at.n
		default:
			ok = true
		}
		if !ok {
			return false
		}
	}
	return true
}

// patternAt is a step of the kind, about the place.
func (s *scenario) patternAt(k kind, at place) pattern {
	typed := pattern{kinds: []kind{k}}
	for _, word := range strings.Fields(commands[k])[1:] {
		switch word {
		case "{d}":
			word = podName(at.c, at.p)
		case "{c}":
			word = clusterNames[at.c]
		case "{p}":
			word = personNames[at.who]
		case "{n}", "{m}", "{h}":
			word = s.name(max(at.n, 0))
		}
		typed.arguments = append(typed.arguments, word)
	}
	return typed
}
