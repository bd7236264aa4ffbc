package provisioner

import (
	"cmp"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// The doors of claims. Nothing behind [askedOf] and the plan asks which it was.
const (
	noDoor       staticpv.Door = ""
	byAnnotation               = staticpv.ByClaim
	byClass                    = staticpv.ByClass
)

// doorOf is how a claim asks for a volume of ours. It rests on the claim alone; that its class
// has our provisioner is checked with the class.
func doorOf(claim *corev1.PersistentVolumeClaim) staticpv.Door {
	class := claims.ClassName(claim)
	switch {
	case class == nil:
		return noDoor // a default class may still come
	case *class != "" && cmp.Or(claim.Annotations[claims.StorageProvisioner], claim.Annotations[claims.BetaStorageProvisioner]) == storageclass.Provisioner:
		return byClass
	case *class == "" && annotations.Has(claim.Annotations) && claim.Annotations[annotations.Migratable] != "false":
		return byAnnotation
	default:
		return noDoor
	}
}

// askedOf is what the claim asks for. One that names a class of ours is migratable without
// saying so, and cannot be opted out.
func askedOf(claim *corev1.PersistentVolumeClaim, place annotations.Place) (annotations.Claim, field.ErrorList) {
	path := field.NewPath("metadata", "annotations")
	if doorOf(claim) != byClass {
		return annotations.Parse(claim.Annotations, place, path)
	}
	class := *claims.ClassName(claim)
	all := maps.Clone(claim.Annotations)
	if _, ok := all[annotations.Migratable]; !ok {
		all[annotations.Migratable] = "true"
	}
	asked, errs := annotations.Parse(all, place, path)
	switch {
	case !asked.Migratable && len(errs) == 0:
		errs = field.ErrorList{field.Invalid(path.Key(annotations.Migratable), all[annotations.Migratable], "class "+class+" has migratable volumes only; name another class, or remove the annotation")}
	case asked.Class != "" && asked.Class != class:
		errs = append(errs, field.Invalid(path.Key(annotations.Class), asked.Class, claims.ClassPath(claim, nil).String()+" names "+class+"; keep one of the two"))
	}
	asked.Class = class
	return asked, errs
}
