package staticpv

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Input is a claim, or a claim template, and what it gets its volume by.
type Input struct {
	Claim *corev1.PersistentVolumeClaim
	// Path leads to the claim, nil for a PVC.
	Path *field.Path
	// Namespace is the claim's, also where a manifest leaves it to Helm.
	Namespace string
	// Asked is what its annotations ask for.
	Asked annotations.Claim
	Class storageclass.Class
}

// Plan is what one claim gets, as far as it is known without asking Ceph. The image
// is asked for by it (provision.Location.Request), and with what that brought, [Plan.PV]
// makes the PersistentVolume.
type Plan struct {
	Namespace string
	Names
	Class storageclass.Class
	// StorageClassName is what claim and PersistentVolume say; empty for a claim without
	// a class.
	StorageClassName string
	// Request is the claim's.
	Request     resource.Quantity
	AccessModes []corev1.PersistentVolumeAccessMode
	VolumeMode  corev1.PersistentVolumeMode
	// Mapping is what claim and class say of how the image is mapped.
	Mapping Mapping
	// NewPrivate says that the mappings of an image that is made now are to be clients of
	// their own.
	NewPrivate bool
	// Keyed is whether the claim asks for a keyed image; nil leaves it to the image.
	Keyed *bool
	// Adopt means that the image must exist.
	Adopt bool
	// OldName is what an adopted image is called until it gets the name Image, empty if
	// it has that.
	OldName string
	// Look means that nothing is made, and only what there is of the image is of
	// interest.
	Look bool
}

// Plans returns what claims of these names get: one for a PVC, one for each ordinal of a
// claim template. It also returns every mistake that claim, class and names make together;
// what is wrong with the claim whatever its class says [claims.Refuse].
func Plans(in Input, names ...Names) ([]Plan, field.ErrorList) {
	var errs field.ErrorList
	if in.Class.CephFS != nil {
		errs = claims.RefuseOnCephFS(in.Claim, in.Class.Name, in.Path)
	} else {
		errs = claims.RefuseOnRBD(in.Claim, in.Class.Name, in.Path)
	}
	mapping, mistakes := MappingOf(in.Claim, in.Asked, in.Class, in.Path)
	errs = append(errs, mistakes...)
	if keyed := in.Asked.Keyed; in.Class.CephFS != nil && keyed != nil && *keyed {
		errs = append(errs, field.Invalid(claims.AnnotationPath(in.Path, annotations.Keyed), "true", fmt.Sprintf("class %q is a CephFS class, whose volumes are mounted by their path and not by a name", in.Class.Name)))
	}
	adopt := claims.AnnotationPath(in.Path, annotations.Adopt)
	if in.Asked.OldName != "" && in.Class.CephFS != nil {
		errs = append(errs, field.Invalid(adopt, in.Asked.OldName, fmt.Sprintf("class %q is a CephFS class, and a subvolume keeps its name; write \"true\", and the name in %s", in.Class.Name, annotations.Image)))
	}
	plans := make([]Plan, 0, len(names))
	for _, name := range names {
		if in.Asked.OldName != "" && in.Asked.OldName == name.Image {
			errs = append(errs, field.Invalid(adopt, in.Asked.OldName, "is the name that the image is to get; write \"true\" if it has that, and keeps it"))
		}
		if err := ValidateHandle(name.Image); err != nil {
			errs = append(errs, field.Invalid(claims.ImagePath(in.Claim, in.Path), name.Image, err.Error()))
		}
		plans = append(plans, Plan{
			Namespace:   in.Namespace,
			Names:       name,
			Class:       in.Class,
			Request:     in.Claim.Spec.Resources.Requests[corev1.ResourceStorage],
			AccessModes: in.Claim.Spec.AccessModes,
			VolumeMode:  claims.VolumeMode(in.Claim),
			Mapping:     mapping,
			NewPrivate:  mapsByKRBD(in.Class),
			Keyed:       in.Asked.Keyed,
			Adopt:       in.Asked.Adopt,
			OldName:     in.Asked.OldName,
		})
	}
	return plans, errs
}
