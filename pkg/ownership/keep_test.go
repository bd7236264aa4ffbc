package ownership_test

import (
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

func TestKeep(t *testing.T) {
	type seen = ownership.Seen
	now := func(nodes ...ceph.Node) []ownership.Present {
		var present []ownership.Present
		for _, node := range nodes {
			present = append(present, ownership.Present{Node: node})
		}
		return present
	}
	rebooted, renamed, replaced, cloned, anew := e1, e1, e1, e1, e1
	rebooted.BootID = "boot-9"
	renamed.BootID, renamed.Name, renamed.UID, renamed.Addresses = "boot-9", "e9", "uid-9", []string{"10.0.1.99"}
	replaced.BootID, replaced.MachineID, replaced.SystemUUID = "boot-9", "machine-9", "system-9"
	cloned.BootID, cloned.Name, cloned.UID, cloned.SystemUUID = "boot-9", "e9", "uid-9", "system-9"
	anew.UID = "uid-9"
	old, poor := ceph.Node{Name: "e1", Addresses: e1.Addresses, BootID: "boot-1"}, e1
	poor.MachineID, poor.SystemUUID = "", ""
	poorRebooted := poor
	poorRebooted.BootID = "boot-9"
	moved, both := e2, e2
	moved.Addresses, both.Addresses = []string{"10.0.1.99"}, []string{"10.0.1.12", "10.0.1.99"}
	takenOver := ceph.Change{At: earlier, Event: ceph.TakenOver, Party: west, By: "ann", From: &east}
	tests := map[string]struct {
		stored ceph.Record
		seen   seen
		want   ceph.Record
		step   ownership.Step
		reason string
	}{
		"nobody's, unused": {
			stored: free(), want: free(), step: ownership.Leave, reason: "nobody uses it",
		},
		"nobody's, with another's watcher": {
			stored: free(), seen: seen{Watchers: []string{clientOnE1}},
			want: free(), step: ownership.Leave, reason: "nobody uses it",
		},
		"nobody's, and a pod of ours": {
			stored: free(), seen: seen{Pods: []string{"p"}},
			want: held(east, nextEpoch, admitted, sinceNow, history(change(ceph.Acquired, east))),
			step: ownership.Adopt, reason: "this cluster uses it",
		},
		"without a record, and a pod of ours runs": {
			stored: ceph.Record{}, seen: seen{Attached: []ceph.Node{e1}, Watchers: []string{clientOnE1}, Explained: []string{clientOnE1}},
			want: ceph.Record{
				ClaimSize: 99, State: ceph.Held, Epoch: 1, Admissions: 1,
				Owner:   &ceph.Owner{Party: east, Namespace: "shop", Claim: "data", Since: nowKept, Nodes: []ceph.Node{opened(e1, clientOnE1)}},
				History: []ceph.Change{change(ceph.Acquired, east)},
			},
			step: ownership.Adopt, reason: "this cluster uses it",
		},
		"nobody's, a pod of ours and another's watcher": {
			stored: free(), seen: seen{Pods: []string{"p"}, Watchers: []string{clientOnE1}},
			want: free(), step: ownership.Conflict, reason: "another cluster has the image open",
		},
		"nobody's, taken from us before, and a pod of ours": {
			stored: free(history(takenOver, change(ceph.Released, west))), seen: seen{Pods: []string{"p"}},
			want: free(history(takenOver, change(ceph.Released, west))),
			step: ownership.Conflict, reason: "the image was taken from this cluster, whose clients are fenced",
		},
		"nobody's, taken from us before we had it again, and a pod of ours": {
			stored: free(history(takenOver, change(ceph.Acquired, east))), seen: seen{Pods: []string{"p"}},
			want: held(east, nextEpoch, admitted, sinceNow, history(takenOver, change(ceph.Acquired, east), change(ceph.Acquired, east))),
			step: ownership.Adopt, reason: "this cluster uses it",
		},
		"another's, unused here": {
			stored: held(west), seen: seen{Watchers: []string{clientOnE1}},
			want: held(west), step: ownership.Leave, reason: "another cluster owns it",
		},
		"another's, and a pod of ours": {
			stored: held(west), seen: seen{Pods: []string{"p"}},
			want: held(west), step: ownership.Conflict, reason: "cluster west owns the image",
		},
		"being fenced": {
			stored: fencing(east, west, "ann", on(e1)), seen: seen{Quiet: true},
			want: fencing(east, west, "ann", on(e1)), step: ownership.Leave, reason: "the image is being taken from its owner",
		},

		"ours, idle": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(e1)},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, idle by a cache": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(e1), Cached: true},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "it may be on node e1",
		},
		"ours, and a pod was seen": {
			stored: held(east, pending("p", "q")), seen: seen{Pods: []string{"p"}},
			want: held(east, pending("q")), step: ownership.Refresh, reason: "a pod uses it",
		},
		"ours, and a pod may still appear": {
			stored: held(east, pending("p")),
			want:   held(east, pending("p")), step: ownership.Leave, reason: "an admitted pod may still appear",
		},
		"ours, and a pod cannot appear any more": {
			stored: held(east, pending("p", ownership.Many)), seen: seen{Quiet: true},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, in use, and a pod cannot appear any more": {
			stored: held(east, pending("p")), seen: seen{Quiet: true, Attached: []ceph.Node{e1}},
			want: held(east, on(e1)), step: ownership.Refresh, reason: "it is attached to node e1",
		},
		"ours, attached and open": {
			stored: held(east), seen: seen{Attached: []ceph.Node{e2, e1}, Watchers: []string{clientOnE2, clientOnE1}, Explained: []string{clientOnE2, clientOnE1}},
			want: held(east, on(opened(e1, clientOnE1), opened(e2, clientOnE2))), step: ownership.Refresh, reason: "it is attached to node e2",
		},
		"ours, and nothing is new": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Attached: []ceph.Node{e1}, Watchers: []string{clientOnE1}, Explained: []string{clientOnE1}},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "it is attached to node e1",
		},
		"ours, detached but open": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Watchers: []string{clientOnE1}, Present: now(e1)},
			want: held(east), step: ownership.Refresh, reason: "client 10.0.1.11:0/1 has it open",
		},
		"ours, and another's watcher": {
			stored: held(east), seen: seen{Watchers: []string{"10.9.9.9:0/1"}},
			want: held(east), step: ownership.Leave, reason: "client 10.9.9.9:0/1 has it open",
		},
		"ours, on another node now": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(e1, e2), Attached: []ceph.Node{e2}, Watchers: []string{clientOnE2}, Explained: []string{clientOnE2}},
			want: held(east, on(opened(e2, clientOnE2))), step: ownership.Refresh, reason: "it is attached to node e2",
		},
		"ours, and the node has another client besides": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Attached: []ceph.Node{e1}, Watchers: []string{"10.0.1.11:0/9"}, Explained: []string{"10.0.1.11:0/9"}},
			want: held(east, on(opened(e1, clientOnE1, "10.0.1.11:0/9"))), step: ownership.Refresh, reason: "it is attached to node e1",
		},
		"ours, and the node is cut off from Ceph": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Attached: []ceph.Node{e1}},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "it is attached to node e1",
		},
		"ours, one node is cut off and another is not": {
			stored: held(east, on(opened(e1, clientOnE1), opened(e2, clientOnE2))), seen: seen{Attached: []ceph.Node{e1, e2}, Watchers: []string{clientOnE2}, Explained: []string{clientOnE2}},
			want: held(east, on(opened(e1, clientOnE1), opened(e2, clientOnE2))), step: ownership.Leave, reason: "it is attached to node e1",
		},
		"ours, behind NAT, and cut off": {
			stored: held(east, on(e1), from("192.0.2.1:0/5")), seen: seen{Attached: []ceph.Node{e1}},
			want: held(east, on(e1), from("192.0.2.1:0/5")), step: ownership.Leave, reason: "it is attached to node e1",
		},
		"ours, behind NAT, and the node has let go": {
			stored: held(east, on(e1), from("192.0.2.1:0/5")), seen: seen{Present: now(e1)},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, forced off a node whose Node object is gone": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Quiet: true},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "it was on node e1, whose Node object is gone",
		},
		"the same, and a person says that it is off": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Quiet: true, WithoutProof: true},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"the same, with a person who errs": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Quiet: true, WithoutProof: true, Attached: []ceph.Node{e1}},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "it is attached to node e1",
		},
		"ours, forced off a lost node, and on another": {
			stored: held(east, on(opened(e1, clientOnE1))),
			seen:   seen{Present: now(e2), Attached: []ceph.Node{e2}, Watchers: []string{clientOnE2}, Explained: []string{clientOnE2}},
			want:   held(east, on(opened(e1, clientOnE1), opened(e2, clientOnE2))), step: ownership.Refresh, reason: "it is attached to node e2",
		},
		"ours, and the machine has rebooted": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(rebooted)},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, and the machine has rebooted, with another name, address and Node object": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(renamed)},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, and the machine has rebooted and uses it again": {
			stored: held(east, on(opened(e1, clientOnE1))),
			seen:   seen{Present: now(rebooted), Attached: []ceph.Node{rebooted}, Watchers: []string{"10.0.1.11:0/9"}, Explained: []string{"10.0.1.11:0/9"}},
			want:   held(east, on(opened(rebooted, "10.0.1.11:0/9"))), step: ownership.Refresh, reason: "it is attached to node e1",
		},
		"ours, and another machine has the name of a holder": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(replaced)},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave,
			reason: "it was on node e1, and nothing proves that the Node of that name is the same machine",
		},
		"ours, and a clone of the machine runs": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(cloned)},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "it was on node e1, whose Node object is gone",
		},
		"ours, and the Node object was made anew, and has not reported": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: now(anew)},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave,
			reason: "it was on node e1, whose Node object was recreated, and lists no volume in use yet",
		},
		"ours, and the Node object was made anew, and has reported": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Present: []ownership.Present{{Node: anew, Reports: true}}},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, and nobody knows which boot it was": {
			stored: held(east, on(ceph.Node{Name: "e1"})), seen: seen{Present: now(e1)},
			want: held(east, on(ceph.Node{Name: "e1"})), step: ownership.Leave, reason: "it was on node e1, whose boot is not known",
		},
		"ours, recorded by a version that knew no machines, and rebooted": {
			stored: held(east, on(old)), seen: seen{Present: now(rebooted)},
			want: held(east, on(old)), step: ownership.Leave,
			reason: "it was on node e1, and nothing proves that the Node of that name is the same machine",
		},
		"ours, without machine ids, and the Node with an address of before has rebooted": {
			stored: held(east, on(poor)), seen: seen{Present: now(poorRebooted)},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, and a pod without a node has one now": {
			stored: held(east, on(e1), pending("p"), unbound("p")), seen: seen{Pods: []string{"p"}, Attached: []ceph.Node{e2}, Present: now(e1, e2)},
			want: held(east, on(e2)), step: ownership.Refresh, reason: "a pod uses it",
		},
		"the same by a cache": {
			stored: held(east, on(e1), pending("p"), unbound("p")), seen: seen{Pods: []string{"p"}, Attached: []ceph.Node{e2}, Present: now(e1, e2), Cached: true},
			want: held(east, on(e1, e2)), step: ownership.Refresh, reason: "a pod uses it",
		},
		"ours, and a pod without a node is gone": {
			stored: held(east, unbound("p")), seen: seen{},
			want: free(history(change(ceph.Released, east))), step: ownership.LetGo, reason: "nobody uses it",
		},
		"ours, and a pod without a node is not in the cache": {
			stored: held(east, unbound("p")), seen: seen{Cached: true},
			want: held(east, unbound("p")), step: ownership.Leave, reason: "an admitted pod may have been bound to a node",
		},
		"ours, and a pod without a node was not seen yet": {
			stored: held(east, pending("p"), unbound("p", "q")),
			want:   held(east, pending("p"), unbound("p", "q")), step: ownership.Leave, reason: "an admitted pod may still appear",
		},
		"ours, and many pods have their nodes": {
			stored: held(east, unbound(ownership.Many, "p")), seen: seen{Pods: []string{"p", "q"}, Unbound: []string{"q"}},
			want: held(east, unbound("q")), step: ownership.Refresh, reason: "a pod uses it",
		},
		"ours, and a pod has no node yet": {
			stored: held(east, on(opened(e1, clientOnE1), e2), unbound("p")), seen: seen{Pods: []string{"p"}, Unbound: []string{"p"}, Attached: []ceph.Node{e2}, Present: now(e1, e2)},
			want: held(east, on(opened(e1, clientOnE1), e2), unbound("p")), step: ownership.Leave, reason: "a pod uses it",
		},
		"ours, and a pod that names its node may still appear": {
			stored: held(east, on(e1), pending("p")),
			want:   held(east, on(e1), pending("p")), step: ownership.Leave, reason: "an admitted pod may still appear",
		},
		"ours, and every pod has its node": {
			stored: held(east, on(e1, e2), pending("p")), seen: seen{Pods: []string{"p"}, Attached: []ceph.Node{e2}, Present: now(e1, e2)},
			want: held(east, on(e2)), step: ownership.Refresh, reason: "a pod uses it",
		},
		"ours, and a node has another address now": {
			stored: held(east, on(opened(e2, clientOnE2))), seen: seen{Attached: []ceph.Node{moved}},
			want: held(east, on(opened(both, clientOnE2))), step: ownership.Refresh, reason: "it is attached to node e2",
		},
		"ours, with a pod on a node whose Node object is gone": {
			stored: held(east, on(opened(e1, clientOnE1))), seen: seen{Pods: []string{"p"}, Attached: []ceph.Node{{Name: "e1"}}},
			want: held(east, on(opened(e1, clientOnE1))), step: ownership.Leave, reason: "a pod uses it",
		},
		"ours, with a node without addresses that was not recorded": {
			stored: held(east, on(e2)), seen: seen{Attached: []ceph.Node{{Name: "e1"}, e2}},
			want: held(east, on(ceph.Node{Name: "e1"}, e2)), step: ownership.Refresh, reason: "it is attached to node e1",
		},
		"nobody's, taken from us before we took it back, and a pod of ours": {
			stored: free(history(takenOver, ceph.Change{At: earlier, Event: ceph.TakenOver, Party: east, By: "eve", From: &west})),
			seen:   seen{Pods: []string{"p"}},
			want: held(east, nextEpoch, admitted, sinceNow, history(
				takenOver, ceph.Change{At: earlier, Event: ceph.TakenOver, Party: east, By: "eve", From: &west}, change(ceph.Acquired, east))),
			step: ownership.Adopt, reason: "this cluster uses it",
		},
		"ours, and the client's address cannot be read": {
			stored: held(east, on(e1), from("nonsense")), seen: seen{Attached: []ceph.Node{e1}},
			want: held(east, on(e1), from("nonsense")), step: ownership.Leave, reason: "it is attached to node e1",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := string(test.stored.Encode())
			got, step, reason := ownership.Keep(test.stored, asks(east, "never stored"), test.seen)
			same(t, test.want, got)
			if step != test.step || reason != test.reason {
				t.Errorf("got %s, %q; want %s, %q", step, reason, test.step, test.reason)
			}
			if after := string(test.stored.Encode()); after != before {
				t.Errorf("what was stored has been changed in memory: %s became %s", before, after)
			}
			if _, err := ceph.DecodeRecord(got.Encode()); err != nil {
				t.Errorf("the record cannot be read again: %v", err)
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	const grace = 75 * time.Second
	type look struct {
		image      string
		admissions uint64
		begin      time.Duration
		quiet      bool
		rest       time.Duration
	}
	tests := map[string][]look{
		"the first look knows nothing":   {{"a", 1, 0, false, grace}},
		"too early":                      {{"a", 1, 0, false, grace}, {"a", 1, 30 * time.Second, false, 46 * time.Second}},
		"exactly the grace":              {{"a", 1, 0, false, grace}, {"a", 1, time.Second + grace, false, 0}},
		"longer":                         {{"a", 1, 0, false, grace}, {"a", 1, time.Second + grace + 1, true, 0}},
		"another admission":              {{"a", 1, 0, false, grace}, {"a", 2, grace, false, grace}, {"a", 2, grace + 2*time.Second, false, grace - time.Second}},
		"an image that was made again":   {{"a", 1, 0, false, grace}, {"b", 1, 2 * grace, false, grace}, {"a", 1, 2 * grace, false, grace}},
		"the clock stands, as in a VM":   {{"a", 1, 0, false, grace}, {"a", 1, 0, false, grace + time.Second}},
		"without admissions, as at free": {{"a", 0, 0, false, grace}, {"a", 0, 2 * grace, true, 0}},
	}
	for name, looks := range tests {
		t.Run(name, func(t *testing.T) {
			quiet := &ownership.Quiet{Grace: grace}
			for i, look := range looks {
				begin := earlier.Add(look.begin)
				got, rest := quiet.Observe("v", look.image, look.admissions, begin, begin.Add(time.Second))
				if got != look.quiet || rest != look.rest {
					t.Errorf("look %d: got %v, rest %v; want %v, rest %v", i, got, rest, look.quiet, look.rest)
				}
			}
			quiet.Forget("v")
			if got, _ := quiet.Observe("v", "a", 1, earlier.Add(9*grace), earlier.Add(9*grace)); got {
				t.Error("it is quiet although it was forgotten")
			}
		})
	}
}
