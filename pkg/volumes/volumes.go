// Package volumes finds what a workload would mount: from a pod, a pod template
// or a range of a StatefulSet's ordinals to claims, from claims to
// PersistentVolumes, from those to RBD images.
//
// It asks the cache first and the API server second, because what a request is
// about may have been created a moment ago.
package volumes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Scope says which volumes this project looks at: it guards those on RBD, and warns
// of those on CephFS.
type Scope string

// The scopes: our pairs and every static volume, or every volume.
const (
	ScopeMigratable Scope = "migratable"
	ScopeAll        Scope = "all"
)

// Volume is one guarded volume.
type Volume struct {
	// Namespace and Claim name the PVC.
	Namespace, Claim string
	PV               *corev1.PersistentVolume
	Image            staticpv.Image
	// Orphan: there is no PersistentVolume. PV stands for the one that led to the image
	// before it was deleted, see OrphanOf.
	Orphan bool
}

// Found is what a workload would mount.
type Found struct {
	Guarded []Volume
	// Unguarded are the volumes in scope that are on CephFS.
	Unguarded []Unguarded
	// Unbound are the claims that have no PersistentVolume, or do not exist.
	Unbound []string
	// Doubts are sentences about RBD volumes, guarded or not, see [staticpv.Doubts].
	Doubts []string
}

// Unguarded is a volume that several clusters can use at once, and nothing keeps
// them from it.
type Unguarded struct {
	// Claim is the name of the PVC.
	Claim string
	// SingleWriter: by its access modes it is not meant to be used so.
	SingleWriter bool
}

// Finder finds volumes.
type Finder struct {
	// Cache answers from watches, API from the API server. Cache has the indexes
	// ByClaim, ByNamespace and ByImage on PersistentVolumes.
	Cache, API client.Reader
	Scope      Scope

	// onlyLive: see [Finder.Live].
	onlyLive bool
}

// ByClaim is the name of the index of PersistentVolumes by the claim that they
// are for, as <namespace>/<name>.
const ByClaim = "spec.claimRef"

// ClaimOf is the index function of ByClaim.
func ClaimOf(object client.Object) []string {
	pv, ok := object.(*corev1.PersistentVolume)
	if !ok || pv.Spec.ClaimRef == nil {
		return nil
	}
	return []string{pv.Spec.ClaimRef.Namespace + "/" + pv.Spec.ClaimRef.Name}
}

// ByNamespace is the name of the index of PersistentVolumes by the namespace of the claim
// that they are for.
const ByNamespace = "spec.claimRef.namespace"

// NamespaceOf is the index function of ByNamespace.
func NamespaceOf(object client.Object) []string {
	pv, ok := object.(*corev1.PersistentVolume)
	if !ok || pv.Spec.ClaimRef == nil {
		return nil
	}
	return []string{pv.Spec.ClaimRef.Namespace}
}

// ByImage is the name of the index of PersistentVolumes by what tells of their image or
// subvolume. One image may be behind several. Who asks compares what is found, with
// [staticpv.MayLeadTo], say, because a handle may be that of another volume. All who ask have one index, because an index with an
// entry for each volume takes a quarter of what the volume itself does.
const ByImage = "image"

// ImageOf is the index function of ByImage: what [staticpv.ImageKeys] says, the handle, and
// the name of the subvolume.
func ImageOf(object client.Object) []string {
	pv, ok := object.(*corev1.PersistentVolume)
	if !ok || pv.Spec.CSI == nil {
		return nil
	}
	names := append(staticpv.ImageKeys(pv), pv.Spec.CSI.VolumeHandle)
	if subvolume, ok := staticpv.SubvolumeOf(pv); ok {
		names = append(names, subvolume.Name)
	}
	return unique(names)
}

// SameImage returns the volumes in the cache whose image may be that of volume, and
// volume itself, see [WithImageOf].
func (f Finder) SameImage(ctx context.Context, volume Volume) ([]Volume, error) {
	var all []corev1.PersistentVolume
	for _, key := range staticpv.KeysOfImage(volume.Image.Name) {
		var list corev1.PersistentVolumeList
		if err := f.Cache.List(ctx, &list, client.MatchingFields{ByImage: key}); err != nil {
			return nil, fmt.Errorf("list PersistentVolumes by image: %w", err)
		}
		all = append(all, list.Items...)
	}
	return WithImageOf(volume, all), nil
}

// WithImageOf returns volume, and each of pvs once whose image may be the same, guarded
// or not, see [staticpv.MayLeadTo].
func WithImageOf(volume Volume, pvs []corev1.PersistentVolume) []Volume {
	all := []Volume{volume}
	for i := range pvs {
		pv := &pvs[i]
		known := slices.ContainsFunc(all, func(v Volume) bool { return v.PV.Name == pv.Name })
		if known || !staticpv.MayLeadTo(pv, volume.Image.Pool, volume.Image.Name) {
			continue
		}
		all = append(all, Other(volume, pv))
	}
	return all
}

// Other is a PersistentVolume that may lead to the image of volume, for its own claim.
func Other(volume Volume, pv *corev1.PersistentVolume) Volume {
	other := Volume{PV: pv, Image: volume.Image}
	if ref := pv.Spec.ClaimRef; ref != nil {
		other.Namespace, other.Claim = ref.Namespace, ref.Name
	}
	return other
}

// inUse is how the names of CSI volumes in a node's status.volumesInUse begin; driver,
// "^" and volumeHandle follow.
const inUse = "kubernetes.io/csi/"

// InUse is the volume's name in the status.volumesInUse of nodes.
func InUse(csi *corev1.CSIPersistentVolumeSource) corev1.UniqueVolumeName {
	return corev1.UniqueVolumeName(inUse + csi.Driver + "^" + csi.VolumeHandle)
}

// OfInUse is the driver and the handle of a name in status.volumesInUse, if it is that of
// a CSI volume.
func OfInUse(name corev1.UniqueVolumeName) (driver, handle string, ok bool) {
	volume, ok := strings.CutPrefix(string(name), inUse)
	if !ok {
		return "", "", false
	}
	return strings.Cut(volume, "^")
}

// ClaimsOfPod returns the claims that a pod uses. Generic ephemeral volumes have
// claims named after pod and volume.
func ClaimsOfPod(podName string, spec *corev1.PodSpec) []string {
	var claims []string
	for _, volume := range spec.Volumes {
		switch {
		case volume.PersistentVolumeClaim != nil:
			claims = append(claims, volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil && podName != "":
			claims = append(claims, podName+"-"+volume.Name)
		}
	}
	return claims
}

// Guarded returns the volume of a PV with the claim that it is for, and whether
// it is guarded. It fails for a guarded PV that does not say where its image is.
func (f Finder) Guarded(pv *corev1.PersistentVolume) (Volume, bool, error) {
	image, rbd, err := staticpv.ImageOf(pv)
	if !rbd {
		return Volume{}, false, nil
	}
	if !f.inScope(pv, image.Static) {
		return Volume{}, false, nil
	}
	volume := Volume{PV: pv, Image: image}
	if ref := pv.Spec.ClaimRef; ref != nil {
		volume.Namespace, volume.Claim = ref.Namespace, ref.Name
	}
	return volume, true, err
}

func (f Finder) inScope(pv *corev1.PersistentVolume, static bool) bool {
	return f.Scope == ScopeAll || static || pv.Annotations[annotations.Migratable] == "true"
}
