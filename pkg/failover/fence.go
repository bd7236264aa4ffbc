package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Fence is what is put on the blocklist, as ceph.Fencer wants it, sorted.
type Fence struct {
	// Machines are "10.0.1.12:0/0": everything that comes from there.
	Machines []string `json:"machines,omitempty"`
	// Instances are "10.0.1.12:0/3311202721".
	Instances []string `json:"instances,omitempty"`
}

// covers reports whether the fence cuts off that client.
func (f Fence) covers(client string) bool {
	return slices.ContainsFunc(f.all(), func(addr string) bool {
		return ceph.BlocklistEntry{Addr: addr}.Covers(client)
	})
}

// machineOf is the entry for the machine with that address.
func machineOf(address netip.Addr) string {
	return netip.AddrPortFrom(address.Unmap(), 0).String() + "/0"
}

// has reports whether the fence cuts off the whole machine.
func (f Fence) has(address netip.Addr) bool { return slices.Contains(f.Machines, machineOf(address)) }

// all is the order in which to fence.
func (f Fence) all() []string { return slices.Concat(f.Machines, f.Instances) }

// ParseAddress reads what a person wants fenced besides: "10.0.1.12" for the machine,
// or "10.0.1.12:0/3311202721" for a client instance.
func ParseAddress(text string) (string, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return machineOf(address), nil
	}
	if err := ceph.CheckFence(text); err != nil {
		return "", fmt.Errorf("%q is neither an IP address nor a client as `rbd status` prints it", text)
	}
	return text, nil
}

// fence is what cuts off the owner that the plan is about: its recorded client instances,
// those that may be renaming the image, and who has it open, or its lock, and is known to be
// one of the owner's. Unless the plan is exact, also the machines of the clients that came
// from no boot that is over, and the nodes with every address that they are known by. What
// the person names is added, and the machines to spare are left out.
func (s Situation) fence(plan Plan) (Fence, error) {
	fence := alsoFence(plan.Wish.Also)
	machine := func(text string) error {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("the record names %q, which is not an address", text)
		}
		if address = address.Unmap(); !plan.Exact && !slices.Contains(plan.Wish.Spare, address) {
			fence.Machines = append(fence.Machines, machineOf(address))
		}
		return nil
	}
	for _, node := range plan.Nodes {
		for _, address := range node.Addresses {
			if err := machine(address); err != nil {
				return Fence{}, err
			}
		}
	}
	alive := s.aliveInstances()
	for _, client := range slices.Concat(s.Record.Owner.Instances(), s.Record.Renamers) {
		address, err := ceph.ParseAddress(client)
		if err == nil {
			err = ceph.CheckFence(client)
		}
		if err != nil {
			return Fence{}, fmt.Errorf("the record names the client %q, which is not an address", client)
		}
		if client == s.Self {
			continue // what it began, it goes on with
		}
		fence.Instances = append(fence.Instances, client)
		if slices.Contains(alive, client) {
			if err := machine(address.String()); err != nil {
				return Fence{}, err
			}
		}
	}
	for _, client := range s.opened() {
		if plan.isTheirs(client.Addr) {
			fence.Instances = append(fence.Instances, client.Addr)
		}
	}
	fence.Machines, fence.Instances = unique(fence.Machines), unique(fence.Instances)
	return fence, nil
}

// alsoFence is what a person names.
func alsoFence(addrs []string) Fence {
	var fence Fence
	for _, addr := range addrs {
		if strings.HasSuffix(addr, ":0/0") {
			fence.Machines = append(fence.Machines, addr)
		} else {
			fence.Instances = append(fence.Instances, addr)
		}
	}
	return Fence{unique(fence.Machines), unique(fence.Instances)}
}

// withThere is the fence with the instances that watch from its machines: they have to
// stay away when those come back. A node may have rebooted since its leader wrote the
// record.
func (f Fence) withThere(watchers []ceph.Watcher) Fence {
	for _, watcher := range watchers {
		if f.covers(watcher.Addr) && ceph.CheckFence(watcher.Addr) == nil {
			f.Instances = unique(append(slices.Clone(f.Instances), watcher.Addr))
		}
	}
	return f
}

func unique(addrs []string) []string {
	slices.Sort(addrs)
	return slices.Compact(addrs)
}
