// Package claims says what a migratable PVC must not have, whatever its class and
// whoever makes its volume. So the renderer and the cluster refuse the same claims. It is
// pure.
package claims

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
)

const helmHook = "helm.sh/hook"

// StorageProvisioner is the annotation by which the PersistentVolume controller tells a
// provisioner that the claim waits for it; where the class says WaitForFirstConsumer, that is
// when a pod has got its node. Older controllers set the beta one as well.
const (
	StorageProvisioner     = "volume.kubernetes.io/storage-provisioner"
	BetaStorageProvisioner = "volume.beta.kubernetes.io/storage-provisioner"
)

// Annotations are those of others that say what a claim gets. Whoever keeps claims has to
// keep them, besides ours.
func Annotations() []string {
	return []string{corev1.BetaStorageClassAnnotation, StorageProvisioner, BetaStorageProvisioner, helmHook}
}

// Refuse lists the mistakes of a claim with their fields. path leads to the claim,
// nil for a PVC.
func Refuse(claim *corev1.PersistentVolumeClaim, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	spec := child(path, "spec")
	if _, ok := claim.Annotations[helmHook]; ok {
		errs = append(errs, field.Forbidden(child(path, "metadata").Child("annotations").Key(helmHook), "Helm leaves the objects of a hook behind or deletes them at its own times; a migratable claim cannot be one"))
	}
	if claim.Spec.DataSource != nil {
		errs = append(errs, field.Forbidden(spec.Child("dataSource"), "a static volume cannot be filled from a source"))
	}
	if claim.Spec.DataSourceRef != nil {
		errs = append(errs, field.Forbidden(spec.Child("dataSourceRef"), "a static volume cannot be filled from a source"))
	}
	if claim.Spec.Selector != nil {
		errs = append(errs, field.Forbidden(spec.Child("selector"), "the claim's PersistentVolume is named, not selected"))
	}
	if name := claim.Spec.VolumeAttributesClassName; name != nil && *name != "" {
		errs = append(errs, field.Forbidden(spec.Child("volumeAttributesClassName"), "ceph-csi cannot modify a static volume"))
	}
	errs = append(errs, refuseModes(claim, path)...)
	storage := SizePath(path)
	if request, ok := claim.Spec.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(storage, ""))
	} else if request.Sign() <= 0 || request.CmpInt64(annotations.MaxSize) > 0 {
		errs = append(errs, field.Invalid(storage, request.String(), "must be above 0 and at most 1Ei"))
	}
	return errs
}

// accessModes and volumeModes are all that the API server accepts.
func accessModes() []corev1.PersistentVolumeAccessMode {
	return []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod}
}

func volumeModes() []corev1.PersistentVolumeMode {
	return []corev1.PersistentVolumeMode{corev1.PersistentVolumeFilesystem, corev1.PersistentVolumeBlock}
}

// refuseModes lists the modes that the API server will refuse, before an image is made
// for them (ValidatePersistentVolumeClaimSpec of k8s.io/kubernetes).
func refuseModes(claim *corev1.PersistentVolumeClaim, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	modes := claim.Spec.AccessModes
	if len(modes) == 0 {
		errs = append(errs, field.Required(ModesPath(path), ""))
	}
	for i, mode := range modes {
		if !slices.Contains(accessModes(), mode) {
			errs = append(errs, field.NotSupported(ModesPath(path).Index(i), mode, accessModes()))
		}
	}
	if len(modes) > 1 && slices.Contains(modes, corev1.ReadWriteOncePod) {
		errs = append(errs, field.Forbidden(ModesPath(path), "ReadWriteOncePod stands alone, without other modes"))
	}
	if mode := claim.Spec.VolumeMode; mode != nil && !slices.Contains(volumeModes(), *mode) {
		errs = append(errs, field.NotSupported(child(path, "spec").Child("volumeMode"), *mode, volumeModes()))
	}
	return errs
}

// RefuseOnRBD lists what a claim must not have when its class is an RBD class.
func RefuseOnRBD(claim *corev1.PersistentVolumeClaim, class string, path *field.Path) field.ErrorList {
	if !slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteMany) || VolumeMode(claim) != corev1.PersistentVolumeFilesystem {
		return nil
	}
	return field.ErrorList{field.Invalid(ModesPath(path), corev1.ReadWriteMany,
		"class \""+class+"\" is an RBD class, and two nodes that mount one RBD filesystem destroy it; use ReadWriteOnce, volumeMode Block, or a CephFS class")}
}

// RefuseOnCephFS lists what a claim must not have when its class is a CephFS class.
func RefuseOnCephFS(claim *corev1.PersistentVolumeClaim, class string, path *field.Path) field.ErrorList {
	if VolumeMode(claim) != corev1.PersistentVolumeBlock {
		return nil
	}
	return field.ErrorList{field.Invalid(child(path, "spec").Child("volumeMode"), corev1.PersistentVolumeBlock,
		"class \""+class+"\" is a CephFS class, and CephFS has no block devices; use volumeMode Filesystem, or an RBD class")}
}

// SingleWriter reports whether the modes are for one writer. On CephFS nothing
// keeps to that but Kubernetes, and each cluster for itself.
func SingleWriter(modes []corev1.PersistentVolumeAccessMode) bool {
	return !slices.Contains(modes, corev1.ReadWriteMany) &&
		(slices.Contains(modes, corev1.ReadWriteOnce) || slices.Contains(modes, corev1.ReadWriteOncePod))
}

// ClassName returns the class that the claim names; nil means the default class.
// The old annotation goes before the field, as for the API server.
func ClassName(claim *corev1.PersistentVolumeClaim) *string {
	if name, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return &name
	}
	return claim.Spec.StorageClassName
}

// ClassPath leads to where the claim names its class.
func ClassPath(claim *corev1.PersistentVolumeClaim, path *field.Path) *field.Path {
	if _, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return child(path, "metadata").Child("annotations").Key(corev1.BetaStorageClassAnnotation)
	}
	return child(path, "spec").Child("storageClassName")
}

// ImagePath leads to where the claim says how its image is called.
func ImagePath(claim *corev1.PersistentVolumeClaim, path *field.Path) *field.Path {
	if _, ok := claim.Annotations[annotations.Image]; ok {
		return AnnotationPath(path, annotations.Image)
	}
	return child(path, "metadata").Child("name")
}

// SizePath leads to the claim's request.
func SizePath(path *field.Path) *field.Path {
	return child(path, "spec").Child("resources", "requests").Key(string(corev1.ResourceStorage))
}

// ModesPath leads to the claim's access modes.
func ModesPath(path *field.Path) *field.Path { return child(path, "spec").Child("accessModes") }

// AnnotationPath leads to an annotation of the claim.
func AnnotationPath(path *field.Path, key string) *field.Path {
	return child(path, "metadata").Child("annotations").Key(key)
}

// VolumeMode returns the claim's mode, with its default.
func VolumeMode(claim *corev1.PersistentVolumeClaim) corev1.PersistentVolumeMode {
	if claim.Spec.VolumeMode == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *claim.Spec.VolumeMode
}

// child is path.Child, also for the nil path of a whole object.
func child(path *field.Path, name string) *field.Path {
	if path == nil {
		return field.NewPath(name)
	}
	return path.Child(name)
}
