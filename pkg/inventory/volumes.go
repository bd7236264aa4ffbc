package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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
	var all []Found
	err := usage.EachPage(ctx, usage.Source{Reader: i.API}, func(list *corev1.PersistentVolumeList) {
		for n := range list.Items {
			volume, guarded, err := i.Finder.Guarded(&list.Items[n])
			if guarded && volume.Claim != "" && (namespace == "" || volume.Namespace == namespace) {
				all = append(all, Found{volume, err})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	slices.SortFunc(all, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Claim, b.Claim), cmp.Compare(a.PV.Name, b.PV.Name))
	})
	return all, nil
}

// Volume is [Inventory.Find] for one claim.
func (i *Inventory) Volume(ctx context.Context, namespace, claim string) (volumes.Volume, error) {
	found, err := i.Find(ctx, []types.NamespacedName{{Namespace: namespace, Name: claim}})
	if err != nil {
		return volumes.Volume{}, err
	}
	return found[0].Volume, found[0].Err
}

// Find returns the guarded volume of each claim: the one that the claim names, or else the
// only one that is for it, or else the one that the provisioner is about to make: another
// cluster may own the image, so that this one has never had the volume. What is wrong with a
// claim stands beside it. However many there are, the API server is asked as often as for
// one in each namespace.
func (i *Inventory) Find(ctx context.Context, claims []types.NamespacedName) ([]Found, error) {
	all, err := i.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	of := map[types.NamespacedName][]Found{}
	for _, found := range all {
		key := types.NamespacedName{Namespace: found.Namespace, Name: found.Claim}
		of[key] = append(of[key], found)
	}
	stored, err := i.claims(ctx, claims)
	if err != nil {
		return nil, err
	}
	reader := &Once{API: i.API}
	found := make([]Found, len(claims))
	for n, claim := range claims {
		found[n] = i.find(ctx, reader, claim, stored[claim], of[claim])
	}
	return found, nil
}

// claims are those of the claims that there are.
func (i *Inventory) claims(ctx context.Context, names []types.NamespacedName) (map[types.NamespacedName]*corev1.PersistentVolumeClaim, error) {
	in := map[string][]types.NamespacedName{}
	for _, name := range names {
		in[name.Namespace] = append(in[name.Namespace], name)
	}
	all := map[types.NamespacedName]*corev1.PersistentVolumeClaim{}
	for namespace, names := range in {
		if len(names) == 1 {
			var claim corev1.PersistentVolumeClaim
			if err := i.API.Get(ctx, names[0], &claim); err == nil {
				all[names[0]] = &claim
			} else if client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("read PersistentVolumeClaim %s: %w", names[0], err)
			}
			continue
		}
		err := usage.EachPage(ctx, usage.Source{Reader: i.API}, func(list *corev1.PersistentVolumeClaimList) {
			for n := range list.Items {
				all[client.ObjectKeyFromObject(&list.Items[n])] = &list.Items[n]
			}
		}, client.InNamespace(namespace))
		if err != nil {
			return nil, fmt.Errorf("list PersistentVolumeClaims in namespace %s: %w", namespace, err)
		}
	}
	return all, nil
}

// find is the volume of a claim, nil if there is none, out of those that are for it.
func (i *Inventory) find(ctx context.Context, reader client.Reader, name types.NamespacedName, claim *corev1.PersistentVolumeClaim, all []Found) Found {
	none := func(err error) Found { return Found{Err: err} }
	if claim != nil && claim.Spec.VolumeName != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(f Found) bool { return f.PV.Name != claim.Spec.VolumeName })
	}
	switch {
	case len(all) == 1:
		return all[0]
	case len(all) > 1:
		return none(fmt.Errorf("claim %s: PersistentVolumes %s and %s are for it, and it names none; delete the one that is wrong", name, all[0].PV.Name, all[1].PV.Name))
	case claim == nil:
		return none(fmt.Errorf("claim %s: this cluster has neither the claim nor a guarded PersistentVolume for it; install the application here first, with 0 replicas", name))
	case claim.Spec.VolumeName == "":
		volume, err := i.waited(ctx, reader, claim)
		return Found{volume, err}
	default:
		return none(notGuarded(claim))
	}
}

// ErrNotGuarded is for a claim whose volume is none of ours.
var ErrNotGuarded = errors.New("its volume is not guarded")

func notGuarded(claim *corev1.PersistentVolumeClaim) error {
	return fmt.Errorf("claim %s/%s: %w; `kubectl cephferry status` lists those that are", claim.Namespace, claim.Name, ErrNotGuarded)
}

// waited is the volume that a claim waits for.
func (i *Inventory) waited(ctx context.Context, reader client.Reader, claim *corev1.PersistentVolumeClaim) (volumes.Volume, error) {
	pv, err := provisioner.Planner{Cache: reader, API: reader}.Volume(ctx, claim)
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
