package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/slim"
	"github.com/cephferry/cephferry/pkg/usage"
)

// cacheOptions are for the caches of all controllers and endpoints, which share one.
func cacheOptions() cache.Options {
	objects := slim.Objects()
	// The leader's keeper hears of them. Finished ones use nothing.
	objects[&corev1.Pod{}] = cache.ByObject{
		Transform: usage.ReducePod,
		Field:     fields.ParseSelectorOrDie("status.phase!=Succeeded,status.phase!=Failed"),
	}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject:         objects,
		NewInformer:      slim.Informers(objects),
	}
}

// warmCache starts the watches that answers rest on, with the indexes that they use,
// so that they are complete before the webhook listens.
func warmCache(ctx context.Context, all cache.Cache) error {
	for _, index := range usage.Indexes() {
		if err := all.IndexField(ctx, index.Object, index.Name, index.Of); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.Object, index.Name, err)
		}
	}
	for _, object := range []client.Object{
		&corev1.Node{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{},
		&storagev1.VolumeAttachment{}, &storagev1.CSIDriver{},
	} {
		if _, err := all.GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return nil
}
