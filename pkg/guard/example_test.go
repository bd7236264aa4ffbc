package guard_test

import (
	"fmt"
	"net/netip"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/usage"
)

// The record says who may use an image, and the watchers who has it open. Either may refuse.
func ExampleDecide() {
	east, west := ceph.Party{UID: "7a", Name: "east"}, ceph.Party{UID: "c2", Name: "west"}
	local := usage.Local{Nodes: map[string][]netip.Addr{"e1": {netip.MustParseAddr("10.0.1.11")}}, Using: []string{"e1"}}
	ours, stranger := ceph.Watcher{Addr: "10.0.1.11:0/33"}, ceph.Watcher{Addr: "10.0.9.9:0/2"}
	ownedBy := func(owner ceph.Party) ceph.Record {
		return ceph.Record{State: ceph.Held, Owner: &ceph.Owner{Party: owner}}
	}
	decide := func(record ceph.Record, watchers ...ceph.Watcher) {
		verdict := guard.Decide(watchers, record, east, local)
		fmt.Println(verdict.Allowed, verdict.Reason)
	}
	decide(ceph.Record{})
	decide(ownedBy(east), ours)
	decide(ownedBy(west))
	decide(ownedBy(east), ours, stranger)
	// Output:
	// true no-watcher
	// true own-watchers
	// false owned-elsewhere
	// false foreign-watchers
}
