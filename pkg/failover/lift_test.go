package failover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

func TestMayLift(t *testing.T) {
	fenced := ceph.FencedNode{Cluster: east, Node: e1}
	rebooted := Sight{Cluster: east, Exists: true, Node: e1}
	rebooted.Node.BootID = "b2"
	seen := func(change func(*Sight)) Sight { s := rebooted; change(&s); return s }
	unnamed, unknown, old := fenced, fenced, fenced
	old.Node = ceph.Node{Name: "e1", Addresses: e1.Addresses, BootID: "b1"}
	unnamed.Node = ceph.Node{Addresses: []string{"10.0.1.13"}}
	unknown.Node.BootID = ""
	tests := map[string]struct {
		fenced ceph.FencedNode
		sight  Sight
		want   string
	}{
		"it rebooted":                     {fenced, rebooted, ""},
		"it did not":                      {fenced, seen(func(s *Sight) { s.Node.BootID = "b1" }), "node e1 has not rebooted since it was fenced (bootID b1)"},
		"another machine has its name":    {fenced, seen(func(s *Sight) { s.Node.MachineID = "m9" }), "nothing proves that the current Node e1 is the machine that was fenced (machineID and systemUUID then m1 s1, now m9 s1)"},
		"a clone of its machine":          {fenced, seen(func(s *Sight) { s.Node.SystemUUID = "s9" }), "nothing proves that the current Node e1"},
		"an earlier version fenced it":    {old, rebooted, "nothing proves that the current Node e1 is the machine that was fenced (machineID and systemUUID then not known"},
		"it has another name now":         {fenced, seen(func(s *Sight) { s.Node.Name, s.Node.UID = "e9", "u9" }), ""},
		"another cluster was asked":       {fenced, seen(func(s *Sight) { s.Cluster, s.Node = west, ceph.Node{Name: "e1", BootID: "b9", MachineID: "m9"} }), "node e1 belongs to cluster east, and this is another cluster\n  do this   run this command with --context for cluster east"},
		"the Node is gone":                {fenced, Sight{Cluster: east}, "cluster east no longer has a Node e1"},
		"its boot was not recorded":       {unknown, rebooted, "status.nodeInfo.bootID of node e1 was not known"},
		"its boot is not known now":       {fenced, seen(func(s *Sight) { s.Node.BootID = "" }), "status.nodeInfo.bootID of node e1 was not known"},
		"an address without a node":       {unnamed, rebooted, "10.0.1.13 was fenced by its address only"},
		"kubelet would mount it at once":  {fenced, seen(func(s *Sight) { s.Uses = []string{"pod shop/db-0"} }), "node e1 would mount volumes that cluster east does not own, for pod shop/db-0"},
		"a cluster that was built anew":   {fenced, seen(func(s *Sight) { s.Cluster = ceph.Party{UID: "u-new", Name: "east"} }), ""},
		"the same, and it did not reboot": {fenced, seen(func(s *Sight) { s.Cluster, s.Node.BootID = ceph.Party{UID: "u-new", Name: "east"}, "b1" }), "node e1 belongs to cluster east"},
		"it did not, and would mount too": {fenced, seen(func(s *Sight) { s.Node.BootID, s.Uses = "b1", []string{"x"} }), "has not rebooted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := MayLift(test.fenced, test.sight)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %s", err, test.want)
			}
		})
	}
}

func (d *disaster) find(names ...string) []Fenced {
	d.Helper()
	records, err := Records(d.Context(), d.storage, spaces)
	if err != nil {
		d.Fatal(err)
	}
	found, err := Find(records, names)
	if err != nil {
		d.Fatal(err)
	}
	return found
}

// fenced is a disaster after the failover.
func fenced(t *testing.T) *disaster {
	t.Helper()
	d := newDisaster(t)
	if err := d.failover(wish(), nil); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestFind(t *testing.T) {
	d := fenced(t)
	want := []Fenced{{ceph.FencedNode{Cluster: east, Node: e1}, []ceph.ImageSpec{data}}}
	for _, names := range [][]string{{"e1"}, {"10.0.1.11"}, {"fd00::11", "e1"}} {
		if diff := cmp.Diff(want, d.find(names...)); diff != "" {
			t.Errorf("%v -want +got:\n%s", names, diff)
		}
	}
	records, err := Records(t.Context(), d.storage, spaces)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Find(records, []string{"e1", "e2"}); err == nil || !strings.Contains(err.Error(), "no record says that e2 is fenced") {
		t.Errorf("got %v", err)
	}
}

func TestLift(t *testing.T) {
	d := fenced(t)
	if err := Lift(t.Context(), d.storage, spaces, d.find("e1")); err != nil {
		t.Fatal(err)
	}
	if got := d.entries(); !slices.Equal(got, []string{onE1}) {
		t.Errorf("the blocklist has %v; want the client instance, which never comes back", got)
	}
	if got := d.record(); len(got.Fenced) != 0 {
		t.Errorf("the record still has %+v", got.Fenced)
	}
	d.safe()
}

func TestLiftKilledAnywhereAndRunAgain(t *testing.T) {
	died := errors.New("the process was killed")
	for at := 1; ; at++ {
		d := fenced(t)
		nodes := d.find("e1")
		count := 0
		d.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
			if count++; count < at {
				return proceed()
			}
			if count == at {
				_ = proceed()
			}
			return died
		})
		err := Lift(t.Context(), d.storage, spaces, nodes)
		d.ceph.Intercept(nil)
		d.safe()
		if len(d.record().Fenced) > 0 {
			if err := Lift(t.Context(), d.storage, spaces, d.find("e1")); err != nil {
				t.Fatal(err)
			}
		}
		if got := d.entries(); !slices.Equal(got, []string{onE1}) {
			t.Errorf("killed at call %d, the blocklist has %v", at, got)
		}
		if err == nil {
			return
		}
	}
}

func TestLiftIsRefusedWhileAnotherNeedsTheFence(t *testing.T) {
	later := e1
	later.BootID = "b9"
	tests := map[string]struct {
		record []byte
		want   string
	}{
		"another boot of the node": {ceph.Record{Fenced: []ceph.FencedNode{{Cluster: east, Node: later}}}.Encode(), `10.0.1.11 is fenced for node "e1" of cluster east, too, from which image rbd/shop.other was taken`},
		"a failover that goes on":  {taking(held(east, []ceph.Node{e1}, onE1), west, "bob").Encode(), "10.0.1.11 is being fenced now: bob takes image rbd/shop.other from cluster east"},
		"a record of tomorrow":     {[]byte(`{"version":9}`), "the record of image rbd/shop.other cannot be read"},
	}
	for name, test := range tests {
		for _, when := range []string{"before", "meanwhile"} {
			t.Run(name+", "+when, func(t *testing.T) {
				d := fenced(t)
				nodes := d.find("e1")
				provisioner, err := d.ceph.Dial(t.Context(), cephtest.Provisioner)
				if err != nil {
					t.Fatal(err)
				}
				image, err := provisioner.CreateImage(t.Context(), other, ceph.Layout{Size: 1})
				if err != nil {
					t.Fatal(err)
				}
				if when == "before" {
					d.ceph.WriteRecord(image, test.record)
				} else {
					d.meanwhile("Unblocklist", func() { d.ceph.WriteRecord(image, test.record) })
				}
				err = Lift(t.Context(), d.storage, spaces, nodes)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v; want %s", err, test.want)
				}
				if diff := cmp.Diff([]string{"10.0.1.11:0/0", onE1, "[fd00::11]:0/0"}, d.entries()); diff != "" {
					t.Errorf("blocklist -want +got:\n%s", diff)
				}
			})
		}
	}
}
