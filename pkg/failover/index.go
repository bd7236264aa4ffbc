package failover

import (
	"net/netip"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// index finds records by what a fence may hit. There may be thousands of records, and
// hundreds of images to take.
type index struct {
	records []ceph.RecordOf
	// by are the records by a client that they name, at by the address of a client or node.
	by map[string][]int
	at map[netip.Addr][]int
	// apart is a client of a cluster, by its uid, that came from the address of no node.
	apart map[string]string
	// unread are images whose record this version cannot read.
	unread []ceph.ImageSpec
}

func newIndex(records []ceph.RecordOf) *index {
	x := &index{records: records, by: map[string][]int{}, at: map[netip.Addr][]int{}, apart: map[string]string{}}
	for i, of := range records {
		if of.Err != nil {
			x.unread = append(x.unread, of.Image)
		}
		owner := of.Record.Owner
		if owner == nil {
			continue
		}
		if len(owner.Clients) > 0 && x.apart[owner.UID] == "" {
			x.apart[owner.UID] = owner.Clients[0]
		}
		for _, client := range owner.Instances() {
			x.by[client] = append(x.by[client], i)
			if address, err := ceph.ParseAddress(client); err == nil {
				x.at[address] = append(x.at[address], i)
			}
		}
		for _, node := range owner.Nodes {
			for _, address := range node.IPs() {
				x.at[address] = append(x.at[address], i)
			}
		}
	}
	return x
}

// indexed is the index of the records of others.
func (s Situation) indexed() *index {
	if s.index != nil {
		return s.index
	}
	return newIndex(s.Others)
}

// hit are the records of other images that name somebody whom the fence cuts off, in their
// order.
func (s Situation) hit(fence Fence) []ceph.RecordOf {
	x := s.indexed()
	var hit []int
	for _, addr := range fence.Instances {
		hit = append(hit, x.by[addr]...)
	}
	for _, addr := range fence.Machines {
		if address, err := ceph.ParseAddress(addr); err == nil {
			hit = append(hit, x.at[address]...)
		}
	}
	slices.Sort(hit)
	var all []ceph.RecordOf
	for _, i := range slices.Compact(hit) {
		if x.records[i].Image.Base() != s.Image.Base() {
			all = append(all, x.records[i])
		}
	}
	return all
}

// isElsewhere reports whether another cluster than this one has a client or node at the
// address, by the records of other images.
func (s Situation) isElsewhere(address netip.Addr, uid string) bool {
	x := s.indexed()
	return slices.ContainsFunc(x.at[address], func(i int) bool {
		return x.records[i].Record.Owner.UID != uid && x.records[i].Image.Base() != s.Image.Base()
	})
}
