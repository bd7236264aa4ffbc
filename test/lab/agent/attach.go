package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// finalizerOf is what the driver's external-attacher puts on VolumeAttachments and
// on their PersistentVolumes.
func finalizerOf(driver string) string {
	return "external-attacher/" + strings.ReplaceAll(driver, ".", "-")
}

const (
	// attachRetry is when something that did not work out is tried again.
	attachRetry = time.Second
	// attachWorkers is the external-attacher's --worker-threads.
	attachWorkers = 10
)

// Attach stands in for the external-attachers of the operator's drivers until ctx ends. ceph-csi
// has nothing to do for an attachment, so each one is confirmed at once.
func Attach(ctx context.Context, client kubernetes.Interface, operator Operator, log *slog.Logger) error {
	a := attacher{client, log}
	go watch(ctx, client.CoreV1().RESTClient(), "persistentvolumes", &corev1.PersistentVolume{}, func(object any) {
		if pv, ok := object.(*corev1.PersistentVolume); ok {
			a.do("release volume", pv.Name, func() error { return a.release(ctx, pv) })
		}
	})
	watch(ctx, client.StorageV1().RESTClient(), "volumeattachments", &storagev1.VolumeAttachment{}, func(object any) {
		if attachment, ok := object.(*storagev1.VolumeAttachment); ok && operator.runs(attachment.Spec.Attacher) {
			a.do("attach or detach", attachment.Name, func() error { return a.attach(ctx, attachment) })
		}
	})
	return ctx.Err()
}

// watch calls f with each object, when it changes and every attachRetry; with several at a
// time, and with each of them one call after the other.
func watch(ctx context.Context, client rest.Interface, resource string, kind runtime.Object, f func(any)) {
	queue := workqueue.NewTyped[string]()
	changed := func(object any) {
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			queue.Add(key)
		}
	}
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(client, resource, corev1.NamespaceAll, fields.Everything()),
		ObjectType:    kind,
		ResyncPeriod:  attachRetry,
		Handler:       cache.ResourceEventHandlerFuncs{AddFunc: changed, UpdateFunc: func(_, object any) { changed(object) }},
	})
	for range attachWorkers {
		go func() {
			for {
				key, over := queue.Get()
				if over {
					return
				}
				if object, there, err := store.GetByKey(key); err == nil && there {
					f(object)
				}
				queue.Done(key)
			}
		}()
	}
	controller.RunWithContext(ctx)
	queue.ShutDown()
}

type attacher struct {
	client kubernetes.Interface
	log    *slog.Logger
}

// do logs what goes wrong. An object that changed meanwhile comes again anyway.
func (a attacher) do(what, name string, f func() error) {
	if err := f(); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		a.log.Error(what, "name", name, "error", err)
	}
}

func (a attacher) attach(ctx context.Context, attachment *storagev1.VolumeAttachment) error {
	attachments := a.client.StorageV1().VolumeAttachments()
	finalizer := finalizerOf(attachment.Spec.Attacher)
	if attachment.DeletionTimestamp != nil {
		if !slices.Contains(attachment.Finalizers, finalizer) {
			return nil
		}
		a.log.Info("detached", "volume", *attachment.Spec.Source.PersistentVolumeName, "node", attachment.Spec.NodeName)
		data, err := patch(without(attachment, finalizer))
		if err != nil {
			return err
		}
		_, err = attachments.Patch(ctx, attachment.Name, types.MergePatchType, data, metav1.PatchOptions{})
		return err
	}
	if attachment.Status.Attached {
		return nil
	}
	name := attachment.Spec.Source.PersistentVolumeName
	if name == nil {
		return nil // an inline volume of before CSI
	}
	pv, err := a.client.CoreV1().PersistentVolumes().Get(ctx, *name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if !slices.Contains(pv.Finalizers, finalizer) {
		pv.Finalizers = append(pv.Finalizers, finalizer)
		if _, err := a.client.CoreV1().PersistentVolumes().Update(ctx, pv, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if !slices.Contains(attachment.Finalizers, finalizer) {
		attachment = attachment.DeepCopy()
		attachment.Finalizers = append(attachment.Finalizers, finalizer)
		metav1.SetMetaDataAnnotation(&attachment.ObjectMeta, "csi.alpha.kubernetes.io/node-id", attachment.Spec.NodeName)
		if attachment, err = attachments.Update(ctx, attachment, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	data, err := patch(map[string]any{"status": map[string]any{"attached": true}})
	if err != nil {
		return err
	}
	if _, err = attachments.Patch(ctx, attachment.Name, types.MergePatchType, data, metav1.PatchOptions{}, "status"); err != nil {
		return err
	}
	a.log.Info("attached", "volume", *name, "node", attachment.Spec.NodeName)
	return nil
}

// release lets a deleted volume go when it is attached nowhere.
func (a attacher) release(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.CSI == nil {
		return nil
	}
	finalizer := finalizerOf(pv.Spec.CSI.Driver)
	if pv.DeletionTimestamp == nil || !slices.Contains(pv.Finalizers, finalizer) {
		return nil
	}
	attachments, err := a.client.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, attachment := range attachments.Items {
		if name := attachment.Spec.Source.PersistentVolumeName; name != nil && *name == pv.Name {
			return nil
		}
	}
	data, err := patch(without(pv, finalizer))
	if err != nil {
		return err
	}
	_, err = a.client.CoreV1().PersistentVolumes().Patch(ctx, pv.Name, types.MergePatchType, data, metav1.PatchOptions{})
	return err
}

// without is a patch that takes the finalizer away, if object is still current.
func without(object metav1.Object, finalizer string) map[string]any {
	finalizers := slices.DeleteFunc(slices.Clone(object.GetFinalizers()), func(f string) bool { return f == finalizer })
	return map[string]any{"metadata": map[string]any{"resourceVersion": object.GetResourceVersion(), "finalizers": finalizers}}
}
