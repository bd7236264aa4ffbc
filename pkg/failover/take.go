package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Ceph is the part of ceph.Cluster that a failover needs.
type Ceph interface {
	ceph.ImageReader
	ceph.WatcherLister
	ceph.RecordStore
	ceph.RecordLister
	ceph.Registrar
	ceph.Fencer
	ceph.DaemonLister
}

// Step is a part of a failover that was carried out.
type Step string

// The steps, in their order.
const (
	Begun       Step = "the record says that the image is being taken"
	Machines    Step = "the machines are on the blocklist"
	Instances   Step = "the client instances are on the blocklist"
	InForce     Step = "the OSDs know"
	NobodyLeft  Step = "nobody has the image open"
	TakenOver   Step = "the record says that the image is ours"
	settleLimit      = 30 * time.Second
	settlePoll       = 100 * time.Millisecond
)

// Take carries a plan out, and tells did after each step. Where it broke off, it goes
// on when it is called again with a plan of the situation then. It returns a
// [*Refusal] when the situation is not the one that was decided about, and the errors
// of Ceph.
func Take(ctx context.Context, storage Ceph, plan Plan, exempt []netip.Prefix, did func(Step)) error {
	if plan.Done {
		return nil
	}
	image, err := storage.Image(ctx, plan.Image)
	if err != nil {
		return err
	}
	begun, err := begin(ctx, storage, image, plan)
	if err != nil {
		return err
	}
	if !plan.Ours {
		did(Begun)
	}
	if err := storage.Blocklist(ctx, plan.Fence.Machines, ceph.MaxFence); err != nil {
		return err
	}
	did(Machines)
	if err := storage.Blocklist(ctx, plan.Fence.Instances, ceph.MaxFence); err != nil {
		return err
	}
	did(Instances)
	if err := storage.Barrier(ctx, plan.Image); err != nil {
		return err
	}
	did(InForce)
	if err := look(ctx, storage, plan, exempt); err != nil {
		return err
	}
	did(NobodyLeft)
	if plan.Ours {
		return nil
	}
	_, err = ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.FinishFence(stored, begun, plan.Wish.Taker, plan.Wish.Namespace, plan.Wish.Claim, plan.Fence.all())
	})
	if err != nil {
		return refused(err, plan)
	}
	did(TakenOver)
	return nil
}

// begin writes that the image is being taken, and from which nodes, if the holder
// still is the one that was decided about. Of an image that is ours it writes the nodes.
func begin(ctx context.Context, storage Ceph, image ceph.Image, plan Plan) (ceph.Record, error) {
	return ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		if plan.Ours && stored.State == ceph.Held && ownership.Owns(stored, plan.Wish.Cluster) {
			return ownership.NoteFenced(stored, plan.Fenced()), nil
		}
		next, err := ownership.BeginFence(stored, plan.Wish.Taker)
		if err != nil {
			return ceph.Record{}, refused(err, plan)
		}
		if !reflect.DeepEqual(stored.Owner, plan.Record.Owner) || !slices.Equal(stored.Pending, plan.Record.Pending) || !slices.Equal(stored.Unbound, plan.Record.Unbound) {
			return ceph.Record{}, refuse("run the same command again, and look at whom it names",
				"image %s: cluster %s has written something else about itself meanwhile: is it dead?", plan.Image, stored.Owner.Name)
		}
		return ownership.NoteFenced(next, plan.Fenced()), nil
	})
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
	return refuse("run the same command again, and look at whom it names", "image %s: %v", plan.Image, err)
}

// Fenced are the nodes of the plan as the record keeps them: with those addresses that
// are fenced. Addresses that belong to no node are one node without a name.
func (p Plan) Fenced() []ceph.FencedNode {
	left := slices.Clone(p.Fence.Machines)
	var nodes []ceph.FencedNode
	for _, node := range p.Nodes {
		node.Clients = nil
		var addresses []string
		for _, address := range addressesOf(node) {
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

// look returns when nobody has the image open and every entry is on the blocklist.
// What was put on it loses its watches within milliseconds.
func look(ctx context.Context, storage Ceph, plan Plan, exempt []netip.Prefix) error {
	var left []ceph.Watcher
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleLimit, true, func(ctx context.Context) (bool, error) {
		watchers, err := storage.Watchers(ctx, plan.Image)
		if err != nil {
			return false, err
		}
		watchers = notAmong(watchers, plan.Own)
		if strangers := uncovered(watchers, plan.Fence, exempt); len(strangers) > 0 {
			return false, refuse("find out who that is; then run the same command again, with --also-fence if it is a client of the dead cluster, or with --drop to give up",
				"image %s: client %s (%s) has opened it meanwhile, and is not one of those that are fenced", plan.Image, strangers[0].Addr, strangers[0].Client)
		}
		left = uncovered(watchers, Fence{}, exempt)
		return len(left) == 0, nil
	})
	if wait.Interrupted(err) && len(left) > 0 && ctx.Err() == nil {
		return refuse("look at `ceph osd blocklist ls` and at the image with `rbd status`, then run the same command again",
			"image %s: client %s is on the blocklist, and still has the image open %s later", plan.Image, left[0].Addr, settleLimit)
	}
	if err != nil {
		return err
	}
	// Somebody may have cleared the list, or lifted one of the entries.
	entries, err := storage.Blocklisted(ctx)
	if err != nil {
		return err
	}
	missing, err := ceph.PlanFence(entries, plan.Fence.all(), time.Now(), ceph.MaxFence)
	if err != nil {
		return err
	}
	if lifted := slices.Concat(missing.Add, missing.Renew); len(lifted) > 0 {
		return refuse("find out who lifts entries at the same time, then run the same command again",
			"somebody took %s off the blocklist meanwhile", strings.Join(lifted, ", "))
	}
	return nil
}

// Drop gives an image back to its owner whose takeover was begun, for a person who
// decided otherwise. What is on the blocklist stays there, and in the record, until
// it is lifted.
func Drop(ctx context.Context, storage Ceph, spec ceph.ImageSpec, taker ownership.Taker) (ceph.Record, error) {
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return ceph.Record{}, err
	}
	record, err := ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.DropFence(stored, taker)
	})
	if err != nil {
		return ceph.Record{}, fmt.Errorf("drop the takeover of image %s: %w", spec, err)
	}
	return record, nil
}
