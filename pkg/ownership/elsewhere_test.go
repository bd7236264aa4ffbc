package ownership_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

func TestRivals(t *testing.T) {
	present := func(nodes ...ceph.Node) (all []ownership.Present) {
		for _, node := range nodes {
			all = append(all, ownership.Present{Node: node})
		}
		return all
	}
	rebooted := e1
	rebooted.BootID = "boot-9"
	on := func(unbound, pending []string, nodes ...ceph.Node) ceph.Record {
		return ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: east, Nodes: nodes}, Unbound: unbound, Pending: pending}
	}
	const inUse = "node e1 has not reported that it has unmapped the volume"
	tests := map[string]struct {
		record ceph.Record
		seen   ownership.Seen
		want   []string
	}{
		"nobody owns it":                     {ceph.Record{}, ownership.Seen{}, nil},
		"the node where it was":              {on(nil, nil, e2), ownership.Seen{Attached: []ceph.Node{e2}}, nil},
		"another node reports it in use":     {on(nil, nil, e1), ownership.Seen{Attached: []ceph.Node{e1}, Present: present(e1)}, []string{inUse}},
		"another node has let go":            {on(nil, nil, e1), ownership.Seen{Present: present(e1)}, nil},
		"another node has rebooted":          {on(nil, nil, e1), ownership.Seen{Present: present(rebooted)}, nil},
		"its Node object is gone":            {on(nil, nil, e1), ownership.Seen{}, []string{"it was on node e1, whose Node object is gone"}},
		"the record does not name the other": {on(nil, nil), ownership.Seen{Attached: []ceph.Node{e1}}, []string{"node e1 uses the volume, and the record does not name it yet"}},
		"another pod may be bound there":     {on([]string{"me", "other"}, nil, e1), ownership.Seen{Present: present(e1), Pods: []string{"other"}, Unbound: []string{"other"}}, []string{"another pod of the claim has no node yet, and may get node e1"}},
		"another pod may be stored yet":      {on([]string{"other"}, []string{"other"}, e1), ownership.Seen{Present: present(e1)}, []string{"another pod of the claim has no node yet, and may get node e1"}},
		"another pod is gone":                {on([]string{"other"}, nil, e1), ownership.Seen{Present: present(e1)}, nil},
		"this pod has no node yet":           {on([]string{"me"}, nil, e1), ownership.Seen{Present: present(e1), Pods: []string{"me"}, Unbound: []string{"me"}}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, rival := range ownership.Rivals(test.record, "me", []ceph.Node{e2}, test.seen) {
				got = append(got, rival.Why)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A machine that was reinstalled, or replaced, has the address that a fence would be about.
func TestRivalsWhoseAddressIsTaken(t *testing.T) {
	lost := ceph.Node{Name: "e1", BootID: "boot-1", MachineID: "m1", Addresses: []string{"10.0.1.11"}}
	reinstalled := ceph.Node{Name: "e1", BootID: "boot-2", MachineID: "m2", Addresses: []string{"10.0.1.11"}}
	with := func(node ceph.Node, change func(*ceph.Node)) ceph.Node {
		change(&node)
		return node
	}
	record := ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: east, Nodes: []ceph.Node{lost}}}
	for name, test := range map[string]struct {
		present ceph.Node
		want    []string
	}{
		"reinstalled":                     {reinstalled, []string{"e1"}},
		"another node got the address":    {with(reinstalled, func(n *ceph.Node) { n.Name = "e9" }), []string{"e9"}},
		"another machine, other address":  {with(reinstalled, func(n *ceph.Node) { n.Addresses = []string{"10.0.1.99"} }), []string{""}},
		"it has rebooted":                 {with(reinstalled, func(n *ceph.Node) { n.MachineID = "m1" }), nil},
		"its Node object was made anew":   {with(lost, func(n *ceph.Node) { n.UID = "another" }), []string{""}},
		"another node, without addresses": {ceph.Node{Name: "e9", BootID: "boot-9"}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, rival := range ownership.Rivals(record, "me", []ceph.Node{e2}, ownership.Seen{Present: []ownership.Present{{Node: test.present}}}) {
				got = append(got, rival.AddressOf)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestIsCutOff(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	entry := func(addr string, lasting time.Duration) ceph.BlocklistEntry {
		return ceph.BlocklistEntry{Addr: addr, Until: now.Add(lasting)}
	}
	node := func(addresses []string, clients ...string) ceph.Node {
		return ceph.Node{Name: "e1", Addresses: addresses, Clients: clients}
	}
	one, two := []string{"10.0.1.11"}, []string{"10.0.1.11", "fd00::11"}
	tests := map[string]struct {
		node    ceph.Node
		entries []ceph.BlocklistEntry
		want    bool
	}{
		"nobody is on the list":            {node(one), nil, false},
		"the machine":                      {node(one, "10.0.1.11:0/7"), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", ceph.MaxFence-30*24*time.Hour)}, true},
		"for an hour":                      {node(one), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", time.Hour)}, false},
		"for a year":                       {node(one), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", 366*24*time.Hour)}, false},
		"one address of two":               {node(two), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", ceph.MaxFence)}, false},
		"both addresses":                   {node(two), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", ceph.MaxFence), entry("[fd00::11]:0/0", ceph.MaxFence)}, true},
		"its network":                      {node(one), []ceph.BlocklistEntry{entry("10.0.1.0/24", ceph.MaxFence)}, true},
		"its client only":                  {node(one, "10.0.1.11:0/7"), []ceph.BlocklistEntry{entry("10.0.1.11:0/7", ceph.MaxFence)}, false},
		"a client from another address":    {node(one, "10.9.1.11:0/7"), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", ceph.MaxFence)}, false},
		"that client too":                  {node(one, "10.9.1.11:0/7"), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", ceph.MaxFence), entry("10.9.1.11:0/7", ceph.MaxFence)}, true},
		"an address that cannot be read":   {node([]string{"10.0.1.11", "e1"}), []ceph.BlocklistEntry{entry("10.0.1.11:0/0", ceph.MaxFence)}, false},
		"a node of which nothing is known": {node(nil), nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ownership.IsCutOff(test.node, test.entries, now); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
