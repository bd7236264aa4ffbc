package ownership_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// East reads that the image is free, and west is faster. The swap fails, so that east reads
// again, and decides by what is true now.
func ExampleChange() {
	ctx := context.Background()
	all := cephtest.New(cephtest.Pool{Name: "replicapool", Images: []cephtest.Image{{Name: "shop.data"}}})
	storage, err := all.Dial(ctx, cephtest.Operator)
	if err != nil {
		fmt.Println(err)
		return
	}
	image, err := storage.Image(ctx, ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"})
	if err != nil {
		fmt.Println(err)
		return
	}
	asks := func(name string, meanwhile func()) {
		_, err := ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
			fmt.Printf("%s reads: %s\n", name, stored.State)
			meanwhile()
			return ownership.Acquire(stored, ownership.Request{
				Cluster: ceph.Party{UID: "uid-" + name, Name: name}, Namespace: "shop", Claim: "data", Pod: "of-" + name,
				Now: time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC),
			})
		})
		fmt.Printf("%s: %v\n", name, err)
	}
	done := false
	asks("east", func() {
		if !done {
			done = true
			asks("west", func() {})
		}
	})
	// Output:
	// east reads: free
	// west reads: free
	// west: <nil>
	// east reads: held
	// east: another cluster owns the image: cluster west, claim shop/data, since 2026-11-22T14:03:00Z
}

// A node of a dead cluster is back. Only another boot of the same machine proves that nothing
// that it had mapped writes any more; its name proves nothing.
func ExampleIsOver() {
	recorded := ceph.Node{Name: "e1", BootID: "b1", MachineID: "m1", SystemUUID: "s1"}
	for _, now := range []ceph.Node{
		{Name: "e1", BootID: "b1", MachineID: "m1", SystemUUID: "s1"},
		{Name: "e1", BootID: "b7", MachineID: "m9", SystemUUID: "s9"},
		{Name: "renamed", BootID: "b2", MachineID: "m1", SystemUUID: "s1"},
	} {
		fmt.Printf("boot %s of machine %s, named %s: %t\n", now.BootID, now.MachineID, now.Name, ownership.IsOver(recorded, now))
	}
	// Output:
	// boot b1 of machine m1, named e1: false
	// boot b7 of machine m9, named e1: false
	// boot b2 of machine m1, named renamed: true
}
