package model

import (
	"net/netip"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
)

var personNames = [maxPersons]string{"ann", "bob"}

func (m *Model) taker(who int) ownership.Taker {
	return ownership.Taker{Cluster: party(m.Persons[who]), By: personNames[who], Resume: true}
}

// plan is what package failover makes of the situation: who is fenced. When it refuses
// because the record does not tell enough, the person names all nodes of the owner.
func (m *Model) plan(s state, who int) (person, bool) {
	watches := m.watchers(s)
	seen := m.seesWatchers(s, 0)
	key := question{s.record, 'p', uint8(who), sight{watchers: seen.watchers, moved: seen.moved}.number()}
	planned, known := m.plans[key]
	if !known {
		planned = m.decide(m.records.all[s.record], watches, who)
		m.plans[key] = planned
	}
	return planned, planned.phase == begun
}

func (m *Model) decide(record ceph.Record, watches []ceph.Watcher, who int) person {
	plan, ok := m.propose(record, watches, who)
	if !ok {
		return person{}
	}
	fence := plan.Fence
	if m.Without == Rule6Watchers {
		fence = failover.Fence{}
		for _, watcher := range watches {
			fence.Instances = append(fence.Instances, watcher.Addr)
		}
	}
	planned := person{phase: begun}
	for n := range m.Nodes {
		if slices.Contains(fence.Machines, machine(m.address(n))) {
			planned.machines |= 1 << n
		}
		if slices.Contains(fence.Machines, machine(m.formerAddress(n))) {
			planned.machines |= 1 << (n + earlier)
		}
		if slices.Contains(fence.Instances, m.instance(n, false, false)) || slices.Contains(fence.Instances, m.instance(n, false, true)) {
			planned.instances |= 1 << n
		}
	}
	return planned
}

// propose is the plan, and whether there is something to take. Whether client instances are
// enough is package failover's decision too: with names as keys, a record says how the image is
// mapped. The model's does so only here, because no other decision rests on it. Who has the
// lock is looked at later, see [Model.takeName].
func (m *Model) propose(record ceph.Record, watches []ceph.Watcher, who int) (failover.Plan, bool) {
	plan, err := m.proposal(record, watches, who)
	return plan, err == nil && !plan.Done
}

func (m *Model) proposal(record ceph.Record, watches []ceph.Watcher, who int) (failover.Plan, error) {
	situation := failover.Situation{Image: imageSpec, Record: record, Watchers: watches}
	if m.Keys {
		situation.Image.Key = clusterNames[m.Persons[who]]
		mapping := &situation.Record
		mapping.Keyed, mapping.Private = true, true
		mapping.Exclusive = m.Mapping == Exclusive || m.Without == Rule8Exact
		if m.Without == Rule8Unseen && mapping.Owner != nil {
			owner := *mapping.Owner
			owner.Nodes = slices.Clone(owner.Nodes)
			for i := range owner.Nodes {
				if len(owner.Nodes[i].Clients) == 0 {
					owner.Nodes[i].Clients = []string{"192.0.2.1:0/1"} // one that nobody has
				}
			}
			mapping.Owner = &owner
		}
	}
	wish := failover.Wish{Taker: m.taker(who), Namespace: ownersNamespace, Claim: "data"}
	var all []string
	for n, c := range m.Nodes {
		if c == m.Persons[who] {
			situation.Nodes = append(situation.Nodes, m.node(n))
		} else if record.Owner != nil && record.Owner.UID == clusterNames[c] {
			all = append(all, machine(m.address(n)))
		}
	}
	plan, err := failover.Decide(situation, wish)
	if err != nil {
		wish.Also = all
		plan, err = failover.Decide(situation, wish)
	}
	return plan, err
}

var imageSpec = ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}

func machine(address netip.Addr) string { return address.String() + ":0/0" }

// fence asks package ownership what a person's command makes of the record.
func (m *Model) fence(id recordID, what byte, who int) answer {
	return m.records.ask(question{id, what, uint8(who), 0}, func(stored ceph.Record) (ceph.Record, ownership.Step, error) {
		next, err := m.fenced(stored, what, who)
		return next, "", err
	})
}

func (m *Model) fenced(stored ceph.Record, what byte, who int) (ceph.Record, error) {
	switch what {
	case 'b':
		return ownership.BeginFence(stored, m.taker(who))
	case 'f':
		return ownership.FinishFence(stored, stored, m.taker(who), "shop", "data", nil)
	}
	return ownership.DropFence(stored, m.taker(who))
}

// failover is what one person does, again and again: begin, put each holder on the
// blocklist, wait until the OSDs know, look whether everybody is gone, take the
// image. The command may die at any step, and the person may drop what was begun.
func (m *Model) failover(s state, who int) {
	now := s.persons[who]
	emit := func(kind kind, about int, t state) { m.emit(Step{kind, int8(who), int8(about), 0}, t) }
	if a := m.fence(s.record, 'd', who); !a.refused && !m.Steady {
		t := m.write(m.cutRenames(s, m.Persons[who]), a)
		t.persons[who] = person{}
		emit(dropFence, 0, t)
	}
	if now.phase == nobody {
		planned, ok := m.plan(s, who)
		if a := m.fence(s.record, 'b', who); ok && !a.refused {
			t := s
			if a.record != s.record {
				t = m.write(s, a)
			}
			t.persons[who] = planned
			emit(beginFence, 0, t)
		}
		return
	}
	t := s
	if !m.Steady {
		t.persons[who] = person{}
		emit(walkAway, 0, t)
	}
	if m.records.all[s.record].State != ceph.Fencing {
		return // Rule6Finish
	}
	all := true
	t = s
	for n := range m.Nodes {
		x := s.nodes[n]
		if now.machines>>n&1 != 0 {
			x.address = x.address.added(m.Without != Rule7Hour)
		}
		if now.machines>>(n+earlier)&1 != 0 && x.moved {
			x.former = x.former.added(m.Without != Rule7Hour)
		}
		if now.instances>>n&1 != 0 {
			// One that Ceph has made by itself is replaced while the machine's covers it, and
			// cannot be otherwise.
			if m.Keys && now.machines>>n&1 == 0 && x.instance != noEntry {
				all = all && (x.instance >= yearsAdded || m.Without == Rule8FenceFirst)
			} else {
				x.instance = x.instance.added(m.Without != Rule7Hour)
			}
		}
		if x != s.nodes[n] {
			all = false
			u := s
			u.nodes[n] = x
			emit(blocklist, n, u)
		}
		t.nodes[n] = s.nodes[n].reached()
	}
	if m.Keys && now.phase != verified {
		m.takeName(s, who, all, t)
		return
	}
	switch {
	case now.phase == verified, m.Without == Rule6Verify && all:
		if a := m.fence(s.record, 'f', who); !a.refused {
			emit(finishFence, 0, m.write(s, a))
		}
	case all && !m.watched(t):
		t.persons[who].phase = verified
		emit(verifyFence, 0, t)
	}
}
