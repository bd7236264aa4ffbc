package inventory

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Orphan is the volume of an image that no PersistentVolume of this cluster leads to,
// for the claim that the image's record names.
func (i *Inventory) Orphan(ctx context.Context, clusterID string, spec ceph.ImageSpec) (volumes.Volume, error) {
	storage, radosNamespace, err := i.Storages.Cluster(ctx, clusterID)
	if err != nil {
		return volumes.Volume{}, err
	}
	if radosNamespace != spec.Namespace {
		return volumes.Volume{}, fmt.Errorf("clusterID %q is for images in rados namespace %q, not %q; take the clusterID of that, from ceph-csi's configuration", clusterID, radosNamespace, spec.Namespace)
	}
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return volumes.Volume{}, err
	}
	record, err := ownership.Read(ctx, storage, image)
	if err != nil {
		return volumes.Volume{}, err
	}
	// Live, and after the record: a volume is there before its image has an owner.
	name := ""
	err = usage.EachPage(ctx, usage.Source{Reader: i.API}, func(pvs *corev1.PersistentVolumeList) {
		name = cmp.Or(name, volumes.LeadsTo(pvs.Items, spec.Pool, spec.Name))
	})
	if err != nil {
		return volumes.Volume{}, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	if name != "" {
		return volumes.Volume{}, fmt.Errorf("PersistentVolume %s may lead to it; name its claim instead of the image", name)
	}
	place := volumes.Place{ClusterID: clusterID, Pool: spec.Pool}
	if record.Owner == nil {
		return volumes.OrphanOf(place, spec.Name, ceph.Owner{}), nil
	}
	return volumes.OrphanOf(place, spec.Name, *record.Owner), nil
}
