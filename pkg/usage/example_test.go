package usage_test

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/usage"
)

// A client is ours if it has the address of a node that uses the volume. An address alone
// explains nothing, because other clusters may have the same behind NAT.
func ExampleLocal_Unexplained() {
	local := usage.Local{
		Nodes: map[string][]netip.Addr{"e1": {netip.MustParseAddr("10.0.1.11")}, "e2": {netip.MustParseAddr("10.0.1.12")}},
		Using: []string{"e1"},
	}
	for _, addr := range []string{"10.0.1.11:0/33", "10.0.1.12:0/7", "10.0.9.9:0/2"} {
		why := local.Unexplained(ceph.Watcher{Addr: addr})
		fmt.Printf("%s: %s\n", addr, cmp.Or(why, "ours"))
	}
	// Output:
	// 10.0.1.11:0/33: ours
	// 10.0.1.12:0/7: the address of node e2, which does not use the volume
	// 10.0.9.9:0/2: not a node of this cluster
}
