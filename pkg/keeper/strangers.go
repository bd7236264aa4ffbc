package keeper

import (
	"context"
	"net/netip"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// fenceLate fences the clients of other clusters' nodes that have an image of this cluster
// open although it carries this cluster's name. Such a client resolved an earlier name before
// the image lost that, and opened it after the last look at the watchers. It is fenced when
// it is seen for the second time: what another cluster's webhook does is over by then. It
// reports whether there is one to look at again soon.
//
// That is done only where the fence hits this mapping alone, and only to who is known to be
// another cluster's. Of anybody else, pods are refused, and a person decides.
func (k *Keeper) fenceLate(ctx context.Context, storage idle.Ceph, look idle.Look, record ceph.Record) (again bool, err error) {
	pv := look.Volume.PV.Name
	mine := record.State == ceph.Held && ownership.Owns(record, k.Self)
	open := unexplained(look.Evidence.Seen, record)
	if !mine || !record.Keyed || !record.Private || !record.Named || len(open) == 0 {
		k.patience.late(pv, nil)
		return false, nil
	}
	registered, err := storage.Registrations(ctx, look.Image.Pool, look.Image.Namespace)
	if err != nil {
		return false, err
	}
	nodes, err := k.Usage.Nodes(ctx)
	if err != nil {
		return false, err
	}
	late := ofOthers(open, registered, k.Self, usage.RecordedNodes(nodes))
	fence := k.patience.late(pv, late)
	if len(fence) > 0 {
		if err := imagename.CutOff(ctx, storage, look.Image.ImageSpec, fence); err != nil {
			return false, err
		}
		ctrl.LoggerFrom(ctx).Info("fenced clients of other clusters that opened an image of this cluster", "image", look.Image.String(), "clients", fence)
	}
	return len(late) > 0, nil
}

// unexplained are the watchers that this cluster does not account for.
func unexplained(seen ownership.Seen, record ceph.Record) []string {
	return slices.DeleteFunc(slices.Clone(seen.Watchers), func(addr string) bool {
		return slices.Contains(seen.Explained, addr) || slices.Contains(record.Renamers, addr)
	})
}

// ofOthers are the clients that come from a node of another cluster by the register, and
// from none of this one, in the register or now: a machine may have changed the cluster, and
// what a dead cluster has registered stays.
func ofOthers(clients []string, registered []ceph.RegistrationOf, self ceph.Party, present []ceph.Node) []string {
	var late []string
	for _, client := range clients {
		address, err := ceph.ParseAddress(client)
		if err != nil || ceph.CheckFence(client) != nil {
			continue
		}
		other, ours := false, at(present, address)
		for _, of := range registered {
			if at(of.Registration.Nodes, address) {
				ours = ours || of.UID == self.UID
				other = other || of.UID != self.UID
			}
		}
		if other && !ours {
			late = append(late, client)
		}
	}
	return late
}

func at(nodes []ceph.Node, address netip.Addr) bool {
	return slices.ContainsFunc(nodes, func(n ceph.Node) bool { return slices.Contains(n.IPs(), address) })
}
