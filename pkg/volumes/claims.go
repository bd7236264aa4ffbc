package volumes

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// OfClaims returns the volumes of the claims in a namespace. A claim without a
// PersistentVolume has nothing to mount: a volume that it gets later passes the
// webhook's volume endpoint, which looks at the pods that wait for it.
func (f Finder) OfClaims(ctx context.Context, namespace string, names []string) (Found, error) {
	var found Found
	all := sync.OnceValues(func() ([]corev1.PersistentVolume, error) { return f.allVolumes(ctx) })
	seen := map[string]bool{}
	for _, claim := range names {
		if seen[claim] {
			continue
		}
		seen[claim] = true
		pvs, err := f.volumesOf(ctx, namespace, claim, all)
		if err != nil {
			return Found{}, err
		}
		if len(pvs) == 0 {
			found.Unbound = append(found.Unbound, claim)
		}
		for _, pv := range pvs {
			volume, guarded, err := f.Guarded(&pv)
			switch {
			case err != nil:
				return Found{}, err
			case guarded:
				found.Guarded = append(found.Guarded, volume)
			default:
				subvolume, cephFS := staticpv.SubvolumeOf(&pv)
				unguarded := Unguarded{claim, claims.SingleWriter(pv.Spec.AccessModes)}
				if cephFS && f.inScope(&pv, subvolume.Static) && !slices.Contains(found.Unguarded, unguarded) {
					found.Unguarded = append(found.Unguarded, unguarded)
				}
			}
		}
	}
	return found, nil
}

// Live is a Finder that reads everything from the API server.
func (f Finder) Live() Finder {
	f.Cache = nil
	return f
}

// IsFor reports whether a PersistentVolume is for the claim: its claimRef names it, with
// its UID or with none yet. Whatever a claim says itself proves nothing, since anybody
// may name any volume in a claim of his own; kubelet mounts none but the one whose claimRef
// has the claim's UID. So one of an earlier claim of that name is nobody's until its
// claimRef is changed, which the webhook's volume endpoint hears of.
func IsFor(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.Namespace == claim.Namespace && ref.Name == claim.Name &&
		(ref.UID == "" || ref.UID == claim.UID)
}

// volumesOf returns the PVs that the claim may mount: the one that it names, or else all
// that are for it, because until it names one nothing says which it will be. Either counts
// only if it is for the claim, see [IsFor].
//
// The cache is enough where it shows such a volume. That there is none, the API server has
// to say.
func (f Finder) volumesOf(ctx context.Context, namespace, name string, all func() ([]corev1.PersistentVolume, error)) ([]corev1.PersistentVolume, error) {
	if f.Cache != nil {
		claim, named, missing, err := read(ctx, f.Cache, namespace, name)
		if err != nil {
			return nil, err
		}
		if claim.Spec.VolumeName == "" && !missing {
			var list corev1.PersistentVolumeList
			if err := f.Cache.List(ctx, &list, client.MatchingFields{ByClaim: namespace + "/" + name}); err != nil {
				return nil, fmt.Errorf("list PersistentVolumes: %w", err)
			}
			named = list.Items
		}
		if pvs := onlyFor(claim, named); len(pvs) > 0 {
			return pvs, nil
		}
	}
	claim, named, missing, err := read(ctx, f.API, namespace, name)
	if err != nil {
		return nil, err
	}
	if claim.Spec.VolumeName == "" || missing {
		if named, err = all(); err != nil {
			return nil, err
		}
	}
	return onlyFor(claim, named), nil
}

// read returns the claim, the PV that it names if it does, and whether one of the two is
// missing.
func read(ctx context.Context, reader client.Reader, namespace, name string) (claim *corev1.PersistentVolumeClaim, named []corev1.PersistentVolume, missing bool, err error) {
	claim = &corev1.PersistentVolumeClaim{}
	err = reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, claim)
	if apierrors.IsNotFound(err) {
		claim.Namespace, claim.Name = namespace, name
		return claim, nil, true, nil
	} else if err != nil {
		return nil, nil, false, fmt.Errorf("read PersistentVolumeClaim %s/%s: %w", namespace, name, err)
	}
	if claim.Spec.VolumeName == "" {
		return claim, nil, false, nil
	}
	var pv corev1.PersistentVolume
	err = reader.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv)
	if apierrors.IsNotFound(err) {
		return claim, nil, true, nil
	} else if err != nil {
		return nil, nil, false, fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	return claim, []corev1.PersistentVolume{pv}, false, nil
}

func onlyFor(claim *corev1.PersistentVolumeClaim, pvs []corev1.PersistentVolume) []corev1.PersistentVolume {
	var own []corev1.PersistentVolume
	for i := range pvs {
		if IsFor(&pvs[i], claim) {
			own = append(own, pvs[i])
		}
	}
	return own
}

// allVolumes asks the API server, which has no index by claim.
func (f Finder) allVolumes(ctx context.Context) ([]corev1.PersistentVolume, error) {
	var list corev1.PersistentVolumeList
	if err := f.API.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return list.Items, nil
}
