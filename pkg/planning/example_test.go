package planning_test

import (
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/planning"
)

// East has burnt down. This is what ann reads before she confirms that west takes its image, and
// what she is told after it.
func ExamplePrint() {
	e1 := ceph.Node{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "b1", Clients: []string{"10.0.1.11:0/33"}}
	east := ceph.Party{UID: "7a", Name: "east"}
	owner := &ceph.Owner{
		Party: east, Namespace: "shop", Claim: "data", Since: time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC), Nodes: []ceph.Node{e1},
	}
	volumes := []planning.Volume{{
		Claim:  types.NamespacedName{Namespace: "shop", Name: "data"},
		Spaces: []failover.Space{{Pool: "replicapool"}},
		Plan: failover.Plan{
			Image: ceph.ImageSpec{Pool: "replicapool", Name: "shop.data"}, From: east, Nodes: owner.Nodes, Exact: true,
			Record: ceph.Record{State: ceph.Held, Owner: owner, Keyed: true, Exclusive: true, Private: true},
			Fence:  failover.Fence{Instances: e1.Clients},
		},
	}}
	planning.Print(os.Stdout, volumes)
	fmt.Println(planning.Next(volumes))
	// Output:
	// volume shop/data (image replicapool/shop.data)
	//   owner       cluster east, claim shop/data, since 2026-11-22T14:03:00Z
	//   cut off     10.0.1.11:0/33: a client
	//   cuts off:   this volume only
	//   looked at   the records in replicapool
	// Start the workload here. When cluster east is back, no node has to be rebooted or let in again for this.
}
