package failover_test

import (
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
)

func TestBeyond(t *testing.T) {
	const client, other = "10.0.1.11:0/1", "10.0.1.11:0/2"
	lost := func(change func(*failover.Plan)) failover.Plan {
		plan := failover.Plan{
			Wish:  failover.Wish{Lost: "e1"},
			Nodes: []ceph.Node{{Name: "e1", BootID: "first"}},
			Fence: failover.Fence{Machines: []string{"10.0.1.11:0/0"}, Instances: []string{client}},
		}
		if change != nil {
			change(&plan)
		}
		return plan
	}
	confirmed := lost(nil).Cut()
	for name, test := range map[string]struct {
		plan failover.Plan
		want string
	}{
		"what was confirmed": {lost(nil), ""},
		"less":               {lost(func(p *failover.Plan) { p.Fence, p.Nodes = failover.Fence{}, nil }), ""},
		"a boot at the same address": {lost(func(p *failover.Plan) { p.Nodes[0].BootID, p.Fence.Instances = "second", nil }),
			"node e1 has rebooted since the plan was made, and would be cut off again (bootID second)"},
		"two boots": {lost(func(p *failover.Plan) { p.Nodes = append(p.Nodes, ceph.Node{Name: "e1", BootID: "second"}) }), "(bootID second)"},
		"a boot of which nothing is known": {lost(func(p *failover.Plan) { p.Nodes[0].BootID = "" }),
			"nothing says whether node e1 has rebooted since the plan was confirmed"},
		"a client of the same boot": {lost(func(p *failover.Plan) { p.Fence.Instances = []string{client, other} }),
			"client " + other + " would be fenced too, which was not in the plan: node e1 has opened the image since"},
		"a machine": {lost(func(p *failover.Plan) { p.Fence.Machines = []string{"10.0.1.11:0/0", "10.0.1.12:0/0"} }), "machine 10.0.1.12 would be fenced too"},
		// The record says that it is being taken, and keeps everybody out.
		"a late client of another cluster": {lost(func(p *failover.Plan) { p.Wish.Lost, p.Fence.Instances = "", []string{other} }), ""},
		"a machine of another cluster":     {lost(func(p *failover.Plan) { p.Wish.Lost, p.Fence.Machines = "", []string{"10.0.1.12:0/0"} }), "machine 10.0.1.12 would be fenced too"},
	} {
		if got := test.plan.Beyond(confirmed); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}
