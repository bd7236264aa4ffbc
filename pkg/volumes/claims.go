package volumes

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// parallel bounds how many claims are read from the API server at a time.
const parallel = 8

// OfClaims returns the volumes of the claims in a namespace. A claim without a
// PersistentVolume has nothing to mount: a volume that it gets later passes the
// webhook's volume endpoint, which looks at the pods that wait for it.
func (f Finder) OfClaims(ctx context.Context, namespace string, names []string) (Found, error) {
	names = unique(names)
	all := make([][]corev1.PersistentVolume, len(names))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, name := range names {
		var err error
		var waits *corev1.PersistentVolumeClaim
		if all[i], waits, err = f.cached(ctx, namespace, name); err != nil {
			return Found{}, errors.Join(err, group.Wait())
		}
		if len(all[i]) == 0 {
			group.Go(func() (err error) {
				all[i], err = f.live(within, namespace, name, waits)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return Found{}, err
	}
	var found Found
	for i, claim := range names {
		if len(all[i]) == 0 {
			found.Unbound = append(found.Unbound, claim)
		}
		for _, pv := range all[i] {
			for _, doubt := range staticpv.Doubts(&pv) {
				found.Doubts = append(found.Doubts, "PersistentVolume "+pv.Name+": "+doubt.Error())
			}
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

// unique returns each name once, in the order in which they come first.
func unique(names []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		before := seen[name]
		seen[name] = true
		return before
	})
}

// Live returns a Finder whose answers are the API server's. The cache only suggests
// names to ask for.
func (f Finder) Live() Finder {
	f.onlyLive = true
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

// cached returns the PVs in the cache that the claim may mount: the one that it names, or
// else all that are for it, because until it names one nothing says which it will be. Either
// counts only if it is for the claim, see [IsFor]. That there is none, the cache cannot say.
// waits is the claim if it names none, or is not there.
func (f Finder) cached(ctx context.Context, namespace, name string) (own []corev1.PersistentVolume, waits *corev1.PersistentVolumeClaim, err error) {
	if f.onlyLive {
		return nil, nil, nil
	}
	claim, named, missing, err := read(ctx, f.Cache, namespace, name)
	if err != nil {
		return nil, nil, err
	}
	if claim.Spec.VolumeName == "" {
		waits = claim
	}
	if waits != nil && !missing {
		if named, err = f.claimed(ctx, namespace, name); err != nil {
			return nil, nil, err
		}
	}
	return onlyFor(claim, named), waits, nil
}

// claimed are the PVs in the cache whose claimRef is the claim.
func (f Finder) claimed(ctx context.Context, namespace, name string) ([]corev1.PersistentVolume, error) {
	var list corev1.PersistentVolumeList
	if err := f.Cache.List(ctx, &list, client.MatchingFields{ByClaim: namespace + "/" + name}); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return list.Items, nil
}

// live is what the API server says, which has no index of PVs by claim. The claim and
// the PV that it names are read by name, so that none is missed that kubelet would mount:
// it mounts no other. While the claim names none, a PV may be on its way to it.
// Those that the cache has for it, and the one that would be made for it, are read by their
// names. Another one may be missed until the claim names it. The scheduler waits for that,
// so the pod's binding is asked about later, and the keeper looks at the pods once more.
//
// One that waits by the cache most likely names none, so the one that would be made for it is
// read at the same time as the claim.
func (f Finder) live(ctx context.Context, namespace, name string, waits *corev1.PersistentVolumeClaim) ([]corev1.PersistentVolume, error) {
	early := map[string]*earlyVolume{}
	if waits != nil {
		made := f.readEarly(ctx, madeFor(waits))
		defer made.await()
		early[madeFor(waits)] = made
	}
	claim, found, missing, err := read(ctx, f.API, namespace, name)
	if err != nil {
		return nil, err
	}
	if claim.Spec.VolumeName == "" || missing {
		if found, err = f.onTheWay(ctx, claim, early); err != nil {
			return nil, err
		}
	}
	return onlyFor(claim, found), nil
}

// earlyVolume is a PersistentVolume that is read before it is known whether it matters.
type earlyVolume struct {
	done chan struct{}
	pv   corev1.PersistentVolume
	err  error
}

func (f Finder) readEarly(ctx context.Context, name string) *earlyVolume {
	early := &earlyVolume{done: make(chan struct{})}
	go func() {
		defer close(early.done)
		early.err = f.API.Get(ctx, client.ObjectKey{Name: name}, &early.pv)
	}()
	return early
}

func (e *earlyVolume) await() { <-e.done }

// madeFor is the name of the PV that would be made for the claim.
func madeFor(claim *corev1.PersistentVolumeClaim) string {
	image := claim.Annotations[annotations.Image]
	if image == "" {
		image = staticpv.ImageName(claim.Namespace, claim.Name)
	}
	return staticpv.VolumeName(image)
}

// onTheWay are PVs at the API server that the claim may get. Those in early are being read.
func (f Finder) onTheWay(ctx context.Context, claim *corev1.PersistentVolumeClaim, early map[string]*earlyVolume) ([]corev1.PersistentVolume, error) {
	cached, err := f.claimed(ctx, claim.Namespace, claim.Name)
	if err != nil {
		return nil, err
	}
	names := []string{madeFor(claim)}
	for i := range cached {
		names = append(names, cached[i].Name)
	}
	var found []corev1.PersistentVolume
	for _, name := range unique(names) {
		one := early[name]
		if one == nil {
			one = f.readEarly(ctx, name)
		}
		one.await()
		switch {
		case apierrors.IsNotFound(one.err):
		case one.err != nil:
			return nil, fmt.Errorf("read PersistentVolume %s: %w", name, one.err)
		default:
			found = append(found, one.pv)
		}
	}
	return found, nil
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
