package failover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// lostE1 is what somebody in east asks for whose node e1 is lost.
func lostE1(change ...func(*Wish)) Wish {
	w := Wish{Taker: ownership.Taker{Cluster: east, By: "ann", Now: since}, Lost: "e1"}
	for _, change := range change {
		change(&w)
	}
	return w
}

func TestDecideLostNode(t *testing.T) {
	machines := []string{"10.0.1.11:0/0", "[fd00::11]:0/0"}
	both := held(east, []ceph.Node{e1, e2}, onE1, onE2)
	certain := keyed(both)
	waits := certain
	waits.Unbound, waits.Pending = []string{"p"}, []string{"p"}
	rebooted := e1
	rebooted.BootID = "b9"
	poor := e1
	poor.Addresses = nil
	taken := both
	taken.State, taken.Takeover = ceph.Fencing, &ceph.Takeover{Party: west, By: "bob", Since: since}
	reinstalled := e1
	reinstalled.BootID, reinstalled.MachineID, reinstalled.SystemUUID, reinstalled.UID = "b9", "another machine", "another machine", "another object"
	e9 := ceph.Node{Name: "e9", BootID: "b9", Addresses: e1.Addresses[:1]}
	e9.Clients = []string{"10.0.1.11:0/91"}
	both9 := e1
	both9.Clients = []string{onE1, "10.0.1.11:0/91"}
	reused := keyed(held(east, nil))
	reused.Owner.Nodes = []ceph.Node{both9, e9}
	gone := Lost{Node: ceph.Node{Name: "e1"}}
	present := Lost{Exists: true, Node: e1}
	ready := Lost{Exists: true, Reporting: true, Node: e1}
	used := Lost{Exists: true, Uses: true, Node: e1}
	tests := map[string]struct {
		situation Situation
		wish      Wish
		fence     Fence
		exact     bool
		done      string
		carried   []ceph.ImageSpec
		refused   string
	}{
		"not mapped exclusively: the machine": {
			situation: Situation{Record: both, Lost: present}, wish: lostE1(), fence: Fence{Machines: machines, Instances: []string{onE1}},
		},
		"mapped exclusively, by private clients": {
			situation: Situation{Record: certain, Lost: present}, wish: lostE1(), fence: Fence{Instances: []string{onE1}}, exact: true,
		},
		"a pod waits for a node": {
			situation: Situation{Record: waits, Lost: present}, wish: lostE1(), fence: Fence{Instances: []string{onE1}}, exact: true,
		},
		"a silent client that nobody recorded has the lock": {
			situation: Situation{Record: certain, Lost: present, Holder: &ceph.LockedError{Addr: "10.0.1.11:0/77"}}, wish: lostE1(),
			fence: Fence{Instances: []string{onE1, "10.0.1.11:0/77"}}, exact: true,
		},
		"the node that works has the lock": {
			situation: Situation{Record: certain, Lost: present, Nodes: []ceph.Node{e1, e2}, Holder: &ceph.LockedError{Addr: onE2}, Watchers: watching(onE2), Explained: []string{onE2}}, wish: lostE1(),
			fence: Fence{Instances: []string{onE1}}, exact: true,
		},
		"no client of it was seen": {
			situation: Situation{Record: keyed(held(east, []ceph.Node{e1})), Lost: present}, wish: lostE1(), fence: Fence{Machines: machines},
		},
		"the record does not name it yet": {
			situation: Situation{Record: keyed(held(east, nil)), Lost: used}, wish: lostE1(), fence: Fence{Machines: machines},
		},
		"its Node object is gone": {
			situation: Situation{Record: both, Lost: gone, Nodes: []ceph.Node{e2}}, wish: lostE1(), fence: Fence{Machines: machines, Instances: []string{onE1}},
		},
		"another volume of the node": {
			situation: Situation{Record: both, Lost: present, Others: []ceph.RecordOf{{Image: other, Record: held(east, []ceph.Node{e1})}}}, wish: lostE1(),
			fence: Fence{Machines: machines, Instances: []string{onE1}}, carried: []ceph.ImageSpec{other},
		},
		"Ceph has fenced its client for an hour": {
			situation: Situation{Record: certain, Lost: present, Now: since, Entries: []ceph.BlocklistEntry{{Addr: onE1, Until: since.Add(time.Hour)}}}, wish: lostE1(),
			fence: Fence{Machines: machines[:1], Instances: []string{onE1}},
		},
		"nobody owns it":            {situation: Situation{Lost: present}, wish: lostE1(), done: "it is not this cluster's"},
		"another cluster owns it":   {situation: Situation{Record: held(west, []ceph.Node{e1}, onE1), Lost: used}, wish: lostE1(), done: "it is not this cluster's"},
		"the node does not have it": {situation: Situation{Record: held(east, []ceph.Node{e2}, onE2), Lost: present}, wish: lostE1(), done: "node e1 does not have it"},
		"the node has rebooted":     {situation: Situation{Record: both, Lost: Lost{Exists: true, Reporting: true, Node: rebooted}, Nodes: []ceph.Node{rebooted, e2}}, wish: lostE1(), done: "node e1 does not have it"},
		"the node reports":          {situation: Situation{Record: certain, Lost: ready}, wish: lostE1(), refused: "node e1 of this cluster reports to its API server, and would be cut off while it works"},
		"the node reports, and the person says that it is lost": {
			situation: Situation{Record: certain, Lost: ready}, wish: lostE1(func(w *Wish) { w.AlthoughReporting = true }), fence: Fence{Instances: []string{onE1}}, exact: true,
		},
		"somebody takes the image": {situation: Situation{Record: taken, Lost: present}, wish: lostE1(), refused: "bob has been taking it for cluster west"},
		"it has no address":        {situation: Situation{Record: held(east, []ceph.Node{poor}), Lost: present}, wish: lostE1(), refused: "neither the record nor a Node object has an address of node e1"},
		"its clients come from addresses of no node": {
			situation: Situation{Record: held(east, []ceph.Node{e1}, "10.9.0.1:0/4"), Lost: present}, wish: lostE1(),
			refused: "no client of node e1 was seen, and clients of this cluster come from addresses of no node (10.9.0.1:0/4)",
		},
		"the person names where it reaches Ceph from": {
			situation: Situation{Record: held(east, []ceph.Node{e1}, "10.9.0.1:0/4"), Lost: present}, wish: lostE1(func(w *Wish) { w.Also = []string{"10.9.0.1:0/0"} }),
			fence: Fence{Machines: append(slices.Clone(machines[:1]), "10.9.0.1:0/0", machines[1])},
		},
		"its name and address belong to another machine now": {
			situation: Situation{Record: both, Lost: Lost{Exists: true, Node: reinstalled}, Nodes: []ceph.Node{reinstalled, e2}}, wish: lostE1(), refused: "the fence would cut off 10.0.1.11, which is node e1 of this cluster",
		},
		"a client of it may be that of a node that got its address": {
			situation: Situation{Record: reused, Lost: gone}, wish: lostE1(), refused: "client 10.0.1.11:0/91 may be that of node e9, which has the address that node e1 had",
		},
		"a node that nobody recorded got its address": {
			situation: Situation{Record: certain, Lost: gone, Nodes: []ceph.Node{e2, {Name: "e9", Addresses: e1.Addresses[:1]}}}, wish: lostE1(), refused: "may be that of node e9, which has the address",
		},
		"the person names a gateway": {
			situation: Situation{Record: both, Lost: present, Watchers: watching("10.9.0.1:0/4"), Explained: []string{"10.9.0.1:0/4"}}, wish: lostE1(func(w *Wish) { w.Also = []string{"10.9.0.1:0/0"} }),
			refused: "--also-fence: it cuts off client 10.9.0.1:0/4 of this cluster, too",
		},
		"another node has its address": {
			situation: Situation{Record: both, Lost: present, Nodes: []ceph.Node{e1, {Name: "e3", Addresses: e1.Addresses[:1]}}}, wish: lostE1(), refused: "the fence would cut off 10.0.1.11, which is node e3 of this cluster",
		},
		"Ceph runs on it": {
			situation: Situation{Record: both, Lost: present, Daemons: []ceph.Daemon{{Name: "osd.1", Addr: ip("10.0.1.11")}}}, wish: lostE1(), refused: "the fence would cut off 10.0.1.11, which is osd.1 of Ceph itself",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.situation.Image = data
			plan, err := Decide(test.situation, test.wish)
			var refusal *Refusal
			switch {
			case test.refused != "":
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), test.refused) || refusal.Do == "" {
					t.Fatalf("got %v, want %q", err, test.refused)
				}
				return
			case err != nil:
				t.Fatal(err)
			case plan.Done != (test.done != "") || plan.Why != test.done:
				t.Fatalf("done: %v, %q", plan.Done, plan.Why)
			}
			if diff := cmp.Diff(test.fence, plan.Fence, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("fence -want +got:\n%s", diff)
			}
			if plan.Exact != test.exact {
				t.Errorf("exact: %v, because %q", plan.Exact, plan.Because)
			}
			var carried []ceph.ImageSpec
			for _, c := range plan.Carried {
				carried = append(carried, c.Image)
			}
			if diff := cmp.Diff(test.carried, carried); diff != "" {
				t.Errorf("carried -want +got:\n%s", diff)
			}
		})
	}
}

// lose has e1 cut off, as the command does.
func (d *disaster) lose(did func(Step)) error {
	d.Helper()
	seen, err := See(d.Context(), d.storage, []ceph.ImageSpec{d.image}, spaces)
	if err != nil {
		return err
	}
	situation := seen[0].Situation
	situation.Lost, situation.Nodes = Lost{Exists: true, Node: e1, Uses: true}, []ceph.Node{e1, e2}
	plan, err := Decide(situation, lostE1())
	if err != nil {
		return err
	}
	if did == nil {
		did = func(Step) {}
	}
	return Take(d.Context(), d.storage, plan, nil, did)
}

// The node that was lost writes nothing more, and the image stays east's. Another node may
// open it meanwhile.
func TestTakeLostNode(t *testing.T) {
	d := newDisaster(t)
	var steps []Step
	other := ceph.Watcher{Addr: onE2, Client: "client.5", Cookie: 2}
	d.ceph.AddWatcher(data, other)
	if err := d.lose(func(step Step) { steps = append(steps, step) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Step{Machines, Instances, InForce, NodeFenced}, steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := d.east.Write("late"); err == nil {
		t.Error("the lost node wrote")
	}
	record := d.record()
	last := record.History[len(record.History)-1]
	if !ownership.Owns(record, east) || record.State != ceph.Held || last.Event != ceph.NodeFenced || last.By != "ann" {
		t.Errorf("the record is %+v", record)
	}
	if len(record.Fenced) != 1 || record.Fenced[0].Node.Name != "e1" || record.Fenced[0].Cluster != east {
		t.Errorf("fenced: %+v", record.Fenced)
	}
	entries, err := d.storage.Blocklisted(t.Context())
	if err != nil || !ownership.IsCutOff(record.Owner.Nodes[0], entries, time.Now()) {
		t.Errorf("the guard does not take it for cut off: %v, %v", entries, err)
	}
	// Run again, it does nothing new, and ends well.
	if err := d.lose(nil); err != nil {
		t.Error(err)
	}
}

// A command that dies after any of its calls is run again.
func TestTakeLostNodeBrokenOff(t *testing.T) {
	for n := 1; ; n++ {
		d := newDisaster(t)
		calls, broke := 0, errors.New("it dies")
		d.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
			if calls++; calls == n {
				return broke
			}
			return proceed()
		})
		first := d.lose(nil)
		d.ceph.Intercept(nil)
		if first == nil {
			break
		}
		if err := d.lose(nil); err != nil {
			t.Fatalf("after call %d: %v", n, err)
		}
		if err := d.east.Write("late"); err == nil {
			t.Errorf("after call %d: the lost node wrote", n)
		}
	}
}

// The node opens the image again while the plan is confirmed: it lives.
func TestTakeLostNodeThatLives(t *testing.T) {
	d := newDisaster(t)
	once := false
	d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && !once {
			once = true
			d.put(data, held(east, []ceph.Node{e1}, onE1, "10.0.1.11:0/9"))
		}
		return proceed()
	})
	err := d.lose(nil)
	if err == nil || !strings.Contains(err.Error(), "node e1 has written to the record in the meantime") {
		t.Errorf("got %v", err)
	}
	if got := d.entries(); len(got) > 0 {
		t.Errorf("on the blocklist: %q", got)
	}
}

// A client that is not in the plan, and comes when that is carried out, is not fenced: the node may have
// booted since, and work.
func TestTakeLostNodeThatOpensItAgain(t *testing.T) {
	const late = "10.0.1.11:0/99"
	d := newDisaster(t)
	record := held(east, []ceph.Node{e1}, onE1)
	record.Exclusive, record.Private = true, true
	d.put(data, record)
	d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		err := proceed()
		if call.Method == "Barrier" {
			d.ceph.AddWatcher(data, ceph.Watcher{Addr: late, Client: "client.9", Cookie: 9})
		}
		return err
	})
	var refusal *Refusal
	err := d.lose(nil)
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "node e1 has opened the image since the plan was made (client "+late+")") {
		t.Errorf("got %v", err)
	}
	entries, err := d.storage.Blocklisted(t.Context())
	if err != nil || len(entries) == 0 {
		t.Fatalf("%v, %+v", err, entries)
	}
	for _, entry := range entries {
		if entry.Covers(late) {
			t.Errorf("it is on the blocklist: %s", entry.Addr)
		}
	}
	if last := d.record().History; len(last) > 0 && last[len(last)-1].Event == ceph.NodeFenced {
		t.Error("the record says that the node is cut off")
	}
}
