package inventory

import (
	"context"
	"errors"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Sight is what this cluster says about a node that is fenced: about the Node object of the
// same machine, or else of the same boot or name.
func (i *Inventory) Sight(ctx context.Context, self ceph.Party, fenced ceph.Node) (failover.Sight, error) {
	sight := failover.Sight{Cluster: self}
	nodes, err := i.Nodes(ctx)
	if err != nil {
		return sight, err
	}
	for _, same := range []func(ceph.Node) bool{
		func(node ceph.Node) bool { return ownership.IsOver(fenced, node) },
		func(node ceph.Node) bool { return node.BootID != "" && node.BootID == fenced.BootID },
		func(node ceph.Node) bool { return node.Name == fenced.Name },
	} {
		if n := slices.IndexFunc(nodes, same); n >= 0 {
			sight.Exists, sight.Node = true, nodes[n]
			break
		}
	}
	if !sight.Exists {
		return sight, nil
	}
	foreign, err := i.notOurs(ctx, self)
	if err != nil {
		return sight, err
	}
	for _, volume := range foreign {
		using, err := i.Usage.Uses(ctx, volume)
		if err != nil {
			return sight, err
		}
		for _, use := range using {
			if use.Node == sight.Node.Name {
				sight.Uses = append(sight.Uses, use.What)
			}
		}
	}
	return sight, nil
}

// notOurs are the guarded volumes whose images this cluster does not own. One that
// cannot be looked at is an error.
func (i *Inventory) notOurs(ctx context.Context, self ceph.Party) ([]volumes.Volume, error) {
	all, err := i.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	var foreign []volumes.Volume
	for _, found := range all {
		if found.Err != nil {
			return nil, found.Err
		}
		storage, spec, err := i.Image(ctx, found.Volume)
		if err != nil {
			return nil, err
		}
		image, err := storage.Image(ctx, spec)
		if errors.Is(err, ceph.ErrImageNotFound) {
			continue // nothing can mount it
		} else if err != nil {
			return nil, err
		}
		record, err := ownership.Read(ctx, storage, image)
		if err != nil {
			return nil, err
		}
		if record.State != ceph.Held || !ownership.Owns(record, self) {
			foreign = append(foreign, found.Volume)
		}
	}
	return foreign, nil
}
