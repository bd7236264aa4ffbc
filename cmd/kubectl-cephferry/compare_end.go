package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/compare"
	"github.com/cephferry/cephferry/pkg/provisioner"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
)

// source is what the first cluster says, and the claims that are compared.
func (e end) source(ctx context.Context, named []claim, namespace string) (compare.Side, []corev1.PersistentVolumeClaim, error) {
	side, err := e.side(ctx)
	if err != nil {
		return side, nil, err
	}
	wanted, err := e.claims(ctx, named, namespace)
	if err != nil {
		return side, nil, err
	}
	pvs, err := e.pvs(ctx)
	if err != nil {
		return side, nil, err
	}
	side.Volumes = map[types.NamespacedName]compare.Volume{}
	var compared []corev1.PersistentVolumeClaim
	for _, claim := range wanted {
		name := client.ObjectKeyFromObject(&claim)
		i := slices.IndexFunc(pvs, func(pv corev1.PersistentVolume) bool { return pv.Name == claim.Spec.VolumeName })
		switch {
		case claim.Spec.VolumeName == "" && len(named) == 0:
			continue
		case i < 0:
			return side, nil, fmt.Errorf("claim %s has no volume to compare (spec.volumeName %q)", name, claim.Spec.VolumeName)
		}
		volume, ours := e.volume(ctx, &pvs[i])
		if !ours && len(named) == 0 && pvs[i].Spec.CSI == nil {
			continue
		}
		side.Volumes[name] = volume
		compared = append(compared, claim)
	}
	return side, compared, nil
}

// target is what the second cluster says of the same claims.
func (e end) target(ctx context.Context, wanted []corev1.PersistentVolumeClaim) (compare.Side, error) {
	side, err := e.side(ctx)
	if err != nil {
		return side, err
	}
	pvs, err := e.pvs(ctx)
	if err != nil {
		return side, err
	}
	side.Volumes = map[types.NamespacedName]compare.Volume{}
	for _, claim := range wanted {
		name := client.ObjectKeyFromObject(&claim)
		var own corev1.PersistentVolumeClaim
		err := e.api.Get(ctx, name, &own)
		switch {
		case apierrors.IsNotFound(err):
			own = *asWritten(&claim)
		case err != nil:
			return side, fmt.Errorf("read claim %s: %w", name, err)
		}
		side.Volumes[name] = e.expected(ctx, name, &own, pvs)
	}
	return side, nil
}

// expected is what a claim has here, or would get.
func (e end) expected(ctx context.Context, name types.NamespacedName, claim *corev1.PersistentVolumeClaim, pvs []corev1.PersistentVolume) compare.Volume {
	for i := range pvs {
		ref := pvs[i].Spec.ClaimRef
		if pvs[i].Name == claim.Spec.VolumeName && claim.UID != "" || claim.Spec.VolumeName == "" && ref != nil && ref.Namespace == name.Namespace && ref.Name == name.Name {
			volume, ours := e.volume(ctx, &pvs[i])
			if !ours {
				volume = compare.Volume{Instead: fmt.Sprintf("its PersistentVolume %s is not guarded: it has other data", pvs[i].Name)}
			}
			return volume
		}
	}
	instead := func(format string, arguments ...any) compare.Volume {
		return compare.Volume{Instead: fmt.Sprintf(format, arguments...)}
	}
	if claim.Spec.VolumeName != "" {
		return instead("spec.volumeName names PersistentVolume %s, which is not there", claim.Spec.VolumeName)
	}
	if class := claims.ClassName(claim); class != nil && *class != "" {
		var found storagev1.StorageClass
		err := e.api.Get(ctx, client.ObjectKey{Name: *class}, &found)
		switch {
		case apierrors.IsNotFound(err):
			return instead("there is no StorageClass %s, so the claim would wait for ever", *class)
		case err != nil:
			return compare.Volume{Err: fmt.Errorf("read StorageClass %s: %w", *class, err)}
		case !storageclass.IsOurs(&found):
			return instead("StorageClass %s (%s) would make a new, empty volume", *class, found.Provisioner)
		}
		// As the controller says whom the claim waits for.
		claim.Annotations = withValue(claim.Annotations, claims.StorageProvisioner, storageclass.Provisioner)
	}
	reader := namespaceless{e.api}
	pv, err := provisioner.Planner{Cache: reader, API: reader}.Volume(ctx, claim)
	var outage apierrors.APIStatus
	switch {
	case errors.As(err, &outage):
		return compare.Volume{Err: err}
	case err != nil:
		return instead("the claim would wait for ever: %v", oneLine(err.Error()))
	case pv == nil:
		return instead("nothing makes a volume for the claim: it has no annotation, and names no StorageClass")
	}
	volume, _ := e.volume(ctx, pv)
	volume.PV = ""
	return volume
}

// asWritten is a claim of the other cluster as its manifest has it.
func asWritten(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	written := &corev1.PersistentVolumeClaim{Spec: *claim.Spec.DeepCopy()}
	written.Namespace, written.Name = claim.Namespace, claim.Name
	written.Spec.VolumeName = ""
	for key, value := range claim.Annotations {
		if !strings.HasPrefix(key, "pv.kubernetes.io/") && key != claims.StorageProvisioner && key != claims.BetaStorageProvisioner {
			written.Annotations = withValue(written.Annotations, key, value)
		}
	}
	return written
}

func withValue(all map[string]string, key, value string) map[string]string {
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	return all
}

// namespaceless takes a namespace that is not there for an empty one.
type namespaceless struct{ client.Reader }

// Get implements client.Reader.
func (n namespaceless) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	err := n.Reader.Get(ctx, key, into, options...)
	if namespace, ok := into.(*corev1.Namespace); ok && apierrors.IsNotFound(err) {
		namespace.Name = key.Name
		return nil
	}
	return err
}

// side is what a cluster says apart from claims.
func (e end) side(ctx context.Context) (compare.Side, error) {
	side := compare.Side{Name: e.name, UID: e.uid}
	var list storagev1.StorageClassList
	if err := e.api.List(ctx, &list); err != nil {
		return side, fmt.Errorf("list StorageClasses: %w", err)
	}
	for i := range list.Items {
		class := &list.Items[i]
		ours := storageclass.IsOurs(class)
		if !ours && !storageclass.IsRBD(class.Provisioner) && !storageclass.IsCephFS(class.Provisioner) {
			continue
		}
		one := compare.Class{Name: class.Name, Ours: ours}
		settings, mistakes := storageclass.Settings(list.Items, class)
		switch {
		case len(mistakes) > 0:
			one.Err = fmt.Errorf("read StorageClass %s: %w", class.Name, mistakes.ToAggregate())
		case settings.RBD != nil:
			one.Place = e.place(ctx, settings.ClusterID, settings.RBD.Pool, "")
		default:
			one.Place = e.place(ctx, settings.ClusterID, "", settings.CephFS.Filesystem)
		}
		side.Classes = append(side.Classes, one)
	}
	// A cluster without the objects is compared by the rest.
	var registered v1alpha1.FerryClusterList
	if err := e.api.List(ctx, &registered); err == nil {
		for _, one := range registered.Items {
			if !one.Status.ThisCluster {
				side.Registered = append(side.Registered, one.Status.UID)
			}
		}
	}
	return side, nil
}

// place is where volumes of a clusterID are, in a pool or a file system.
func (e end) place(ctx context.Context, clusterID, pool, filesystem string) compare.Place {
	place := compare.Place{ClusterID: clusterID, Pool: pool, Filesystem: filesystem}
	entry, err := e.entry(ctx, clusterID)
	if err != nil {
		place.Err = err
		return place
	}
	place.Monitors = entry.Monitors
	if pool != "" {
		place.RadosNamespace = entry.RadosNamespace
	} else {
		place.SubvolumeGroup = entry.SubvolumeGroup
	}
	if e.storages == nil {
		return place
	}
	storage, _, err := e.storages.Cluster(ctx, clusterID)
	if err == nil {
		place.FSID, err = storage.FSID(ctx)
	}
	if err == nil && pool != "" {
		place.PoolID, err = storage.PoolID(ctx, pool)
	}
	place.Err = err
	return place
}

// volume is what a PersistentVolume leads to, and whether it is one to move.
func (e end) volume(ctx context.Context, pv *corev1.PersistentVolume) (compare.Volume, bool) {
	volume := compare.Volume{PV: pv.Name}
	if subvolume, ok := staticpv.SubvolumeOf(pv); ok {
		volume.Image, volume.Unguarded = subvolume.Name, !subvolume.Static
		volume.Place = e.place(ctx, subvolume.ClusterID, "", subvolume.Filesystem)
		return volume, subvolume.Static
	}
	found, guarded, err := e.finder.Guarded(pv)
	if !guarded {
		volume.Unguarded = true
		return volume, false
	}
	volume.Image, volume.Err = found.Image.Name, err
	if err != nil {
		return volume, true
	}
	volume.Place = e.place(ctx, found.Image.ClusterID, found.Image.Pool, "")
	volume.Record = e.record(ctx, found.Namespace, found.Claim, found.Image.Name)
	if e.storages == nil || volume.Place.Err != nil {
		return volume, true
	}
	storage, namespace, err := e.storages.Cluster(ctx, found.Image.ClusterID)
	var image ceph.Image
	if err == nil {
		image, err = anyName(ctx, storage, found.Image.Spec(namespace))
	}
	switch {
	case errors.Is(err, ceph.ErrImageNotFound), errors.Is(err, ceph.ErrNamespaceNotFound):
		volume.Missing = true
	case err != nil:
		volume.Err = err
	default:
		volume.ID = image.ID
	}
	return volume, true
}

// anyName is an image by whichever of its names it carries: with a key, whoever's it is, it is
// looked for by all of them.
func anyName(ctx context.Context, storage ceph.Cluster, spec ceph.ImageSpec) (ceph.Image, error) {
	if spec.Key == "" {
		keys, err := storage.Keys(ctx, spec.Pool, spec.Namespace)
		if err != nil {
			return ceph.Image{}, err
		}
		if len(keys) > 0 {
			spec.Key = keys[0].Name
		}
	}
	return storage.Image(ctx, spec)
}

// record is how this cluster shows the record of a claim's image, if anybody has it.
func (e end) record(ctx context.Context, namespace, claim, image string) string {
	var shown v1alpha1.MigratableVolume
	if err := e.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: claim}, &shown); err != nil {
		return ""
	}
	owner := shown.Status.Owner
	if shown.Status.State != v1alpha1.VolumeHeld || owner == nil || owner.Since == nil || !strings.HasSuffix(shown.Status.Image, "/"+image) {
		return ""
	}
	return owner.UID + " since " + owner.Since.UTC().Format(time.RFC3339)
}

// claims are those that are named, or all of a namespace.
func (e end) claims(ctx context.Context, named []claim, namespace string) ([]corev1.PersistentVolumeClaim, error) {
	var all []corev1.PersistentVolumeClaim
	for _, name := range named {
		var claim corev1.PersistentVolumeClaim
		if err := e.api.Get(ctx, client.ObjectKey{Namespace: name.namespace, Name: name.name}, &claim); err != nil {
			return nil, fmt.Errorf("read claim %s: %w", name, err)
		}
		all = append(all, claim)
	}
	if len(named) > 0 {
		return all, nil
	}
	err := usage.EachPage(ctx, usage.Source{Reader: e.api}, func(list *corev1.PersistentVolumeClaimList) { all = append(all, list.Items...) }, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	return all, nil
}

func (e end) pvs(ctx context.Context) ([]corev1.PersistentVolume, error) {
	var all []corev1.PersistentVolume
	err := usage.EachPage(ctx, usage.Source{Reader: e.api}, func(list *corev1.PersistentVolumeList) { all = append(all, list.Items...) })
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return all, nil
}
