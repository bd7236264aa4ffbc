package inventory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/provisioner"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Storages lead from a clusterID to its Ceph cluster and to the rados namespace of its
// images.
type Storages interface {
	Cluster(ctx context.Context, clusterID string) (ceph.Cluster, string, error)
}

// Inventory is one Kubernetes cluster and the Ceph behind its volumes.
type Inventory struct {
	// API answers from the API server.
	API client.Reader
	// Finder and Usage are set up as the webhook's, so that both guard the same volumes
	// and account for the same watchers.
	Finder   volumes.Finder
	Usage    *usage.Gatherer
	Storages Storages
}

// Found is a guarded volume, and why its image is not known, if so.
type Found struct {
	volumes.Volume
	Err error
}

// Volumes are the guarded volumes with claims in the namespace, or in all of them if
// it is empty, by namespace and claim.
func (i *Inventory) Volumes(ctx context.Context, namespace string) ([]Found, error) {
	var list corev1.PersistentVolumeList
	if err := i.API.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	var all []Found
	for n := range list.Items {
		volume, guarded, err := i.Finder.Guarded(&list.Items[n])
		if guarded && volume.Claim != "" && (namespace == "" || volume.Namespace == namespace) {
			all = append(all, Found{volume, err})
		}
	}
	slices.SortFunc(all, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Claim, b.Claim), cmp.Compare(a.PV.Name, b.PV.Name))
	})
	return all, nil
}

// Volume is the guarded volume of a claim: the one that the claim names, or else the
// only one that is for it, or else the one that the provisioner is about to make: another
// cluster may own the image, so that this one has never had the volume.
func (i *Inventory) Volume(ctx context.Context, namespace, claim string) (volumes.Volume, error) {
	var pvc corev1.PersistentVolumeClaim
	err := i.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: claim}, &pvc)
	if client.IgnoreNotFound(err) != nil {
		return volumes.Volume{}, fmt.Errorf("read PersistentVolumeClaim %s/%s: %w", namespace, claim, err)
	}
	absent := apierrors.IsNotFound(err)
	all, err := i.Volumes(ctx, namespace)
	if err != nil {
		return volumes.Volume{}, err
	}
	all = slices.DeleteFunc(all, func(f Found) bool {
		return f.Claim != claim || pvc.Spec.VolumeName != "" && f.PV.Name != pvc.Spec.VolumeName
	})
	switch {
	case len(all) == 1:
		return all[0].Volume, all[0].Err
	case len(all) > 1:
		return volumes.Volume{}, fmt.Errorf("claim %s/%s: PersistentVolumes %s and %s are for it, and it names none; delete the one that is wrong", namespace, claim, all[0].PV.Name, all[1].PV.Name)
	case !absent && pvc.Spec.VolumeName == "":
		return i.waited(ctx, &pvc)
	case absent:
		return volumes.Volume{}, fmt.Errorf("claim %s/%s: this cluster has neither the claim nor a guarded PersistentVolume for it; install the application here first, with 0 replicas", namespace, claim)
	default:
		return volumes.Volume{}, notGuarded(&pvc)
	}
}

func notGuarded(claim *corev1.PersistentVolumeClaim) error {
	return fmt.Errorf("claim %s/%s: its volume is not guarded; `kubectl cephferry status` lists those that are", claim.Namespace, claim.Name)
}

// waited is the volume that a claim waits for.
func (i *Inventory) waited(ctx context.Context, claim *corev1.PersistentVolumeClaim) (volumes.Volume, error) {
	pv, err := provisioner.Planner{Cache: i.API, API: i.API}.Volume(ctx, claim)
	if err != nil {
		return volumes.Volume{}, fmt.Errorf("claim %s/%s waits for a volume that cannot be made: %w", claim.Namespace, claim.Name, err)
	}
	if pv != nil {
		volume, guarded, err := i.Finder.Guarded(pv)
		if guarded || err != nil {
			return volume, err
		}
	}
	return volumes.Volume{}, notGuarded(claim)
}

// Image is the image of a volume, in the Ceph where it is.
func (i *Inventory) Image(ctx context.Context, volume volumes.Volume) (ceph.Cluster, ceph.ImageSpec, error) {
	storage, namespace, err := i.Storages.Cluster(ctx, volume.Image.ClusterID)
	return storage, volume.Image.Spec(namespace), err
}

// Nodes are those of this cluster, as records name them.
func (i *Inventory) Nodes(ctx context.Context) ([]ceph.Node, error) {
	list, err := i.Usage.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return usage.RecordedNodes(list), nil
}
