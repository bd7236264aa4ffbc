package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

var (
	east  = ceph.Party{UID: "u-east", Name: "east"}
	west  = ceph.Party{UID: "u-west", Name: "west"}
	north = ceph.Party{UID: "u-north", Name: "north"}
	since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
	e1    = ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11", "fd00::11"}, BootID: "b1", UID: "u1", MachineID: "m1", SystemUUID: "s1"}
	e2    = ceph.Node{Name: "e2", Addresses: []string{"10.0.1.12"}, BootID: "b2", UID: "u2", MachineID: "m2", SystemUUID: "s2"}
	data  = ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}
	other = ceph.ImageSpec{Pool: "rbd", Name: "shop.other"}
)

const (
	onE1, onE2 = "10.0.1.11:0/1", "10.0.1.12:0/2"
	onW1       = "10.0.2.11:0/5"
)

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

func watching(addrs ...string) []ceph.Watcher {
	var all []ceph.Watcher
	for i, addr := range addrs {
		all = append(all, ceph.Watcher{Addr: addr, Client: "client.4", Cookie: uint64(i)})
	}
	return all
}

// held is the record of an image that a cluster has, on these nodes and by these clients,
// each of which belongs to the node with its address.
func held(by ceph.Party, nodes []ceph.Node, clients ...string) ceph.Record {
	owner := &ceph.Owner{Party: by, Namespace: "shop", Claim: "data", Since: since, Nodes: slices.Clone(nodes)}
	for _, client := range clients {
		i := slices.IndexFunc(nodes, func(n ceph.Node) bool {
			address, err := ceph.ParseAddress(client)
			return err == nil && slices.Contains(n.Addresses, address.String())
		})
		if i < 0 {
			owner.Clients = append(owner.Clients, client)
		} else {
			owner.Nodes[i].Clients = append(owner.Nodes[i].Clients, client)
		}
	}
	return ceph.Record{State: ceph.Held, Epoch: 1, Admissions: 1, Owner: owner}
}

// waiting is the record with pods that have no node.
func waiting(record ceph.Record, pods ...string) ceph.Record {
	record.Unbound = pods
	return record
}

func taking(record ceph.Record, by ceph.Party, person string) ceph.Record {
	record.State = ceph.Fencing
	record.Takeover = &ceph.Takeover{Party: by, By: person, Since: since}
	return record
}

func wish() Wish {
	return Wish{Taker: ownership.Taker{Cluster: west, By: "ann", Now: since}, Namespace: "shop", Claim: "data"}
}

func TestDecide(t *testing.T) {
	onBoth := held(east, []ceph.Node{e1}, onE1)
	fenceE1 := Fence{Machines: []string{"10.0.1.11:0/0", "[fd00::11]:0/0"}, Instances: []string{onE1}}
	wished := func(change func(*Wish)) Wish { w := wish(); change(&w); return w }
	also := wished(func(w *Wish) { w.Also = []string{"10.0.1.13:0/0", "10.0.1.14:0/9"} })
	spare := wished(func(w *Wish) { w.Spare = []netip.Addr{ip("10.0.1.11"), ip("fd00::11")} })
	register := []ceph.Registration{{Party: north}, {Party: east, Nodes: []ceph.Node{e1, e2}, Written: since}}
	unread := []ceph.RegistrationOf{{UID: east.UID, Err: fmt.Errorf("read registration %q: it is later", "rbd/"+ceph.RegistrationObject(east.UID))}}
	rebooted := e1
	rebooted.BootID = "b9"
	eastHasOther := []ceph.RecordOf{{Image: other, Record: held(east, []ceph.Node{e1}, onE1)}}
	tests := map[string]struct {
		situation Situation
		wish      Wish
		want      Plan
		refused   []string
	}{
		"the recorded node and its client": {
			situation: Situation{Record: onBoth, Watchers: watching(onE1)},
			want:      Plan{Fence: fenceE1},
		},
		"what nobody watches any more is fenced all the same": {
			situation: Situation{Record: onBoth}, want: Plan{Fence: fenceE1},
		},
		"another client of a recorded node": {
			situation: Situation{Record: onBoth, Watchers: watching("10.0.1.11:0/7")},
			want:      Plan{Fence: Fence{fenceE1.Machines, []string{onE1, "10.0.1.11:0/7"}}},
		},
		"a client behind a router that has no node's address": {
			situation: Situation{Record: held(east, []ceph.Node{e2}, "10.9.9.9:0/3")},
			want:      Plan{Fence: Fence{[]string{"10.0.1.12:0/0", "10.9.9.9:0/0"}, []string{"10.9.9.9:0/3"}}},
		},
		"what was begun goes on": {
			situation: Situation{Record: taking(onBoth, west, "ann")}, want: Plan{Fence: fenceE1},
		},
		"what somebody else began": {
			situation: Situation{Record: taking(onBoth, west, "bob")},
			refused:   []string{"bob has been taking it for cluster west since 2026-11-22T14:03:00Z\n  do this   ask them; if they were interrupted, continue for them with --resume"},
		},
		"what somebody else began, to resume": {
			situation: Situation{Record: taking(onBoth, west, "bob")}, wish: wished(func(w *Wish) { w.Resume = true }), want: Plan{Fence: fenceE1},
		},
		"what another cluster began": {
			situation: Situation{Record: taking(onBoth, north, "bob")}, wish: wished(func(w *Wish) { w.Resume = true }),
			refused: []string{"bob has been taking it for cluster north since 2026-11-22T14:03:00Z\n  do this   ask them; the image will be in that cluster"},
		},
		"the cluster that the person named": {
			situation: Situation{Record: onBoth}, wish: wished(func(w *Wish) { w.From = "east" }), want: Plan{Fence: fenceE1},
		},
		"another cluster than the person named": {
			situation: Situation{Record: held(north, nil)}, wish: wished(func(w *Wish) { w.From = "east" }),
			refused: []string{"the record says that cluster north has owned it since 2026-11-22T14:03:00Z, not cluster east"},
		},
		"it is ours": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onW1), Explained: []string{onW1}},
			want:      Plan{Done: true, Why: "cluster west has owned it since 2026-11-22T14:03:00Z"},
		},
		"nobody has it": {situation: Situation{}, want: Plan{Done: true, Why: "nobody owns it"}},
		"nobody has it, and somebody watches": {
			situation: Situation{Watchers: watching(onE1)},
			refused:   []string{"client 10.0.1.11:0/1 (client.4) has the image open, which no record accounts for"},
		},
		"the wrong node: it watches and is not recorded": {
			situation: Situation{Record: onBoth, Watchers: watching(onE1, onW1)},
			refused:   []string{"client 10.0.2.11:0/5 (client.4) has the image open, and the record does not say that it is one of cluster east\n  do this   find out who that is; if it is a client of the dead cluster, add --also-fence 10.0.2.11:0/5; if it is one of any other cluster, scale its workload down there"},
		},
		"rbd-mirror": {
			situation: Situation{Record: onBoth, Watchers: watching(onE1, "10.0.5.1:0/4"), Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.5.0/24")}},
			want:      Plan{Fence: fenceE1},
		},
		"no pod was bound yet": {situation: Situation{Record: held(east, nil)}, want: Plan{}},
		"no node is recorded, and somebody watches": {
			situation: Situation{Record: held(east, nil), Watchers: watching(onE1)},
			refused:   []string{"client 10.0.1.11:0/1 (client.4) has the image open, and the record does not say that it is one of cluster east"},
		},
		"a node without an address, and no register": {
			situation: Situation{Record: held(east, []ceph.Node{{Name: "e3"}}, onE1)},
			refused:   []string{"the record has no address of node e3, and cluster east has not registered its nodes\n  do this   name the addresses from which the nodes of cluster east reach Ceph with --also-fence"},
		},
		"a node without an address that is registered": {
			situation: Situation{Record: held(east, []ceph.Node{{Name: "e2"}}), Clusters: register},
			want: Plan{Fence: Fence{Machines: []string{"10.0.1.11:0/0", "10.0.1.12:0/0", "[fd00::11]:0/0"}}, Nodes: []ceph.Node{e1, e2},
				Doubts: []string{"the record has no address of node e2"}},
		},
		"a node without an address that is not registered": {
			situation: Situation{Record: held(east, []ceph.Node{{Name: "e9"}}), Clusters: register},
			refused:   []string{"the record has no address of node e9, and cluster east has not registered that node\n  do this   name the addresses from which the nodes of cluster east reach Ceph with --also-fence"},
		},
		"a pod without a node, and a registration of a later version": {
			situation: Situation{Record: waiting(onBoth, "p"), Clusters: register, Unread: unread},
			refused:   []string{"a pod was admitted, and the record does not say on which node, and the register cannot tell: read registration \"rbd/cephferry.cluster." + east.UID + "\": it is later\n  do this   use a version that understands it, or name the addresses"},
		},
		"a certain record, and a registration of a later version": {
			situation: Situation{Record: onBoth, Unread: unread}, want: Plan{Fence: fenceE1},
		},
		"a pod without a node, and another cluster's registration of a later version": {
			situation: Situation{Record: waiting(held(east, nil), "p"), Clusters: register, Unread: []ceph.RegistrationOf{{UID: north.UID, Err: unread[0].Err}}},
			wish:      wished(func(w *Wish) { w.Nodes = []string{"e2"} }),
			want: Plan{Fence: Fence{Machines: []string{"10.0.1.12:0/0"}}, Nodes: []ceph.Node{e2},
				Doubts: []string{"a pod was admitted, and the record does not say on which node"}},
		},
		"a pod without a node": {
			situation: Situation{Record: waiting(onBoth, "p"), Clusters: register},
			want: Plan{Fence: Fence{[]string{"10.0.1.11:0/0", "10.0.1.12:0/0", "[fd00::11]:0/0"}, []string{onE1}}, Nodes: append(slices.Clone(onBoth.Owner.Nodes), e2),
				Doubts: []string{"a pod was admitted, and the record does not say on which node"}},
		},
		"a pod without a node, and a person who knows": {
			situation: Situation{Record: waiting(held(east, nil), "p", "q"), Clusters: register}, wish: wished(func(w *Wish) { w.Nodes = []string{"e2"} }),
			want: Plan{Fence: Fence{Machines: []string{"10.0.1.12:0/0"}}, Nodes: []ceph.Node{e2},
				Doubts: []string{"pods were admitted, and the record does not say on which node"}},
		},
		"a pod without a node, and a person who errs": {
			situation: Situation{Record: waiting(held(east, nil), "p"), Clusters: register}, wish: wished(func(w *Wish) { w.Nodes = []string{"e8"} }),
			refused: []string{"cluster east has registered no node e8"},
		},
		"a pod without a node, and another cluster's register": {
			situation: Situation{Record: waiting(onBoth, "p"), Clusters: []ceph.Registration{{Party: north, Nodes: []ceph.Node{e2}}}},
			refused:   []string{"a pod was admitted, and the record does not say on which node, and cluster east has not registered its nodes"},
		},
		"a pod without a node, and addresses that a person names": {
			situation: Situation{Record: waiting(onBoth, "p")}, wish: also,
			want: Plan{Fence: Fence{[]string{"10.0.1.11:0/0", "10.0.1.13:0/0", "[fd00::11]:0/0"}, []string{onE1, "10.0.1.14:0/9"}},
				Doubts: []string{"a pod was admitted, and the record does not say on which node"}},
		},
		"the same, and the register tells": {
			situation: Situation{Record: waiting(onBoth, "p"), Clusters: register}, wish: also,
			want: Plan{Fence: Fence{[]string{"10.0.1.11:0/0", "10.0.1.12:0/0", "10.0.1.13:0/0", "[fd00::11]:0/0"}, []string{onE1, "10.0.1.14:0/9"}},
				Nodes: append(slices.Clone(onBoth.Owner.Nodes), e2), Doubts: []string{"a pod was admitted, and the record does not say on which node"}},
		},
		"a node that no client was seen of, behind a storage network": {
			situation: Situation{Record: held(east, []ceph.Node{e2}), Clusters: register, Others: []ceph.RecordOf{{Image: other, Record: held(east, []ceph.Node{e1}, "192.168.7.5:0/3")}}},
			refused:   []string{"not every client of node e2 was seen, and clients of cluster east come from addresses of no node (192.168.7.5:0/3)\n  do this   name the addresses from which"},
		},
		"a node whose client was seen, although others come from elsewhere": {
			situation: Situation{Record: onBoth, Others: []ceph.RecordOf{{Image: other, Record: held(east, nil, "192.168.7.5:0/3")}}},
			want:      Plan{Fence: fenceE1},
		},
		"the cluster was built anew on the same machines": {
			situation: Situation{Record: onBoth, Nodes: []ceph.Node{rebooted}},
			want:      Plan{Fence: Fence{Instances: []string{onE1}}, Nodes: []ceph.Node{}},
		},
		"the same, and a machine has not booted since": {
			situation: Situation{Record: onBoth, Nodes: []ceph.Node{e1}},
			refused:   []string{"the fence would cut off 10.0.1.11, which is node e1 of this cluster"},
		},
		"it is ours, and a stranger has it open": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onW1, onE1), Explained: []string{onW1}},
			refused:   []string{"client 10.0.1.11:0/1 (client.4) has the image open, and this cluster, which owns it, does not account for it\n  do this   find out who that is; if it is a client of the dead cluster, add --also-fence 10.0.1.11:0/1"},
		},
		"it is ours, and a stranger is named": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onW1, onE1), Explained: []string{onW1}}, wish: wished(func(w *Wish) { w.Also = []string{onE1} }),
			want: Plan{Fence: Fence{Instances: []string{onE1}}, Ours: true, Own: []string{onW1}},
		},
		"it is ours, and a stranger's machine is named": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onW1, onE1), Explained: []string{onW1}}, wish: wished(func(w *Wish) { w.Also = []string{"10.0.1.11:0/0"} }),
			want: Plan{Fence: Fence{[]string{"10.0.1.11:0/0"}, []string{onE1}}, Ours: true, Own: []string{onW1}},
		},
		"it is ours, and a client of our own is named": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onW1), Explained: []string{onW1}}, wish: wished(func(w *Wish) { w.Also = []string{"10.0.2.11:0/0"} }),
			refused: []string{"client 10.0.2.11:0/5, which the fence would cut off, is one of this cluster"},
		},
		"it is ours, and the stranger has volumes of its own": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onE1), Others: eastHasOther}, wish: wished(func(w *Wish) { w.Also = []string{onE1} }),
			refused: []string{"if cluster east is the dead one, name it with --from"},
		},
		"it is ours, and the stranger is one of the dead cluster": {
			situation: Situation{Record: held(west, nil), Watchers: watching(onE1), Others: eastHasOther}, wish: wished(func(w *Wish) { w.Also, w.From = []string{onE1}, "east" }),
			want: Plan{Fence: Fence{Instances: []string{onE1}}, Ours: true, From: east,
				Carried: []Carried{{Image: other, Owner: *eastHasOther[0].Record.Owner, By: []string{onE1}}}},
		},
		"an address that is none": {
			situation: Situation{Record: held(east, []ceph.Node{{Name: "e3", Addresses: []string{"e3.example"}}})},
			refused:   []string{`the record names "e3.example", which is not an address`},
		},
		"a client that is none": {
			situation: Situation{Record: held(east, nil, "10.0.1.11:6800/1")},
			refused:   []string{`the record names the client "10.0.1.11:6800/1", which is not an address`},
		},
		"the person knows of more nodes": {
			situation: Situation{Record: onBoth, Watchers: watching("10.0.1.13:0/6")}, wish: also,
			want: Plan{Fence: Fence{[]string{"10.0.1.11:0/0", "10.0.1.13:0/0", "[fd00::11]:0/0"}, []string{onE1, "10.0.1.13:0/6", "10.0.1.14:0/9"}}},
		},
		"a node of this cluster has the address": {
			situation: Situation{Record: onBoth, Nodes: []ceph.Node{{Name: "w1", Addresses: []string{"10.0.1.11"}}}},
			refused:   []string{"the fence would cut off 10.0.1.11, which is node w1 of this cluster\n  do this   leave that machine out with --spare 10.0.1.11, if you know that no other client of cluster east comes from there than those in the record"},
		},
		"this cluster is behind the same router": {
			situation: Situation{Record: onBoth, Local: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}},
			refused:   []string{"the fence would cut off 10.0.1.11, which is an address of this cluster"},
		},
		"Ceph runs there": {
			situation: Situation{Record: onBoth, Daemons: []ceph.Daemon{{Name: "mon.a", Addr: ip("10.0.1.11")}, {Name: "osd.1", Addr: ip("fd00::11")}}},
			refused: []string{
				"the fence would cut off 10.0.1.11, which is mon.a of Ceph itself",
				"the fence would cut off fd00::11, which is osd.1 of Ceph itself",
			},
		},
		"a third cluster has the node's address": {
			situation: Situation{Record: onBoth, Others: []ceph.RecordOf{{Image: other, Record: held(north, []ceph.Node{{Name: "n1", Addresses: []string{"fd00::11"}}})}}},
			refused:   []string{"the fence would cut off fd00::11, which is node n1 of cluster north, which owns image rbd/shop.other"},
		},
		"a third cluster has a client there": {
			situation: Situation{Record: onBoth, Others: []ceph.RecordOf{{Image: other, Record: held(north, nil, "10.0.1.11:0/77")}}},
			refused:   []string{"the fence would cut off 10.0.1.11, which is where cluster north has image rbd/shop.other open"},
		},
		"the machines are spared": {
			situation: Situation{Record: onBoth, Nodes: []ceph.Node{{Name: "w1", Addresses: []string{"10.0.1.11"}}}, Daemons: []ceph.Daemon{{Name: "osd.1", Addr: ip("fd00::11")}}},
			wish:      spare,
			want:      Plan{Fence: Fence{Instances: []string{onE1}}},
		},
		"one client in two clusters' records, spared or not": {
			situation: Situation{Record: onBoth, Others: []ceph.RecordOf{{Image: other, Record: held(north, nil, onE1)}}}, wish: spare,
			refused: []string{"client 10.0.1.11:0/1 is in the record of image rbd/shop.other too, which cluster north owns"},
		},
		"what else the node carries": {
			situation: Situation{Record: onBoth, Others: []ceph.RecordOf{
				{Image: other, Record: held(east, []ceph.Node{e1}, onE1)},
				{Image: ceph.ImageSpec{Pool: "rbd", Name: "elsewhere"}, Record: held(east, []ceph.Node{e2}, onE2)},
				{Image: ceph.ImageSpec{Pool: "rbd", Name: "free"}},
				{Image: ceph.ImageSpec{Pool: "rbd", Name: "later"}, Err: ceph.ErrRecordUnknown},
			}},
			want: Plan{Fence: fenceE1,
				Carried: []Carried{{Image: other, Owner: *held(east, []ceph.Node{e1}, onE1).Owner, By: []string{"10.0.1.11:0/0", onE1, "[fd00::11]:0/0"}}},
				Unknown: []ceph.ImageSpec{{Pool: "rbd", Name: "later"}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.wish.By == "" {
				test.wish = wish()
			}
			got, err := Decide(test.situation, test.wish)
			if len(test.refused) > 0 {
				if err == nil {
					t.Fatalf("it is not refused: %+v", got)
				}
				for _, want := range test.refused {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("refused with:\n%v\nwant:\n%s", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			test.want.Record, test.want.Wish = test.situation.Record, test.wish
			if owner := test.situation.Record.Owner; owner != nil && owner.UID != west.UID {
				test.want.From = owner.Party
				if test.want.Nodes == nil {
					test.want.Nodes = owner.Nodes
				}
				if len(test.want.Fence.Machines) > 0 && len(test.want.Doubts) == 0 {
					test.want.Because = "the image does not carry its owner's name, so a machine could map it again as another client"
				}
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.1.12": "10.0.1.12:0/0", "fd00::12": "[fd00::12]:0/0", "10.0.1.12:0/7": "10.0.1.12:0/7",
		"10.0.1.12:0/0": "10.0.1.12:0/0", "e1": "", "10.0.1.0/24": "", "10.0.1.12:6800/7": "", "": "",
	} {
		if got, err := ParseAddress(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}
