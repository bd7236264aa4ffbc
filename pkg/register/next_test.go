package register

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
)

var (
	east = ceph.Party{UID: "u-east", Name: "east"}
	west = ceph.Party{UID: "u-west", Name: "west"}
	noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
)

// boot is one of a machine of its own for each name.
func boot(name, id string, addresses ...string) ceph.Node {
	return ceph.Node{Name: name, BootID: id, UID: "uid-" + name, MachineID: "machine-" + name, SystemUUID: "system-" + name, Addresses: addresses}
}

func TestNext(t *testing.T) {
	e1, e2 := boot("e1", "b1", "10.0.1.11"), boot("e2", "b2", "10.0.1.12")
	again := boot("e2", "b3", "10.0.1.99")
	other := boot("e2", "b4", "10.0.1.12")
	other.MachineID, other.SystemUUID, other.UID = "machine-new", "system-new", "uid-new"
	both := []ceph.Node{e1, e2}
	moved := e2
	moved.Addresses = []string{"10.0.1.22"}
	twice := e2
	twice.Addresses = []string{"10.0.1.12", "10.0.1.22"}
	open := e2
	open.Clients = []string{"10.0.1.12:0/7"}
	for name, test := range map[string]struct {
		stored, present []ceph.Node
		open            Open
		want            []ceph.Node
		same            bool
	}{
		"the first time":                                       {present: []ceph.Node{e2, e1}, want: both},
		"nothing has changed":                                  {stored: both, present: []ceph.Node{e2, e1}, want: both, same: true},
		"nothing has changed, and a pod has no node":           {stored: both, present: both, open: Open{Any: true}, want: both, same: true},
		"a node comes":                                         {stored: []ceph.Node{e1}, present: both, want: both},
		"a node changes its address":                           {stored: both, present: []ceph.Node{e1, moved}, want: []ceph.Node{e1, twice}},
		"and nothing more happens":                             {stored: []ceph.Node{e1, twice}, present: []ceph.Node{e1, moved}, want: []ceph.Node{e1, twice}, same: true},
		"a node has booted":                                    {stored: both, present: []ceph.Node{e1, again}, want: []ceph.Node{e1, again}},
		"a node has booted, and a pod has no node":             {stored: both, present: []ceph.Node{e1, again}, open: Open{Any: true}, want: []ceph.Node{e1, again}},
		"another machine has its name":                         {stored: both, present: []ceph.Node{e1, other}, want: []ceph.Node{e1, other}},
		"another machine has its name, and a pod has no node":  {stored: both, present: []ceph.Node{e1, other}, open: Open{Any: true}, want: []ceph.Node{e1, e2, other}},
		"its Node object is gone":                              {stored: both, present: []ceph.Node{e1}, want: []ceph.Node{e1}},
		"its Node object is gone, and a pod has no node":       {stored: both, present: []ceph.Node{e1}, open: Open{Any: true}, want: both, same: true},
		"its Node object is gone, and a record names it":       {stored: both, present: []ceph.Node{e1}, open: Open{Holders: []ceph.Node{{Name: "e2"}}}, want: both, same: true},
		"its Node object is gone, and a record names its boot": {stored: both, present: []ceph.Node{e1}, open: Open{Holders: []ceph.Node{{Name: "old", BootID: "b2"}}}, want: both, same: true},
		"its Node object is gone, and a record names another":  {stored: both, present: []ceph.Node{e1}, open: Open{Holders: []ceph.Node{e1}}, want: []ceph.Node{e1}},
		"its Node object was made anew and says nothing yet":   {stored: both, present: []ceph.Node{e1, {Name: "e2", UID: "uid-new"}}, want: both, same: true},
		"a Node object says nothing yet":                       {stored: []ceph.Node{e1}, present: []ceph.Node{e1, {Name: "e2", UID: "uid-e2"}}, want: []ceph.Node{e1, {Name: "e2", UID: "uid-e2"}}},
		"a Node object has said something":                     {stored: []ceph.Node{e1, {Name: "e2", UID: "uid-e2"}}, present: both, want: both},
		"clients are not registered":                           {stored: both, present: []ceph.Node{e1, open}, want: both, same: true},
		"no Node object is left":                               {stored: both},
		"no Node object is left, and a record cannot be read":  {stored: both, open: Open{Any: true}, want: both, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			stored := ceph.Registration{Token: "t", Party: east, Version: "v1", Nodes: test.stored, Written: noon, Revision: 7}
			got, changed := Next(stored, east, "v1", test.present, test.open, noon.Add(time.Minute+time.Millisecond))
			want := ceph.Registration{Token: "t", Party: east, Version: "v1", Nodes: test.want, Written: noon.Add(time.Minute), Revision: 7}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || changed == test.same {
				t.Errorf("changed %t, -want +got:\n%s", changed, diff)
			}
		})
	}
}

func TestNextOfAnotherNameOrVersion(t *testing.T) {
	stored, changed := Next(ceph.Registration{}, east, "v1", nil, Open{}, noon)
	if !changed {
		t.Error("a cluster without nodes is not registered")
	}
	for name, test := range map[string]struct {
		self    ceph.Party
		version string
		changed bool
	}{
		"the same":        {east, "v1", false},
		"another name":    {ceph.Party{UID: "u-east", Name: "orient"}, "v1", true},
		"another version": {east, "v2", true},
	} {
		next, changed := Next(stored, test.self, test.version, nil, Open{}, noon)
		if changed != test.changed || next.Party != test.self || next.Version != test.version {
			t.Errorf("%s: changed %t, %+v", name, changed, next)
		}
	}
}

func TestOpenBy(t *testing.T) {
	e1 := boot("e1", "b1", "10.0.1.11")
	held := func(party ceph.Party, unbound ...string) ceph.RecordOf {
		return ceph.RecordOf{Record: ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: party, Nodes: []ceph.Node{e1}}, Unbound: unbound}}
	}
	for name, test := range map[string]struct {
		records []ceph.RecordOf
		want    Open
	}{
		"no record":                  {nil, Open{}},
		"a free one":                 {[]ceph.RecordOf{{}}, Open{}},
		"held":                       {[]ceph.RecordOf{held(east)}, Open{Holders: []ceph.Node{e1}}},
		"held for a pod with none":   {[]ceph.RecordOf{held(east), held(east, "p"), held(east)}, Open{Any: true, Holders: []ceph.Node{e1, e1, e1}}},
		"another cluster's":          {[]ceph.RecordOf{held(west, "p")}, Open{}},
		"another of the same name":   {[]ceph.RecordOf{held(ceph.Party{UID: "u-dead", Name: "east"}, "p")}, Open{}},
		"one that cannot be read":    {[]ceph.RecordOf{{Err: ceph.ErrRecordUnknown}}, Open{Any: true}},
		"the same beside a free one": {[]ceph.RecordOf{{Err: ceph.ErrRecordUnknown}, {}}, Open{Any: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, OpenBy(test.records, east)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
