package storageclass

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Provisioner is that of the classes whose claims become static pairs. ceph-csi knows
// nothing of them.
const Provisioner = "cephferry.io/provisioner"

// FromParameter names the class of ceph-csi whose settings a class with our provisioner
// takes. It is the only parameter of such a class:
//
//	apiVersion: storage.k8s.io/v1
//	kind: StorageClass
//	metadata:
//	  name: migratable
//	provisioner: cephferry.io/provisioner
//	parameters:
//	  cephferry.io/class: ceph-block
//	reclaimPolicy: Retain
//	allowVolumeExpansion: true
const FromParameter = "cephferry.io/class"

// IsOurs reports whether claims of the class become static pairs.
func IsOurs(class *storagev1.StorageClass) bool { return class.Provisioner == Provisioner }

// Settings reads the settings of the volumes of a class: its own, or for a class with our
// provisioner those of the class that it takes them from, with its own mount options if it
// has any. The result has the name of the class that was asked for. Every mistake is
// reported, with the field's path in that class.
func Settings(classes []storagev1.StorageClass, class *storagev1.StorageClass) (Class, field.ErrorList) {
	if !IsOurs(class) {
		return Parse(class)
	}
	errs := refuseOurs(class)
	path := field.NewPath("parameters").Key(FromParameter)
	name, ok := class.Parameters[FromParameter]
	if !ok || name == "" {
		return Class{}, append(errs, field.Required(path, "the class of ceph-csi whose settings the volumes get, such as Rook's ceph-block"))
	}
	from, err := Find(classes, name)
	if err != nil {
		return Class{}, append(errs, field.Invalid(path, name, err.Error()))
	}
	if IsOurs(from) {
		return Class{}, append(errs, field.Invalid(path, name, "has the provisioner "+Provisioner+" too; name a class of ceph-csi"))
	}
	parsed, mistakes := Parse(from)
	if len(mistakes) > 0 {
		return Class{}, append(errs, field.Invalid(path, name, "StorageClass "+name+": "+mistakes.ToAggregate().Error()))
	}
	parsed.Name = class.Name
	if len(class.MountOptions) > 0 {
		parsed.MountOptions = class.MountOptions
	}
	return parsed, errs
}

// refuseOurs lists what a class with our provisioner must not promise.
func refuseOurs(class *storagev1.StorageClass) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(class.Parameters)) {
		if key != FromParameter {
			errs = append(errs, field.NotSupported(field.NewPath("parameters").Key(key), key, []string{FromParameter}))
		}
	}
	if policy := reclaimPolicy(class); policy != corev1.PersistentVolumeReclaimRetain {
		errs = append(errs, field.Invalid(field.NewPath("reclaimPolicy"), policy, "must be Retain: nothing deletes an image that another cluster may have"))
	}
	if len(class.AllowedTopologies) > 0 {
		errs = append(errs, field.Forbidden(field.NewPath("allowedTopologies"), "the volumes are not tied to nodes"))
	}
	return errs
}

// reclaimPolicy is the class's, with the API server's default.
func reclaimPolicy(class *storagev1.StorageClass) corev1.PersistentVolumeReclaimPolicy {
	if class.ReclaimPolicy == nil {
		return corev1.PersistentVolumeReclaimDelete
	}
	return *class.ReclaimPolicy
}
