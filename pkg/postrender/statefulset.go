package postrender

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// maxOrdinals keeps a slip of the keyboard from making a million images.
const maxOrdinals = 10_000

// template is a claim template whose class is emptied, so that an ordinal
// without a pair waits instead of getting a dynamic volume.
type template struct {
	origin object
	path   []string
	// pairs are those of its ordinals. For none, it is the one of the first
	// ordinal, to look at.
	pairs []*pair
}

// planStatefulSet plans the pairs of all ordinals of all migratable templates, of which
// selectors picked some.
func (p *planner) planStatefulSet(o object, found []claimIn, picked []string) {
	if len(found) == 0 {
		return
	}
	set := found[0].statefulSet
	metadata, templates := field.NewPath("metadata"), field.NewPath("spec", "volumeClaimTemplates")
	asked := make([]annotations.Claim, len(set.Spec.VolumeClaimTemplates))
	var errs field.ErrorList
	migratable := false
	for i, claim := range set.Spec.VolumeClaimTemplates {
		var more field.ErrorList
		asked[i], more = parseAnnotations(claim.Annotations, annotations.OnTemplate, templates.Index(i).Child("metadata", "annotations"))
		errs = append(errs, more...)
		migratable = migratable || asked[i].Migratable
	}
	if len(errs) > 0 || !migratable {
		p.mistakes.add(o.label(set.Namespace), errs...)
		return
	}
	namespace, errs := p.namespaceOf(set.ObjectMeta, metadata)
	if len(errs) > 0 {
		p.mistakes.add(o.label(set.Namespace), errs...)
		return
	}
	label := o.label(namespace)
	if errs := refuseSet(set); len(errs) > 0 {
		p.mistakes.add(label, errs...)
		return
	}
	for i := range asked {
		if asked[i].Migratable {
			p.planTemplate(found[i], asked[i], namespace, picked[i] != "")
		}
	}
}

// refuseSet lists what the StatefulSet around a migratable template must not
// have.
func refuseSet(set *appsv1.StatefulSet) field.ErrorList {
	errs := append(validateName(set.Name, field.NewPath("metadata", "name")), refuseHook(set.Annotations)...)
	if policy := set.Spec.PersistentVolumeClaimRetentionPolicy; policy != nil {
		path := field.NewPath("spec", "persistentVolumeClaimRetentionPolicy")
		const detail = "Kubernetes would delete the pair's claim with the pod or the StatefulSet, and the PersistentVolume could not be bound again; use Retain"
		if policy.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType {
			errs = append(errs, field.Invalid(path.Child("whenDeleted"), policy.WhenDeleted, detail))
		}
		if policy.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType {
			errs = append(errs, field.Invalid(path.Child("whenScaled"), policy.WhenScaled, detail))
		}
	}
	if n := set.Spec.Replicas; n != nil && (*n < 0 || *n > maxOrdinals) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "replicas"), *n, fmt.Sprintf("must be between 0 and %d", maxOrdinals)))
	}
	if ordinals := set.Spec.Ordinals; ordinals != nil && ordinals.Start < 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "ordinals", "start"), ordinals.Start, "must be 0 or more"))
	}
	return errs
}

func refuseHook(all map[string]string) field.ErrorList {
	if _, ok := all[helmHook]; !ok {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("metadata", "annotations").Key(helmHook), "Helm leaves the objects of a hook behind or deletes them at its own times; a migratable claim cannot be one")}
}

// ordinals are the first ordinal of a StatefulSet's template, and how many get a pair.
func ordinals(set *appsv1.StatefulSet, asked annotations.Claim) (start, count int) {
	count = 1
	if set.Spec.Ordinals != nil {
		start = int(set.Spec.Ordinals.Start)
	}
	if set.Spec.Replicas != nil {
		count = int(*set.Spec.Replicas)
	}
	if asked.Replicas != nil {
		count = *asked.Replicas
	}
	return start, count
}

func (p *planner) planTemplate(c claimIn, asked annotations.Claim, namespace string, annotate bool) {
	o, set, claim, label, path := c.object, c.statefulSet, c.claim, c.label(namespace), c.field
	start, count := ordinals(set, asked)
	if count > maxOrdinals {
		p.mistakes.add(label, field.Invalid(path.Child("metadata", "annotations").Key(annotations.Replicas), count, fmt.Sprintf("must be between 0 and %d", maxOrdinals)))
		return
	}
	if errs := validateName(claim.Name, path.Child("metadata", "name")); len(errs) > 0 {
		p.mistakes.add(label, errs...)
		return
	}
	if withoutClass(claim) {
		p.checkRendered(set, claim, namespace, label, path, start, count)
		return
	}
	if claim.Spec.VolumeName != "" {
		p.mistakes.add(label, field.Forbidden(path.Child("spec", "volumeName"), "all ordinals would share the volume"))
	}
	// For no ordinal there is one to look at: the template's size may have been fixed
	// when there were some, and Kubernetes refuses to change a template.
	var made []*corev1.PersistentVolumeClaim
	var names []staticpv.Names
	var unnamed field.ErrorList
	for ordinal := start; ordinal < start+max(count, 1) && len(unnamed) == 0; ordinal++ {
		name := staticpv.NamesOfOrdinal(namespace, staticpv.ClaimName(claim.Name, set.Name, ordinal), asked, ordinal)
		made, names = append(made, ordinalClaim(set, claim, name)), append(names, name)
		unnamed = validateName(name.Claim, path.Child("metadata", "name"))
	}
	plans, errs := p.plans(staticpv.Input{Claim: claim, Path: path, Namespace: namespace, Asked: asked}, names...)
	p.mistakes.add(label, append(errs, unnamed...)...)
	if count > 0 {
		for _, name := range names {
			p.claimImage(name.Image, label, claims.ImagePath(claim, path))
		}
	}
	t := &template{origin: o, path: c.path}
	for i, plan := range plans {
		plan.Look = count == 0
		t.pairs = append(t.pairs, &pair{origin: o, label: label, path: path, claim: made[i], ordinal: true, annotate: annotate, plan: plan})
	}
	p.pairs, p.templates = append(p.pairs, t.pairs...), append(p.templates, t)
}

// checkRendered accepts a template without a class if the stream has the pairs
// of all its ordinals: then it is our own output.
func (p *planner) checkRendered(set *appsv1.StatefulSet, claim *corev1.PersistentVolumeClaim, namespace, label string, path *field.Path, start, count int) {
	for ordinal := start; ordinal < start+count; ordinal++ {
		name := staticpv.ClaimName(claim.Name, set.Name, ordinal)
		if volume, ok := p.claims[claimKey{set.Namespace, name}]; !ok || !p.rendered(volume, namespace, name) {
			p.mistakes.add(label, field.Invalid(path.Child("spec", "storageClassName"), "", fmt.Sprintf("a migratable claim takes its settings from a StorageClass, and the manifests have no static pair for PersistentVolumeClaim %s; name a class, or leave the field out for the default class", name)))
			return
		}
	}
}

// ordinalClaim is the claim of one ordinal, as part of a pair.
func ordinalClaim(set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, names staticpv.Names) *corev1.PersistentVolumeClaim {
	// An upgrade without the renderer would delete the pair silently.
	extra := map[string]string{helmPolicy: helmKeep}
	if name, ok := set.Annotations[helmFilename]; ok {
		extra[helmFilename] = name
	}
	if _, ok := template.Annotations[annotations.Image]; ok {
		extra[annotations.Image] = names.Image
	}
	made := newClaim(template, names.Claim, set.Namespace, set.Spec.Selector, extra)
	empty := ""
	made.Spec.StorageClassName = &empty
	made.Spec.VolumeName = staticpv.VolumeName(names.Image)
	return made
}

// edit plans that the class of the template is emptied. The size becomes the smallest that
// an ordinal keeps: that of the ordinals the StatefulSet was installed with, as
// requests never shrink.
func (t *template) edit() {
	smallest := t.pairs[0]
	for _, next := range t.pairs {
		if a, b := next.capacity(), smallest.capacity(); a.Cmp(b) < 0 {
			smallest = next
		}
	}
	smallest.edit(t.path)
}
