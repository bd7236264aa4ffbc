package ownership_test

import (
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

func TestFencedNodes(t *testing.T) {
	first := ceph.FencedNode{Cluster: east, Node: ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1"}}
	rebooted, other := first, first
	rebooted.Node.BootID = "b2"
	other.Node.Name = "e2"
	fenced := func(nodes ...ceph.FencedNode) func(*ceph.Record) {
		return func(r *ceph.Record) { r.Fenced = nodes }
	}
	note := func(nodes ...ceph.FencedNode) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) { return ownership.NoteFenced(r, nodes), nil }
	}
	lift := func(nodes ...ceph.FencedNode) func(ceph.Record) (ceph.Record, error) {
		return func(r ceph.Record) (ceph.Record, error) { return ownership.NoteLifted(r, nodes), nil }
	}
	for name, test := range map[string]transition{
		"the first":                  {stored: held(east), do: note(first, other), want: held(east, fenced(first, other))},
		"again":                      {stored: held(east, fenced(first)), do: note(first), want: held(east, fenced(first))},
		"another boot":               {stored: held(east, fenced(first)), do: note(rebooted), want: held(east, fenced(first, rebooted))},
		"lifted":                     {stored: held(west, fenced(first, other)), do: lift(first), want: held(west, fenced(other))},
		"lifted again":               {stored: held(west, fenced(other)), do: lift(first), want: held(west, fenced(other))},
		"the last":                   {stored: free(fenced(first)), do: lift(first), want: free()},
		"another boot is not lifted": {stored: free(fenced(rebooted)), do: lift(first), want: free(fenced(rebooted))},
		"it stays when it is acquired": {stored: free(fenced(first)), do: func(r ceph.Record) (ceph.Record, error) {
			r, err := ownership.Acquire(r, asks(west, ""))
			r.History = nil
			return r, err
		}, want: held(west, fenced(first), nextEpoch, admitted, sinceNow)},
		"it stays when it is released": {stored: held(west, fenced(first)), do: func(r ceph.Record) (ceph.Record, error) {
			r, err := ownership.Release(r, west, "", now)
			r.History = nil
			return r, err
		}, want: free(fenced(first))},
		"it stays when the fence is dropped": {stored: fencing(east, west, "ann", fenced(first)),
			do: func(r ceph.Record) (ceph.Record, error) {
				r, err := ownership.DropFence(r, takes(west, "ann"))
				r.History = nil
				return r, err
			},
			want: held(east, fenced(first))},
	} {
		t.Run(name, test.run)
	}
}
