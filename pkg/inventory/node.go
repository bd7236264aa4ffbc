package inventory

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Sight is what this cluster says about one of its nodes, which is fenced.
func (i *Inventory) Sight(ctx context.Context, self ceph.Party, name string) (failover.Sight, error) {
	sight := failover.Sight{Cluster: self}
	var node corev1.Node
	err := i.API.Get(ctx, client.ObjectKey{Name: name}, &node)
	if apierrors.IsNotFound(err) {
		return sight, nil
	} else if err != nil {
		return sight, fmt.Errorf("read node %s: %w", name, err)
	}
	sight.Exists, sight.BootID = true, node.Status.NodeInfo.BootID
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
			if use.Node == name {
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
