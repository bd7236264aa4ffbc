package slim

import (
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
)

// Objects are how a cache keeps the objects of which there may be many.
func Objects() map[client.Object]cache.ByObject {
	var kept Kept
	return map[client.Object]cache.ByObject{
		&corev1.Node{}:                  {Transform: transform(Node)},
		&corev1.PersistentVolume{}:      {Transform: transform(kept.PersistentVolume)},
		&corev1.PersistentVolumeClaim{}: {Transform: transform(kept.Claim)},
		&storagev1.VolumeAttachment{}:   {Transform: transform(Attachment)},
	}
}

// Kept are what objects have in common. The zero value is ready.
type Kept struct {
	texts shelf[map[string]string, string, string]
	sizes shelf[corev1.ResourceList, corev1.ResourceName, resource.Quantity]
}

// transform is the function for a cache's informer, which also gives it what tells of an
// object that it has missed.
func transform[T any](slim func(*T)) func(any) (any, error) {
	return func(object any) (any, error) {
		if typed, ok := object.(*T); ok {
			slim(typed)
		}
		return object, nil
	}
}

// Node keeps who the node is, how it is reached, which volumes it has in use, and since when it
// is not ready. Most of what is dropped are its images.
func Node(node *corev1.Node) {
	info := node.Status.NodeInfo
	*node = corev1.Node{
		TypeMeta: node.TypeMeta, ObjectMeta: identity(node.ObjectMeta),
		Status: corev1.NodeStatus{
			Addresses:    node.Status.Addresses,
			NodeInfo:     corev1.NodeSystemInfo{BootID: info.BootID, MachineID: info.MachineID, SystemUUID: info.SystemUUID},
			VolumesInUse: node.Status.VolumesInUse,
			Conditions:   notReady(node.Status.Conditions),
		},
	}
}

// notReady is the condition Ready, if it is not true.
func notReady(all []corev1.NodeCondition) []corev1.NodeCondition {
	for _, condition := range all {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return []corev1.NodeCondition{{Type: corev1.NodeReady, Status: condition.Status, LastTransitionTime: condition.LastTransitionTime}}
		}
	}
	return nil
}

// PersistentVolume keeps our annotations, and all that the specification says.
func (k *Kept) PersistentVolume(pv *corev1.PersistentVolume) {
	status := corev1.PersistentVolumeStatus{Phase: one(pv.Status.Phase)}
	*pv = corev1.PersistentVolume{TypeMeta: pv.TypeMeta, ObjectMeta: k.meta(pv.ObjectMeta), Spec: pv.Spec, Status: status}
	spec := &pv.Spec
	spec.StorageClassName, spec.PersistentVolumeReclaimPolicy = one(spec.StorageClassName), one(spec.PersistentVolumeReclaimPolicy)
	spec.Capacity = k.sizesOf(spec.Capacity)
	shareAll(spec.AccessModes)
	shareAll(spec.MountOptions)
	share(spec.VolumeMode)
	if ref := spec.ClaimRef; ref != nil {
		ref.Kind, ref.APIVersion, ref.Namespace = one(ref.Kind), one(ref.APIVersion), one(ref.Namespace)
	}
	if csi := spec.CSI; csi != nil {
		csi.Driver, csi.FSType, csi.VolumeAttributes = one(csi.Driver), one(csi.FSType), k.textsOf(csi.VolumeAttributes)
		for _, secret := range []*corev1.SecretReference{
			csi.ControllerPublishSecretRef, csi.NodeStageSecretRef, csi.NodePublishSecretRef, csi.ControllerExpandSecretRef, csi.NodeExpandSecretRef,
		} {
			if secret != nil {
				secret.Name, secret.Namespace = one(secret.Name), one(secret.Namespace)
			}
		}
	}
}

// Claim keeps the annotations that say what is made for it, and all that specification and
// status say.
func (k *Kept) Claim(claim *corev1.PersistentVolumeClaim) {
	claim.ObjectMeta = k.meta(claim.ObjectMeta, claims.Annotations()...)
	share(claim.Spec.StorageClassName)
	share(claim.Spec.VolumeMode)
	shareAll(claim.Spec.AccessModes)
	shareAll(claim.Status.AccessModes)
	claim.Spec.Resources.Requests, claim.Status.Capacity = k.sizesOf(claim.Spec.Resources.Requests), k.sizesOf(claim.Status.Capacity)
	claim.Status.Phase = one(claim.Status.Phase)
}

// Attachment keeps which volume is attached to which node, and why it is not detached.
func Attachment(attachment *storagev1.VolumeAttachment) {
	failed := attachment.Status.DetachError
	*attachment = storagev1.VolumeAttachment{TypeMeta: attachment.TypeMeta, ObjectMeta: identity(attachment.ObjectMeta), Spec: attachment.Spec}
	attachment.Spec.Attacher, attachment.Spec.NodeName = one(attachment.Spec.Attacher), one(attachment.Spec.NodeName)
	if failed != nil {
		attachment.Status.DetachError = &storagev1.VolumeError{Message: one(failed.Message)}
	}
}

// identity keeps who the object is, how old, and if it is being deleted.
func identity(from metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: from.Name, Namespace: one(from.Namespace), UID: from.UID,
		ResourceVersion: from.ResourceVersion, Generation: from.Generation,
		CreationTimestamp: from.CreationTimestamp, DeletionTimestamp: from.DeletionTimestamp,
	}
}

// meta keeps besides our annotations, and those that are named.
func (k *Kept) meta(from metav1.ObjectMeta, named ...string) metav1.ObjectMeta {
	kept := map[string]string{}
	for key, value := range from.Annotations {
		if strings.HasPrefix(key, annotations.Prefix) || slices.Contains(named, key) {
			kept[key] = value
		}
	}
	to := identity(from)
	to.Annotations = k.textsOf(kept)
	return to
}

func (k *Kept) textsOf(m map[string]string) map[string]string {
	return k.texts.one(m, func(text string) string { return text })
}

func (k *Kept) sizesOf(m corev1.ResourceList) corev1.ResourceList {
	return k.sizes.one(m, func(size resource.Quantity) string { return size.String() })
}

// one is an equal text that is in memory once.
func one[T ~string](text T) T { return unique.Make(text).Value() }

func share[T ~string](text *T) {
	if text != nil {
		*text = one(*text)
	}
}

func shareAll[T ~string](all []T) {
	for i := range all {
		all[i] = one(all[i])
	}
}
