package adopt

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// Text is the plan for a person.
func (p *Plan) Text() string {
	if p.Step == Done {
		return fmt.Sprintf("claim %s: is a migratable pair", p.Name)
	}
	lines := []string{fmt.Sprintf("claim %s: PersistentVolume %s, %s", p.Name, p.Old.PV.Name, p.Image)}
	if p.Step > Begin {
		lines = append(lines, "  was begun, and goes on")
	}
	steps := []string{
		fmt.Sprintf("%s is set to Retain, read back, and kept in a file with the claim", p.Old.PV.Name),
		"the claim is deleted",
		fmt.Sprintf("PersistentVolume %s is deleted; no image is", p.Old.PV.Name),
		fmt.Sprintf("the claim is created again, %s, and adopts the image", door(p.New)),
		"it is bound to the same data",
	}
	if p.Image != p.Becomes {
		steps[4] = fmt.Sprintf("the image becomes %s, which nobody finds by its old name any more; from then on there is no way back", p.Becomes)
	}
	for _, step := range steps[p.Step:] {
		lines = append(lines, "  "+step)
	}
	for _, note := range p.Notes {
		lines = append(lines, "  note: "+note)
	}
	return strings.Join(slices.Compact(lines), "\n")
}

// door is how the new claim asks for its volume.
func door(claim *corev1.PersistentVolumeClaim) string {
	if class := *claim.Spec.StorageClassName; class != "" {
		return "with StorageClass " + class
	}
	return "with annotations and without a class"
}

// Manifest is how people ask for the new claim.
func (p *Plan) Manifest() string {
	said := []string{fmt.Sprintf("storageClassName: %q", *p.New.Spec.StorageClassName)}
	for _, key := range []string{annotations.Migratable, annotations.Class, annotations.Adopt, annotations.Image} {
		if value, ok := p.New.Annotations[key]; ok {
			said = append(said, fmt.Sprintf("annotation %s: %q", key, value))
		}
	}
	return strings.Join(said, ", ")
}
