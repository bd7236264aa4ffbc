package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// errUnknownKind is that the API server has no such objects.
var errUnknownKind = errors.New("the API server does not know this kind of object")

func isUnknownKind(err error) bool { return meta.IsNoMatchError(err) || errors.Is(err, errUnknownKind) }

// write shows one volume.
func (v *Volumes) write(ctx context.Context, name types.NamespacedName, one *item) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	claim, err := v.claim(ctx, name, one.is.pv)
	if err != nil || claim == nil {
		return err
	}
	v.mu.Lock()
	known, there := v.known[name]
	v.mu.Unlock()
	if v.isShown(name.Name, string(claim.UID), one.is, known) {
		v.note(name, entry{one.signature, known.content}) // it is again as it was before it waited
		return nil
	}
	object := &v1alpha1.MigratableVolume{}
	if there {
		if err := v.Client.Get(ctx, name, object); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read MigratableVolume %s: %w", name, err)
		}
	}
	if object.ResourceVersion != "" && !isOwnedBy(object, claim) {
		// Of a claim of this name that is gone, and about to go as well.
		if err := v.Client.Delete(ctx, object, client.Preconditions{UID: &object.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete MigratableVolume %s of a claim that is gone: %w", name, err)
		}
		object = &v1alpha1.MigratableVolume{}
	}
	if object.ResourceVersion == "" {
		if object, err = v.create(ctx, claim); err != nil || object == nil {
			return err
		}
	}
	unchanged := object.DeepCopy()
	object.Status = status(v.Self, unchanged.Status, name.Name, one.is, v.Now())
	is := entry{one.signature, content(string(claim.UID), object.Status)} // a patch reads it back
	if !equality.Semantic.DeepEqual(unchanged.Status, object.Status) {
		// The other writer of conditions may have been faster.
		patch := client.MergeFromWithOptions(unchanged, client.MergeFromWithOptimisticLock{})
		if err := v.Client.Status().Patch(ctx, object, patch); err != nil {
			return fmt.Errorf("set the status of MigratableVolume %s: %w", name, err)
		}
	}
	v.note(name, is)
	return nil
}

// create makes the object of a claim. It returns nil where nothing can be made any more.
func (v *Volumes) create(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*v1alpha1.MigratableVolume, error) {
	no := false
	object := &v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{
		Namespace: claim.Namespace, Name: claim.Name,
		// It goes with the claim, and does not keep it.
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "PersistentVolumeClaim", Name: claim.Name, UID: claim.UID, BlockOwnerDeletion: &no,
		}},
	}}
	err := v.Client.Create(ctx, object)
	switch {
	case err == nil:
		return object, nil
	case apierrors.IsAlreadyExists(err):
		// Not one of those that were read. The next try reads it.
		v.note(client.ObjectKeyFromObject(claim), entry{})
		return nil, fmt.Errorf("create MigratableVolume %s/%s: %w", claim.Namespace, claim.Name, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil, nil
	case apierrors.IsNotFound(err): // the kind, or the namespace, which is not there for a claim either
		return nil, fmt.Errorf("create MigratableVolume %s/%s: %w: %w", claim.Namespace, claim.Name, errUnknownKind, err)
	}
	return nil, fmt.Errorf("create MigratableVolume %s/%s: %w", claim.Namespace, claim.Name, err)
}

// claim is the one that the volume is for, and nil if the volume is not its volume: it was
// deleted, or has another one, or the volume is gone. Without a PersistentVolume it is the
// claim that waits for one.
func (v *Volumes) claim(ctx context.Context, name types.NamespacedName, pv string) (*corev1.PersistentVolumeClaim, error) {
	var claim corev1.PersistentVolumeClaim
	var volume corev1.PersistentVolume
	err := v.Cache.Get(ctx, name, &claim)
	if err == nil && pv != "" {
		err = v.Cache.Get(ctx, types.NamespacedName{Name: pv}, &volume)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read PersistentVolumeClaim %s and its volume: %w", name, err)
	case pv == "" && claim.Spec.VolumeName != "",
		pv != "" && (claim.Spec.VolumeName != "" && claim.Spec.VolumeName != pv || !volumes.IsFor(&volume, &claim)):
		return nil, nil
	}
	return &claim, nil
}

func isOwnedBy(object *v1alpha1.MigratableVolume, claim *corev1.PersistentVolumeClaim) bool {
	return slices.ContainsFunc(object.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == claim.UID })
}

func (v *Volumes) note(name types.NamespacedName, is entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil {
		v.known = map[types.NamespacedName]entry{}
	}
	v.known[name] = is
}
