package failover

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// ofEast is a webhook that was giving the image its name, self who takes the image.
	ofEast = "10.0.1.12:0/41"
	self   = "10.0.9.9:0/42"
)

// westsData is the image as west's volume leads to it.
var westsData = ceph.ImageSpec{Pool: "rbd", Name: "shop.data", Key: "west"}

// keyed is the record of an image that carries its owner's name and is mapped exclusively, by
// a client of its own.
func keyed(record ceph.Record, renamers ...string) ceph.Record {
	record.Keyed, record.Exclusive, record.Private, record.Named = true, true, true, record.State == ceph.Held
	record.Renamers = renamers
	return record
}

func TestDecideExactly(t *testing.T) {
	certain := keyed(held(east, []ceph.Node{e1}, onE1), ofEast)
	changed := func(change func(*ceph.Record)) ceph.Record { r := certain; change(&r); return r }
	wished := func(change func(*Wish)) Wish { w := wish(); change(&w); return w }
	register := []ceph.Registration{{Party: east, Nodes: []ceph.Node{e1, e2}, Written: since}, {Party: west, Nodes: []ceph.Node{{Name: "w1", Addresses: []string{"10.0.2.11"}}}}}
	rebooted := e1
	rebooted.BootID = "b9"
	machines := []string{"10.0.1.11:0/0", "[fd00::11]:0/0"}
	lockedBy := func(addr string) *ceph.LockedError { return &ceph.LockedError{Client: "client.9", Addr: addr} }
	until := since.Add(time.Hour)
	short := []ceph.BlocklistEntry{{Addr: onE1, Until: until}}
	const endsSoon = "client 10.0.1.11:0/1 is on the blocklist until 2026-11-22T15:03:00Z, and Ceph does not extend an entry unless another covers it"
	tests := map[string]struct {
		situation Situation
		wish      Wish
		fence     Fence
		because   string
		// only: nothing but this volume loses Ceph.
		only    bool
		fenced  []ceph.FencedNode
		refused string
	}{
		"a certain record": {
			situation: Situation{Record: certain, Watchers: watching(onE1)},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"the same, of a silent holder": {
			situation: Situation{Record: certain, Holder: lockedBy(onE1)},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"a client that is behind a router": {
			situation: Situation{Record: keyed(held(east, []ceph.Node{e1}, onE1, "10.9.9.9:0/3"))},
			fence:     Fence{Instances: []string{onE1, "10.9.9.9:0/3"}}, only: true,
		},
		"the node is behind a storage network": {
			situation: Situation{Record: keyed(held(east, []ceph.Node{e1}, "192.168.7.5:0/3"))},
			fence:     Fence{Machines: []string{"10.0.1.11:0/0", "192.168.7.5:0/0", "[fd00::11]:0/0"}, Instances: []string{"192.168.7.5:0/3"}},
			because:   "no client of node e1 was seen",
			fenced: []ceph.FencedNode{
				{Cluster: east, Node: e1},
				{Cluster: east, Node: ceph.Node{Addresses: []string{"192.168.7.5"}}},
			},
		},
		"nobody has opened it": {situation: Situation{Record: keyed(held(east, nil))}, only: true},
		"its mapping shares the node's client": {
			situation: Situation{Record: changed(func(r *ceph.Record) { r.Private = false })},
			fence:     Fence{machines, []string{onE1, ofEast}},
			because:   "its mappings are not clients of their own, so fencing them cuts off the other volumes of their node as well",
			fenced:    []ceph.FencedNode{{Cluster: east, Node: e1}},
		},
		"another image has the same client": {
			situation: Situation{Record: certain, Others: []ceph.RecordOf{{Image: other, Record: held(east, []ceph.Node{e1}, onE1)}}},
			fence:     Fence{Instances: []string{onE1, ofEast}},
		},
		"another image was given its name by the same webhook": {
			situation: Situation{Record: certain, Others: []ceph.RecordOf{{Image: other, Record: keyed(held(east, []ceph.Node{e1}, "10.0.1.11:0/2"), ofEast)}}},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"another record cannot be read": {
			situation: Situation{Record: certain, Others: []ceph.RecordOf{{Image: other, Err: ceph.ErrRecordUnknown}}},
			fence:     Fence{Instances: []string{onE1, ofEast}},
		},
		"a third cluster has a client at the same address": {
			situation: Situation{Record: certain, Others: []ceph.RecordOf{{Image: other, Record: held(north, nil, "10.0.1.11:0/77")}}},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"Ceph runs on the node": {
			situation: Situation{Record: certain, Daemons: []ceph.Daemon{{Name: "mon.a", Addr: ip("10.0.1.11")}}},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"a third cluster's record has the client": {
			situation: Situation{Record: certain, Others: []ceph.RecordOf{{Image: other, Record: held(north, nil, onE1)}}},
			refused:   "client 10.0.1.11:0/1 is in the record of image rbd/shop.other too, which cluster north owns",
		},

		"it is not mapped exclusively": {
			situation: Situation{Record: changed(func(r *ceph.Record) { r.Exclusive = false })},
			fence:     Fence{machines, []string{onE1, ofEast}},
			because:   "the image is not mapped exclusively, so an unrecorded client could write unseen",
			fenced:    []ceph.FencedNode{{Cluster: east, Node: e1}},
		},
		"a pod that was not seen": {
			situation: Situation{Record: changed(func(r *ceph.Record) { r.Pending = []string{"p"} })},
			fence:     Fence{machines, []string{onE1, ofEast}},
			because:   "a pod was admitted, and the record does not say what came of it",
			fenced:    []ceph.FencedNode{{Cluster: east, Node: e1}},
		},
		"a node of which no client was seen": {
			situation: Situation{Record: keyed(held(east, []ceph.Node{e1, e2}, onE1))},
			fence:     Fence{append([]string{"10.0.1.11:0/0", "10.0.1.12:0/0"}, machines[1:]...), []string{onE1}},
			because:   "no client of node e2 was seen",
			fenced:    []ceph.FencedNode{{Cluster: east, Node: e1}, {Cluster: east, Node: e2}},
		},
		"the same, after that boot": {
			situation: Situation{Record: keyed(held(east, []ceph.Node{e1, e2}, onE2)), Nodes: []ceph.Node{rebooted}},
			fence:     Fence{Instances: []string{onE2}}, only: true,
		},
		"pods without a node": {
			situation: Situation{Record: waiting(certain, "p"), Clusters: register},
			fence:     Fence{append([]string{"10.0.1.11:0/0", "10.0.1.12:0/0"}, machines[1:]...), []string{onE1, ofEast}},
			fenced:    []ceph.FencedNode{{Cluster: east, Node: e1}, {Cluster: east, Node: e2}},
		},
		"pods without a node, and a person who knows": {
			situation: Situation{Record: waiting(keyed(held(east, nil)), "p"), Clusters: register}, wish: wished(func(w *Wish) { w.Nodes = []string{"e2"} }),
			fence:  Fence{Machines: []string{"10.0.1.12:0/0"}},
			fenced: []ceph.FencedNode{{Cluster: east, Node: e2}},
		},

		"another client of a recorded node": {
			situation: Situation{Record: certain, Watchers: watching("10.0.1.11:0/7")},
			fence:     Fence{Instances: []string{onE1, "10.0.1.11:0/7", ofEast}}, only: true,
		},
		"a client of a registered node": {
			situation: Situation{Record: certain, Watchers: watching(onE2), Clusters: register},
			fence:     Fence{Instances: []string{onE1, onE2, ofEast}}, only: true,
		},
		"a client that is silent and in no record, of a registered node": {
			situation: Situation{Record: certain, Holder: lockedBy(onE2), Clusters: register},
			fence:     Fence{Instances: []string{onE1, onE2, ofEast}}, only: true,
		},
		"a client of a machine that is this cluster's": {
			situation: Situation{Record: certain, Watchers: watching(onE2), Clusters: register, Nodes: []ceph.Node{{Name: "w2", Addresses: []string{"10.0.1.12"}}}},
			refused:   "client 10.0.1.12:0/2 (client.4) has the image open, and the record does not say that it is one of cluster east",
		},
		"a client of a machine to spare": {
			situation: Situation{Record: certain, Watchers: watching(onE2), Clusters: register}, wish: wished(func(w *Wish) { w.Spare = []netip.Addr{ip("10.0.1.12")} }),
			refused: "client 10.0.1.12:0/2 (client.4) has the image open, and the record does not say that it is one of cluster east",
		},
		"a stranger has it open": {
			situation: Situation{Record: certain, Watchers: watching(onE1, onW1), Clusters: register},
			refused:   "client 10.0.2.11:0/5 (client.4) has the image open, and the record does not say that it is one of cluster east",
		},
		"a stranger has the lock": {
			situation: Situation{Record: certain, Holder: lockedBy("10.0.7.7:0/8"), Clusters: register},
			refused:   "client 10.0.7.7:0/8 (client.9) has the image's lock, and the record does not say that it is one of cluster east\n  do this   find out who that is; if it is a client of the dead cluster, add --also-fence 10.0.7.7:0/8",
		},
		"the same, and the person knows": {
			situation: Situation{Record: certain, Holder: lockedBy("10.0.7.7:0/8")}, wish: wished(func(w *Wish) { w.Also = []string{"10.0.7.7:0/8"} }),
			fence: Fence{Instances: []string{onE1, ofEast, "10.0.7.7:0/8"}}, only: true,
		},
		"the person wants a machine fenced": {
			situation: Situation{Record: certain, Holder: lockedBy("10.0.7.7:0/8")}, wish: wished(func(w *Wish) { w.Also = []string{"10.0.7.7:0/0"} }),
			fence:  Fence{[]string{"10.0.7.7:0/0"}, []string{onE1, ofEast, "10.0.7.7:0/8"}},
			fenced: []ceph.FencedNode{{Cluster: east, Node: ceph.Node{Addresses: []string{"10.0.7.7"}}}},
		},

		"Ceph has fenced a client for an hour": {
			situation: Situation{Record: certain, Entries: short, Now: since},
			fence:     Fence{[]string{"10.0.1.11:0/0"}, []string{onE1, ofEast}}, because: endsSoon,
			fenced: []ceph.FencedNode{{Cluster: east, Node: ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1", UID: "u1", MachineID: "m1", SystemUUID: "s1"}}},
		},
		"the same, and another entry covers it": {
			situation: Situation{Record: certain, Entries: append([]ceph.BlocklistEntry{{Addr: "10.0.1.0/24", Until: until}}, short...), Now: since},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"a client is fenced for good already": {
			situation: Situation{Record: certain, Entries: []ceph.BlocklistEntry{{Addr: onE1, Until: since.Add(ceph.MaxFence)}}, Now: since},
			fence:     Fence{Instances: []string{onE1, ofEast}}, only: true,
		},
		"Ceph has fenced a client for an hour, on a machine of this cluster": {
			situation: Situation{Record: certain, Entries: short, Now: since, Local: []netip.Prefix{netip.MustParsePrefix("10.0.1.11/32")}},
			refused:   "the fence would cut off 10.0.1.11, which is an address of this cluster",
		},
		"Ceph has fenced a renamer for an hour, and the machines are fenced for another reason": {
			situation: Situation{Record: changed(func(r *ceph.Record) { r.Exclusive = false }), Entries: []ceph.BlocklistEntry{{Addr: ofEast, Until: until}}, Now: since},
			fence:     Fence{append([]string{"10.0.1.11:0/0", "10.0.1.12:0/0"}, machines[1:]...), []string{onE1, ofEast}},
			because:   "the image is not mapped exclusively, so an unrecorded client could write unseen; client 10.0.1.12:0/41 is on the blocklist until 2026-11-22T15:03:00Z, and Ceph does not extend an entry unless another covers it",
			fenced:    []ceph.FencedNode{{Cluster: east, Node: e1}, {Cluster: east, Node: ceph.Node{Addresses: []string{"10.0.1.12"}}}},
		},

		"what was begun goes on": {
			situation: Situation{Record: keyed(taking(held(east, []ceph.Node{e1}, onE1), west, "ann"), "10.0.9.9:0/17", self), Self: self},
			fence:     Fence{Instances: []string{onE1, "10.0.9.9:0/17"}}, only: true,
		},
		"this command runs on a machine that would be fenced": {
			situation: Situation{Record: changed(func(r *ceph.Record) { r.Exclusive = false }), Self: "10.0.1.11:0/88"},
			refused:   "the fence would cut off 10.0.1.11, which is where this command runs",
		},

		"this cluster has another key": {
			situation: Situation{Record: certain, Keys: []ceph.Key{{Name: "east", UID: east.UID}, {Name: "occident", UID: west.UID}}},
			refused:   "the volume of this cluster leads to shop.data~west, and the image would get the name shop.data~occident\n  do this   recreate the volume's PersistentVolume with the volumeHandle shop.data~occident",
		},
		"another cluster has the key": {
			situation: Situation{Record: certain, Keys: []ceph.Key{{Name: "west", UID: "u-another"}}},
			refused:   "the volume of this cluster leads to shop.data~west, which is the name for another cluster (uid u-another)",
		},
		"the volume here leads to no key": {
			situation: Situation{Image: westsData.Base(), Record: certain},
			refused:   "the volume of this cluster leads to shop.data, and the image would get the name shop.data~west",
		},
		"the volume here has a key, and the image has none": {
			situation: Situation{Image: westsData, Record: held(east, []ceph.Node{e1}, onE1)},
			refused:   "the image does not carry its owner's name, and the volume of this cluster leads to shop.data~west\n  do this   recreate the volume's PersistentVolume with the volumeHandle shop.data",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.wish.By == "" {
				test.wish = wish()
			}
			if test.situation.Image == (ceph.ImageSpec{}) {
				test.situation.Image = westsData
			}
			plan, err := Decide(test.situation, test.wish)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %+v, %v; want %s", plan.Fence, err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			type outcome struct {
				Fence   Fence
				Because string
				Only    bool
				Fenced  []ceph.FencedNode
			}
			want := outcome{test.fence, test.because, test.only, test.fenced}
			got := outcome{plan.Fence, plan.Because, plan.OnlyThis(), plan.Fenced()}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
