package ownership_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

var (
	east    = ceph.Party{UID: "u-east", Name: "east"}
	west    = ceph.Party{UID: "u-west", Name: "west"}
	earlier = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
	now     = time.Date(2026, 11, 22, 15, 0, 0, 999, time.FixedZone("", 3600))
	nowKept = time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	e1      = ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11", "fd00::11"}, BootID: "boot-1", UID: "uid-1", MachineID: "machine-1", SystemUUID: "system-1"}
	e2      = ceph.Node{Name: "e2", Addresses: []string{"10.0.1.12"}, BootID: "boot-2", UID: "uid-2", MachineID: "machine-2", SystemUUID: "system-2"}
)

const (
	clientOnE1 = "10.0.1.11:0/1"
	clientOnE2 = "10.0.1.12:0/2"
)

// free, held and fencing are records of an image that had five admissions.
func free(change ...func(*ceph.Record)) ceph.Record {
	r := ceph.Record{Token: "t", ClaimSize: 10, GrowTo: 20, Exclusive: true, Epoch: 3, Admissions: 5, Revision: 7}
	for _, c := range change {
		c(&r)
	}
	return r
}

func held(by ceph.Party, change ...func(*ceph.Record)) ceph.Record {
	return free(append([]func(*ceph.Record){func(r *ceph.Record) {
		r.State = ceph.Held
		r.Owner = &ceph.Owner{Party: by, Namespace: "shop", Claim: "data", Since: earlier}
	}}, change...)...)
}

func fencing(from, by ceph.Party, person string, change ...func(*ceph.Record)) ceph.Record {
	return held(from, append([]func(*ceph.Record){func(r *ceph.Record) {
		r.State = ceph.Fencing
		r.Takeover = &ceph.Takeover{Party: by, By: person, Since: earlier}
	}}, change...)...)
}

func on(nodes ...ceph.Node) func(*ceph.Record) { return func(r *ceph.Record) { r.Owner.Nodes = nodes } }
func from(clients ...string) func(*ceph.Record) {
	return func(r *ceph.Record) { r.Owner.Clients = clients }
}

// opened is a node from which clients have opened the image.
func opened(node ceph.Node, clients ...string) ceph.Node {
	node.Clients = clients
	return node
}
func unbound(pods ...string) func(*ceph.Record) { return func(r *ceph.Record) { r.Unbound = pods } }
func pending(pods ...string) func(*ceph.Record) { return func(r *ceph.Record) { r.Pending = pods } }
func history(changes ...ceph.Change) func(*ceph.Record) {
	return func(r *ceph.Record) { r.History = changes }
}
func admitted(r *ceph.Record)  { r.Admissions++ }
func nextEpoch(r *ceph.Record) { r.Epoch++ }
func sinceNow(r *ceph.Record) {
	r.Owner.Since = nowKept
}

func change(event ceph.Event, by ceph.Party) ceph.Change {
	return ceph.Change{At: nowKept, Event: event, Party: by}
}

func asks(by ceph.Party, pod string) ownership.Request {
	return ownership.Request{Cluster: by, Namespace: "shop", Claim: "data", Pod: pod, ClaimSize: 99, Now: now}
}

func takes(by ceph.Party, person string) ownership.Taker {
	return ownership.Taker{Cluster: by, By: person, Now: now}
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// transition is a case of a function that makes one record of another, or refuses.
type transition struct {
	stored ceph.Record
	do     func(ceph.Record) (ceph.Record, error)
	want   ceph.Record
	err    error
}

func (test transition) run(t *testing.T) {
	before := string(test.stored.Encode())
	got, err := test.do(test.stored)
	if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
		t.Fatalf("got %v; want %v", err, test.err)
	}
	var refused *ownership.Refused
	if errors.As(err, &refused) {
		same(t, test.stored, refused.Record)
	}
	same(t, test.want, got)
	if after := string(test.stored.Encode()); after != before {
		t.Errorf("what was stored has been changed in memory: %s became %s", before, after)
	}
	if err == nil {
		if _, err := ceph.DecodeRecord(got.Encode()); err != nil {
			t.Errorf("the record cannot be read again: %v", err)
		}
	}
}

func TestAcquire(t *testing.T) {
	acquire := func(request ownership.Request) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) { return ownership.Acquire(r, request) }
	}
	goes := func(request ownership.Request, node ceph.Node) ownership.Request {
		request.Nodes = append(request.Nodes, node)
		return request
	}
	waits := func(request ownership.Request, pods ...string) ownership.Request {
		request.Unbound = pods
		return request
	}
	rebooted := e1
	rebooted.BootID = "boot-9"
	var full, overfull []string
	for i := range 32 {
		full = append(full, fmt.Sprint("pod-", i))
	}
	overfull = append([]string{ownership.Many}, append(slices.Clone(full[2:]), "new")...)
	tests := map[string]transition{
		"nobody has it": {
			stored: free(), do: acquire(asks(west, "p")),
			want: held(west, admitted, nextEpoch, sinceNow, pending("p"), history(change(ceph.Acquired, west))),
		},
		"there is no record": {
			stored: ceph.Record{}, do: acquire(asks(west, "p")),
			want: ceph.Record{
				ClaimSize: 99, State: ceph.Held, Epoch: 1, Admissions: 1, Pending: []string{"p"},
				Owner:   &ceph.Owner{Party: west, Namespace: "shop", Claim: "data", Since: nowKept},
				History: []ceph.Change{change(ceph.Acquired, west)},
			},
		},
		"the owner again": {
			stored: held(west, on(e1), from(clientOnE1), pending("p")), do: acquire(asks(west, "q")),
			want: held(west, on(e1), from(clientOnE1), pending("p", "q"), admitted),
		},
		"a node is known": {
			stored: held(west, on(e2)), do: acquire(goes(asks(west, ""), e1)),
			want: held(west, on(e1, e2), admitted),
		},
		"a node is known that is recorded": {
			stored: held(west, on(ceph.Node{Name: "e1"}, e2)), do: acquire(goes(asks(west, "p"), e1)),
			want: held(west, on(e1, e2), pending("p"), admitted),
		},
		"another boot of a node that is recorded": {
			stored: held(west, on(opened(e1, clientOnE1))), do: acquire(goes(asks(west, ""), rebooted)),
			want: held(west, on(opened(e1, clientOnE1), rebooted), admitted),
		},
		"a recorded node without a Node object": {
			stored: held(west, on(e1)), do: acquire(goes(asks(west, ""), ceph.Node{Name: "e1"})),
			want: held(west, on(e1), admitted),
		},
		"a pod without a node": {
			stored: held(west, unbound("p")), do: acquire(waits(asks(west, "q"), "q")),
			want: held(west, pending("q"), unbound("p", "q"), admitted),
		},
		"a pod without a node that gets one": {
			stored: held(west, unbound("p")), do: acquire(goes(asks(west, ""), e1)),
			want: held(west, on(e1), unbound("p"), admitted),
		},
		"more pods without a node than are kept": {
			stored: held(west, unbound(full...)), do: acquire(waits(asks(west, ""), "new")),
			want: held(west, unbound(overfull...), admitted),
		},
		"the pod that a person has taken the image for": {
			stored: held(west, pending(ownership.Awaited)), do: acquire(asks(west, "p")),
			want: held(west, pending("p"), admitted),
		},
		"nobody has it, and a node is known": {
			stored: free(), do: acquire(goes(asks(west, ""), e1)),
			want: held(west, on(e1), admitted, nextEpoch, sinceNow, history(change(ceph.Acquired, west))),
		},
		"another has it, and a node is known": {stored: held(east), do: acquire(goes(asks(west, ""), e1)), err: ownership.OwnedElsewhere},
		"the owner, under a new name": {
			stored: held(west), do: acquire(asks(ceph.Party{UID: "u-west", Name: "occident"}, "q")),
			want: held(ceph.Party{UID: "u-west", Name: "occident"}, pending("q"), admitted),
		},
		"the owner, for a pod that is stored already": {
			stored: held(west), do: acquire(asks(west, "")),
			want: held(west, admitted),
		},
		"the owner, for a pod that is asked about twice": {
			stored: held(west, pending("p")), do: acquire(asks(west, "p")),
			want: held(west, pending("p"), admitted),
		},
		"the owner, for more pods than are kept": {
			stored: held(west, pending(full...)), do: acquire(asks(west, "new")),
			want: held(west, pending(append([]string{ownership.Many}, append(slices.Clone(full[2:]), "new")...)...), admitted),
		},
		"the owner, for still more": {
			stored: held(west, pending(append([]string{ownership.Many}, full[1:]...)...)), do: acquire(asks(west, "new")),
			want: held(west, pending(overfull...), admitted),
		},
		"another cluster has it":              {stored: held(east), do: acquire(asks(west, "p")), err: ownership.OwnedElsewhere},
		"another cluster of the same name":    {stored: held(east), do: acquire(asks(ceph.Party{UID: "u-3", Name: "east"}, "p")), err: ownership.OwnedElsewhere},
		"it is being taken from its owner":    {stored: fencing(east, west, "ann"), do: acquire(asks(east, "p")), err: ownership.BeingFenced},
		"it is being taken by the one asking": {stored: fencing(east, west, "ann"), do: acquire(asks(west, "p")), err: ownership.BeingFenced},
	}
	for name, test := range tests {
		t.Run(name, test.run)
	}
}

func TestUndo(t *testing.T) {
	tests := map[string]struct{ before, want ceph.Record }{
		"a free image": {
			free(history(change(ceph.Released, east))),
			free(nextEpoch, admitted, history(change(ceph.Released, east)), written),
		},
		"an image without a record": {
			ceph.Record{},
			ceph.Record{Token: "w", ClaimSize: 99, Epoch: 1, Admissions: 1, Revision: 8},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			acquired, err := ownership.Acquire(test.before, asks(west, "p"))
			if err != nil {
				t.Fatal(err)
			}
			written(&acquired)
			same(t, test.want, ownership.Undo(acquired, test.before))
		})
	}
}

// written is what a write makes of a record.
func written(r *ceph.Record) { r.Token, r.Revision = "w", 8 }

func TestRelease(t *testing.T) {
	release := func(by ceph.Party, person string) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) { return ownership.Release(r, by, person, now) }
	}
	byAnn := change(ceph.Released, west)
	byAnn.By = "ann"
	var long []ceph.Change
	for i := range 10 {
		long = append(long, ceph.Change{At: earlier, Event: ceph.Acquired, Party: east, By: fmt.Sprint(i)})
	}
	tests := map[string]transition{
		"by the leader":    {stored: held(west, on(e1), pending("p")), do: release(west, ""), want: free(history(change(ceph.Released, west)))},
		"by a person":      {stored: held(west), do: release(west, "ann"), want: free(history(byAnn))},
		"the oldest goes":  {stored: held(west, history(long...)), do: release(west, ""), want: free(history(append(slices.Clone(long[1:]), change(ceph.Released, west))...))},
		"not the owner":    {stored: held(east), do: release(west, "ann"), err: ownership.OwnedElsewhere},
		"nobody has it":    {stored: free(), do: release(west, ""), err: ownership.NotOwned},
		"it is taken away": {stored: fencing(west, east, "ann"), do: release(west, ""), err: ownership.BeingFenced},
	}
	for name, test := range tests {
		t.Run(name, test.run)
	}
}

func TestFence(t *testing.T) {
	begin := func(taker ownership.Taker) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) { return ownership.BeginFence(r, taker) }
	}
	finish := func(taker ownership.Taker) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) {
			return ownership.FinishFence(r, r, taker, "store", "db", []string{clientOnE1})
		}
	}
	finishFrom := func(begun ceph.Record) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) {
			return ownership.FinishFence(r, begun, takes(west, "ann"), "store", "db", nil)
		}
	}
	drop := func(taker ownership.Taker) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) { return ownership.DropFence(r, taker) }
	}
	resume := takes(west, "bob")
	resume.Resume = true
	begun := func(by string) ceph.Change {
		return ceph.Change{At: nowKept, Event: ceph.FenceBegun, Party: west, By: by, From: &east}
	}
	const self = "10.0.2.11:0/9"
	withSelf := func(taker ownership.Taker) ownership.Taker { taker.Self = self; return taker }
	keyed := func(r *ceph.Record) { r.Keyed = true }
	named := func(r *ceph.Record) { r.Named = true }
	renaming := func(clients ...string) func(*ceph.Record) {
		return func(r *ceph.Record) { r.Renamers = clients }
	}
	fenceNow := func(r *ceph.Record) { r.Takeover.Since = nowKept }
	third := ceph.Party{UID: "u-3", Name: "north"}
	tests := map[string]transition{
		"begin": {
			stored: held(east, on(e1), from(clientOnE1), pending("p")), do: begin(takes(west, "ann")),
			want: fencing(east, west, "ann", on(e1), from(clientOnE1), pending("p"), fenceNow, history(begun("ann"))),
		},
		"begin again": {
			stored: fencing(east, west, "ann"), do: begin(takes(west, "ann")), want: fencing(east, west, "ann"),
		},
		"begin what somebody else began": {stored: fencing(east, west, "ann"), do: begin(takes(west, "bob")), err: ownership.BeingFenced},
		"resume what somebody else began": {
			stored: fencing(east, west, "ann"), do: begin(resume),
			want: fencing(east, west, "bob", fenceNow, history(begun("bob"))),
		},
		"resume what another cluster began": {stored: fencing(east, third, "ann"), do: begin(resume), err: ownership.BeingFenced},
		"begin at an owner that fences":     {stored: fencing(east, west, "ann"), do: begin(takes(east, "eve")), err: ownership.BeingFenced},
		"begin with what nobody has":        {stored: free(), do: begin(takes(west, "ann")), err: ownership.NotOwned},
		"begin with what one has":           {stored: held(west), do: begin(takes(west, "ann")), err: ownership.OwnedHere},

		"finish": {
			stored: fencing(east, west, "ann", on(e1), from(clientOnE1), pending("p"), unbound("p")), do: finish(takes(west, "ann")),
			want: held(west, nextEpoch, admitted, sinceNow, pending(ownership.Awaited), func(r *ceph.Record) { r.Owner.Namespace, r.Owner.Claim = "store", "db" },
				history(ceph.Change{At: nowKept, Event: ceph.TakenOver, Party: west, By: "ann", From: &east, Fenced: []string{clientOnE1}})),
		},
		"finish what was dropped and begun again by somebody else": {
			stored: fencing(east, west, "bob", on(e1)), do: finishFrom(fencing(east, west, "ann", on(e1))), err: ownership.BegunAgain,
		},
		"finish what was dropped and begun again, from other holders": {
			stored: fencing(east, west, "ann", on(e2)), do: finishFrom(fencing(east, west, "ann", on(e1))), err: ownership.BegunAgain,
		},
		"finish what was dropped and begun again, after an admission": {
			stored: fencing(east, west, "ann", on(e1), admitted), do: finishFrom(fencing(east, west, "ann", on(e1))), err: ownership.BegunAgain,
		},
		"finish what a person has written into besides": {
			stored: fencing(east, west, "ann", on(e1), func(r *ceph.Record) { r.GrowTo, r.Token, r.Revision = 99, "other", 9 }), do: finishFrom(fencing(east, west, "ann", on(e1))),
			want: held(west, nextEpoch, admitted, sinceNow, pending(ownership.Awaited), func(r *ceph.Record) {
				r.Owner.Namespace, r.Owner.Claim, r.GrowTo, r.Token, r.Revision = "store", "db", 99, "other", 9
			},
				history(ceph.Change{At: nowKept, Event: ceph.TakenOver, Party: west, By: "ann", From: &east})),
		},
		"finish again":                         {stored: held(west), do: finish(takes(west, "ann")), want: held(west)},
		"finish what another cluster began":    {stored: fencing(east, third, "ann"), do: finish(takes(west, "ann")), err: ownership.BeingFenced},
		"finish what nobody began":             {stored: held(east), do: finish(takes(west, "ann")), err: ownership.NotFencing},
		"finish what was dropped and released": {stored: free(), do: finish(takes(west, "ann")), err: ownership.NotFencing},

		"begin with an image that carries its owner's name": {
			stored: held(east, on(e1), keyed, named, renaming("r")), do: begin(withSelf(takes(west, "ann"))),
			want: fencing(east, west, "ann", on(e1), keyed, renaming("r", self), fenceNow, history(begun("ann"))),
		},
		"begin again with an image that carries its owner's name": {
			stored: fencing(east, west, "ann", keyed, renaming("earlier")), do: begin(withSelf(takes(west, "ann"))),
			want: fencing(east, west, "ann", keyed, renaming("earlier", self)),
		},
		"finish with an image that carries its owner's name": {
			stored: fencing(east, west, "ann", on(e1), keyed, renaming(clientOnE1, "late", self)), do: finish(withSelf(takes(west, "ann"))),
			want: held(west, nextEpoch, admitted, sinceNow, pending(ownership.Awaited), keyed, named, renaming("late"), func(r *ceph.Record) { r.Owner.Namespace, r.Owner.Claim = "store", "db" },
				history(ceph.Change{At: nowKept, Event: ceph.TakenOver, Party: west, By: "ann", From: &east, Fenced: []string{clientOnE1}})),
		},
		"drop an image that carries its owner's name": {
			stored: fencing(east, west, "ann", keyed, renaming("r", self)), do: drop(withSelf(takes(west, "ann"))),
			want: held(east, keyed, renaming("r", self), history(ceph.Change{At: nowKept, Event: ceph.FenceDropped, Party: west, By: "ann", From: &east})),
		},

		"drop": {
			stored: fencing(east, west, "ann", on(e1), pending("p")), do: drop(takes(west, "bob")),
			want: held(east, on(e1), pending("p"), history(ceph.Change{At: nowKept, Event: ceph.FenceDropped, Party: west, By: "bob", From: &east})),
		},
		"drop what another cluster began": {stored: fencing(east, third, "ann"), do: drop(takes(west, "ann")), err: ownership.BeingFenced},
		"drop what nobody began":          {stored: held(east), do: drop(takes(west, "ann")), err: ownership.NotFencing},
	}
	for name, test := range tests {
		t.Run(name, test.run)
	}
}
