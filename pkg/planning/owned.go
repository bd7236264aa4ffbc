package planning

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/inventory"
)

// parallel is how many images are looked at at a time.
const parallel = 16

// Owned are the claims of this cluster whose images the named cluster owns, by namespace and
// name: those that have a guarded volume, and those that wait for one. A claim whose image or
// record cannot be read is among them, because nobody knows; its plan says why.
func (p *Planner) Owned(ctx context.Context, cluster string, self ceph.Party) ([]types.NamespacedName, error) {
	found, err := p.candidates(ctx)
	if err != nil {
		return nil, err
	}
	return claimsOf(ctx, found, func(f inventory.Found) bool {
		return f.Err != nil || p.mayHave(ctx, f, self, func(owner *ceph.Owner) bool { return owner.Name == cluster })
	})
}

// claimsOf are the claims of the volumes that may be meant, looked at in parallel, each once and
// in the order in which they were found.
func claimsOf(ctx context.Context, all []inventory.Found, mayBe func(inventory.Found) bool) ([]types.NamespacedName, error) {
	meant := make([]bool, len(all))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, found := range all {
		group.Go(func() error {
			meant[i] = mayBe(found)
			return nil
		})
	}
	_ = group.Wait() // what cannot be looked at may be meant
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var claims []types.NamespacedName
	for i, found := range all {
		claim := types.NamespacedName{Namespace: found.Namespace, Name: found.Claim}
		if meant[i] && !slices.Contains(claims, claim) {
			claims = append(claims, claim)
		}
	}
	return claims, nil
}

// mayHave reports whether the owner in the image's record is the one that is looked for, or
// nobody can say. An image that does not exist is nobody's.
func (p *Planner) mayHave(ctx context.Context, found inventory.Found, self ceph.Party, is func(*ceph.Owner) bool) bool {
	storage, spec, err := p.Named(ctx, found.Volume, self)
	if err != nil {
		return true
	}
	look, err := storage.Look(ctx, spec)
	if errors.Is(err, ceph.ErrImageNotFound) {
		return false
	}
	return err != nil || look.Record.Owner != nil && is(look.Record.Owner)
}

// candidates are the guarded volumes with claims, and those that claims wait for.
func (p *Planner) candidates(ctx context.Context) ([]inventory.Found, error) {
	all, err := p.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	has := map[types.NamespacedName]bool{}
	for _, found := range all {
		has[types.NamespacedName{Namespace: found.Namespace, Name: found.Claim}] = true
	}
	var list corev1.PersistentVolumeClaimList
	if err := p.API.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	var waiting []types.NamespacedName
	for _, claim := range list.Items {
		name := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
		if claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil && !has[name] {
			waiting = append(waiting, name)
		}
	}
	found, err := p.Find(ctx, waiting)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		if errors.Is(f.Err, inventory.ErrNotGuarded) {
			continue
		}
		f.Namespace, f.Claim = waiting[i].Namespace, waiting[i].Name
		all = append(all, f)
	}
	return all, nil
}
