package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Ceph is the part of ceph.Cluster that a failover needs.
type Ceph interface {
	ceph.ImageReader
	ceph.ImageRenamer
	ceph.WatcherLister
	ceph.Looker
	ceph.LockReader
	ceph.KeyStore
	ceph.Identified
	ceph.RecordStore
	ceph.RecordLister
	ceph.Registrar
	ceph.Fencer
	ceph.DaemonLister
}

// Step is a part of a failover that was carried out.
type Step string

// The steps, in their order. Only an image that carries its owner's name is Renamed; Machines
// and Instances are left out when there are none.
const (
	Begun      Step = "the record says that the image is being taken"
	Machines   Step = "the machines are on the blocklist"
	Instances  Step = "the client instances are on the blocklist"
	InForce    Step = "the OSDs know"
	Renamed    Step = "the image carries the name of this cluster"
	NobodyLeft Step = "nobody has the image open"
	TakenOver  Step = "the record says that the image is ours"
	// NodeFenced is the last step where a node of the own cluster is cut off.
	NodeFenced Step = "the record says that the node is cut off"
)

const (
	settleLimit = 30 * time.Second
	settlePoll  = 100 * time.Millisecond
)

// takeover is a plan that is being carried out.
type takeover struct {
	Plan
	storage Ceph
	image   ceph.Image
	exempt  []netip.Prefix
	// before is the record that was there, and begun the one that was written.
	before, begun ceph.Record
	// fence is the plan's, and whom it did not know of.
	fence Fence
	// entries are the blocklist.
	entries *latest[[]ceph.BlocklistEntry]
}

// Take is [TakeAll] of one image.
func Take(ctx context.Context, storage Ceph, plan Plan, exempt []netip.Prefix, did func(Step)) error {
	return TakeAll(ctx, storage, []Plan{plan}, exempt, func(_ int, step Step) { did(step) })[0]
}

// named: the image carries its owner's name, and gets another owner.
func (t *takeover) named() bool { return t.Record.Keyed && !t.Ours }

// begin writes that the image is being taken, and from which nodes, if the holder
// still is the one that was decided about. Of an image that is ours it writes the nodes. It
// writes also what is there already: another run of the same person, which may put the
// record back, then finds that somebody goes by it.
func (t *takeover) begin(ctx context.Context) error {
	var err error
	t.begun, err = ownership.Rewrite(ctx, t.storage, t.image, func(stored ceph.Record) (ceph.Record, error) {
		t.before = stored
		return t.Plan.begin(stored)
	})
	return err
}

// begin is the record in which the image is being taken, or a [*Refusal].
func (p Plan) begin(stored ceph.Record) (ceph.Record, error) {
	if p.Wish.Lost != "" {
		return p.beginLost(stored)
	}
	if p.Ours && stored.State == ceph.Held && ownership.Owns(stored, p.Wish.Cluster) {
		return ownership.NoteFenced(stored, p.Fenced()), nil
	}
	next, err := ownership.BeginFence(stored, p.Wish.Taker)
	if err != nil {
		return ceph.Record{}, refused(err, p)
	}
	const again = "run the same command again, and check whom it names"
	if !reflect.DeepEqual(stored.Owner, p.Record.Owner) || !slices.Equal(stored.Pending, p.Record.Pending) || !slices.Equal(stored.Unbound, p.Record.Unbound) {
		return ceph.Record{}, refuse(again, "image %s: cluster %s has changed its own entry in the meantime: is it really dead?", p.Image, stored.Owner.Name)
	}
	for _, renamer := range stored.Renamers {
		if renamer != p.Wish.Self && !slices.Contains(p.Record.Renamers, renamer) {
			return ceph.Record{}, refuse(again, "image %s: client %s has begun to rename it in the meantime", p.Image, renamer)
		}
	}
	return ownership.NoteFenced(next, p.Fenced()), nil
}

// refused says it for the person whom somebody was ahead of.
func refused(err error, plan Plan) error {
	var r *ownership.Refused
	if !errors.As(err, &r) {
		return err
	}
	if r.Reason == ownership.BeingFenced {
		refusal := refuseTaken(r.Record, plan.Wish)
		refusal.What = fmt.Sprintf("image %s: %s", plan.Image, refusal.What)
		return refusal
	}
	return refuse("run the same command again, and check whom it names", "image %s: %v", plan.Image, err)
}

// Fenced are the nodes of the plan as the record keeps them: with those addresses that
// are fenced. Addresses that belong to no node are one node without a name.
func (p Plan) Fenced() []ceph.FencedNode {
	left := slices.Clone(p.Fence.Machines)
	var nodes []ceph.FencedNode
	for _, node := range p.Nodes {
		node.Clients = nil
		var addresses []string
		for _, address := range node.IPs() {
			if p.Fence.has(address) {
				addresses = append(addresses, address.String())
				left = slices.DeleteFunc(left, func(addr string) bool { return addr == machineOf(address) })
			}
		}
		if node.Addresses = addresses; len(addresses) > 0 {
			nodes = append(nodes, ceph.FencedNode{Cluster: p.From, Node: node})
		}
	}
	var addresses []string
	for _, addr := range left {
		if address, err := ceph.ParseAddress(addr); err == nil {
			addresses = append(addresses, address.String())
		}
	}
	if len(addresses) > 0 {
		nodes = append(nodes, ceph.FencedNode{Cluster: p.From, Node: ceph.Node{Addresses: addresses}})
	}
	return nodes
}

// Drop gives an image back to its owner whose takeover was begun, for a person who
// decided otherwise. What is on the blocklist stays there, and in the record, until
// it is lifted. Of an image that carries its owner's name, who may be renaming it for the
// takeover is fenced before: the owner could not tell it from one of its own, and it would
// take the name away again.
func Drop(ctx context.Context, storage Ceph, spec ceph.ImageSpec, taker ownership.Taker) (ceph.Record, error) {
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return ceph.Record{}, err
	}
	record, err := ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		next, err := ownership.DropFence(stored, taker)
		if err == nil {
			err = cutRenamers(ctx, storage, spec, stored.Renamers)
		}
		return next, err
	})
	if err != nil {
		return ceph.Record{}, fmt.Errorf("drop the takeover of image %s: %w", spec, err)
	}
	return record, nil
}

// cutRenamers fences those who may be renaming the image, but not this command, which does not.
func cutRenamers(ctx context.Context, storage Ceph, spec ceph.ImageSpec, renamers []string) error {
	if len(renamers) == 0 {
		return nil
	}
	self, err := storage.Self(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(renamers), func(r string) bool { return r == self })
	return imagename.CutOff(ctx, storage, spec, others)
}
