package failover

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// The records that the index finds are those that one finds by looking at all of them.
func TestHit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() string { return fmt.Sprintf("10.0.0.%d", random.IntN(12)) }
	found := 0
	for range 300 {
		var s Situation
		s.Image = ceph.ImageSpec{Pool: "rbd", Name: "data-0", Key: "west"}
		for i := range 8 {
			of := ceph.RecordOf{Image: ceph.ImageSpec{Pool: "rbd", Name: fmt.Sprint("data-", i)}}
			if random.IntN(4) > 0 {
				of.Record.Owner = &ceph.Owner{
					Clients: []string{fmt.Sprintf("%s:0/%d", address(), random.IntN(3))},
					Nodes:   []ceph.Node{{Addresses: []string{address()}, Clients: []string{fmt.Sprintf("%s:0/%d", address(), random.IntN(3))}}},
				}
			}
			s.Others = append(s.Others, of)
		}
		fence := Fence{Machines: []string{address() + ":0/0"}, Instances: []string{fmt.Sprintf("%s:0/%d", address(), 1+random.IntN(2))}}
		var want []ceph.RecordOf
		for _, of := range s.Others[1:] {
			owner, hit := of.Record.Owner, false
			if owner == nil {
				continue
			}
			for _, client := range owner.Instances() {
				hit = hit || fence.covers(client)
			}
			for _, node := range owner.Nodes {
				for _, address := range node.IPs() {
					hit = hit || fence.has(address)
				}
			}
			if hit {
				want = append(want, of)
			}
		}
		found += len(want)
		if diff := cmp.Diff(want, s.hit(fence), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%+v: -want +got:\n%s", fence, diff)
		}
	}
	if found == 0 {
		t.Error("no fence hits anything")
	}
}
