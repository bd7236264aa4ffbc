package provisioner

import (
	"regexp"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

var ordinalAtEnd = regexp.MustCompile(`-(0|[1-9][0-9]{0,9})$`)

// ordinal is the number at the end of a claim's name, which the StatefulSet
// controller puts there.
func ordinal(claim string) (int, bool) {
	match := ordinalAtEnd.FindStringSubmatch(claim)
	if match == nil {
		return 0, false
	}
	n, err := strconv.Atoi(match[1])
	return n, err == nil
}

// templateOf returns the claim template that the claim was made from, nil for none
// of these StatefulSets'. The controller copies a template's annotations into its
// claims.
func templateOf(claim *corev1.PersistentVolumeClaim, sets []appsv1.StatefulSet) *corev1.PersistentVolumeClaim {
	n, ok := ordinal(claim.Name)
	if !ok {
		return nil
	}
	for _, set := range sets {
		for i, template := range set.Spec.VolumeClaimTemplates {
			if staticpv.ClaimName(template.Name, set.Name, n) == claim.Name &&
				template.Annotations[annotations.Image] == claim.Annotations[annotations.Image] {
				return &set.Spec.VolumeClaimTemplates[i]
			}
		}
	}
	return nil
}

// namesOf is how the claim and its image are called. On a claim template, the annotation
// has a base name, and a claim made from it carries the same text.
func namesOf(claim *corev1.PersistentVolumeClaim, asked annotations.Claim, template *corev1.PersistentVolumeClaim) (staticpv.Names, *field.Error) {
	n, numbered := ordinal(claim.Name)
	switch {
	case template != nil:
		return staticpv.NamesOfOrdinal(claim.Namespace, claim.Name, asked, n), nil
	case asked.Image != "" && numbered && !asked.Adopt:
		return staticpv.Names{}, field.Invalid(annotationPath(annotations.Image), asked.Image,
			"the claim's name ends in a number, like those of a StatefulSet, and no StatefulSet of the namespace has a claim template for it with this annotation: "+
				"it cannot be known whether this is the image's name or a base name; create the StatefulSet first, or give the claim another name")
	}
	return staticpv.NamesOf(claim.Namespace, claim.Name, asked), nil
}

func annotationPath(key string) *field.Path {
	return field.NewPath("metadata", "annotations").Key(key)
}
