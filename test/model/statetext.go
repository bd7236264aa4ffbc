package model

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

var (
	phaseWords = [...]string{
		looked: "is being reviewed", claimed: "is claimed, and not admitted", named: "is claimed, and the name is seen", taken: "has this volume, and asks for another",
		admitted: "is admitted, and not stored", stored: "is stored, without a node", bindingAdmitted: "may be bound to", bound: "is bound to", unread: "is being reviewed",
	}
	mountWords  = [...]string{"", "is about to mount", "has looked for watchers", "has resolved the name", "has the image mapped"}
	watchWords  = [...]string{"", "watches it", "is silent", "lost its watch for good"}
	entryWords  = [...]string{"", "is being fenced for an hour", "is fenced for an hour", "is being fenced for good", "is fenced for good"}
	personWords = [...]string{"", "has begun a failover", "saw nobody", "has the name", "has fenced everybody"}
)

// text is the state for people.
func (m *Model) text(s state) []string {
	var all []string
	add := func(who string, what ...string) {
		var said []string
		for _, word := range what {
			if word != "" {
				said = append(said, word)
			}
		}
		if len(said) > 0 {
			all = append(all, fmt.Sprintf("%-7s %s", who, strings.Join(said, ", ")))
		}
	}
	add("record", m.recordText(m.records.all[s.record])...)
	if m.Keys {
		for name := range uint8(m.clusters + 1) {
			if s.keys.has(name) {
				add("name", nameOf(int8(name)))
			}
		}
	}
	if s.lock > 0 {
		add("lock", m.name(int(s.lock)-1))
	}
	for c := range m.clusters {
		for p := range m.Pods {
			now := s.pods[c][p]
			if now.phase == noPod {
				continue
			}
			on := ""
			if now.node > 0 {
				on = " " + m.name(int(now.node)-1)
			}
			add(clusterNames[c], podName(c, p)+" "+phaseWords[now.phase]+on)
		}
	}
	for n := range m.Nodes {
		add(m.name(n), s.nodes[n].text()...)
	}
	for who := range m.Persons {
		add(personNames[who], personWords[s.persons[who].phase])
	}
	return all
}

func (m *Model) recordText(record ceph.Record) []string {
	if record.Owner == nil {
		return []string{record.State.String()}
	}
	said := []string{record.State.String() + ", owner " + record.Owner.Name}
	if record.Takeover != nil {
		said = append(said, "taken by "+record.Takeover.By+" for "+record.Takeover.Name)
	}
	for _, node := range record.Owner.Nodes {
		said = append(said, "holder "+node.Name)
		if strings.HasPrefix(node.BootID, "former") {
			said[len(said)-1] += " of an earlier boot"
		}
	}
	for _, client := range record.Owner.Clients {
		said = append(said, "client "+client)
	}
	if len(record.Pending) > 0 {
		said = append(said, "not seen yet: "+m.podNames(record.Pending))
	}
	if len(record.Unbound) > 0 {
		said = append(said, "without a node: "+m.podNames(record.Unbound))
	}
	return said
}

// podNames are pods of a record as scenarios call them.
func (m *Model) podNames(uids []string) string {
	pairs := []string{formerPod, "a pod that is gone"}
	for c := range m.clusters {
		for p := range m.Pods {
			pairs = append(pairs, m.uid(c, p), podName(c, p))
		}
	}
	return strings.NewReplacer(pairs...).Replace(strings.Join(uids, " "))
}

func (n node) text() []string {
	said := []string{}
	for _, flag := range []struct {
		is   bool
		word string
	}{
		{n.gone, "has no Node object"}, {n.replaced, "is another machine"}, {n.anew, "has registered anew"}, {n.stale, "shows the boot before"},
		{n.attached, "is attached"}, {n.inUse, "lists the volume in use"}, {n.forced, "runs a pod that its API server has forgotten"},
	} {
		if flag.is {
			said = append(said, flag.word)
		}
	}
	said = append(said, mountWords[n.mount])
	if n.watch == registered && n.mount != mapped {
		said = append(said, "the watch of its former client has not expired")
	} else {
		said = append(said, watchWords[n.watch])
	}
	for _, entry := range []struct {
		of string
		is entry
	}{{"its client ", n.instance}, {"its machine ", n.address}, {"its former address ", n.former}} {
		if entry.is != noEntry {
			said = append(said, entry.of+entryWords[entry.is])
		}
	}
	if n.canWrite() {
		said = append(said, "can write")
	}
	return said
}
