package objects

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// page is how many objects are read at a time.
const page = 500

// read reads all objects, and remembers of each what it shows. What somebody has deleted or
// changed is shown anew by the next sweep. Those whose claims are not guarded any more go.
func (v *Volumes) read(ctx context.Context) error {
	found := map[types.NamespacedName]entry{}
	for next := ""; ; {
		var list v1alpha1.MigratableVolumeList
		if err := v.list(ctx, &list, next); err != nil {
			return err
		}
		for i := range list.Items {
			object := &list.Items[i]
			name := client.ObjectKeyFromObject(object)
			gone, err := v.removed(ctx, object)
			if err != nil {
				return err
			}
			if !gone {
				v.mu.Lock()
				before := v.known[name]
				v.mu.Unlock()
				found[name] = stored(object, before)
			}
		}
		if next = list.Continue; next == "" {
			break
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = found
	return nil
}

func (v *Volumes) list(ctx context.Context, list *v1alpha1.MigratableVolumeList, next string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := v.Client.List(ctx, list, client.Limit(page), client.Continue(next))
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("list MigratableVolumes: %w: %w", errUnknownKind, err)
	} else if err != nil {
		return fmt.Errorf("list MigratableVolumes: %w", err)
	}
	return nil
}

// stored is what is remembered of an object. Of one that is not as it was written, or says
// that pods wait, nothing is taken for known.
func stored(object *v1alpha1.MigratableVolume, before entry) entry {
	if len(object.OwnerReferences) != 1 || object.DeletionTimestamp != nil {
		return entry{}
	}
	now := entry{content: content(string(object.OwnerReferences[0].UID), object.Status)}
	if now.content == before.content {
		now.signature = before.signature
	}
	if waits := meta.FindStatusCondition(object.Status.Conditions, v1alpha1.ConditionWaiting); waits != nil && waits.Reason == reasonPodsRefused {
		return entry{}
	}
	return now
}

// removed removes an object whose claim has a volume that is not guarded, or gone, and reports
// whether it did. With a claim that is gone it goes by itself.
func (v *Volumes) removed(ctx context.Context, object *v1alpha1.MigratableVolume) (bool, error) {
	var claim corev1.PersistentVolumeClaim
	var pv corev1.PersistentVolume
	if err := v.Cache.Get(ctx, client.ObjectKeyFromObject(object), &claim); err != nil || claim.Spec.VolumeName == "" {
		return false, client.IgnoreNotFound(err) // it waits for its volume, or is gone
	}
	err := v.Cache.Get(ctx, types.NamespacedName{Name: claim.Spec.VolumeName}, &pv)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	if _, guarded, _ := v.Finder.Guarded(&pv); err == nil && guarded {
		return false, nil
	}
	err = v.Client.Delete(ctx, object, client.Preconditions{UID: &object.UID})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete MigratableVolume %s, whose claim is not guarded any more: %w", client.ObjectKeyFromObject(object), err)
	}
	return true, nil
}
