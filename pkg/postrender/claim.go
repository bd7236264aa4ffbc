package postrender

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Annotations of Helm and Kubernetes that matter here.
const (
	helmHook     = "helm.sh/hook"
	helmPolicy   = "helm.sh/resource-policy"
	helmKeep     = "keep"
	helmFilename = "postrenderer.helm.sh/postrender-filename"
	// betaClass names a claim's class, and goes before spec.storageClassName.
	betaClass = corev1.BetaStorageClassAnnotation
)

// pair is one PV/PVC pair to render.
type pair struct {
	// origin is the object that the pair comes from and is placed before.
	origin object
	// label names the origin for people; path leads to the claim in it.
	label string
	path  *field.Path
	// claim is the PVC of the pair. For an ordinal of a StatefulSet it is new,
	// otherwise the origin.
	claim   *corev1.PersistentVolumeClaim
	ordinal bool
	// annotate means that a selector picked the claim, which gets the annotation.
	annotate bool
	// plan is what the claim gets, made what became of its image. Until they are known,
	// they are empty.
	plan staticpv.Plan
	made provision.Result
}

func (p *pair) request() resource.Quantity {
	return p.claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

// capacity is the size of PV and PVC: the chart's own spelling if it is that
// size.
func (p *pair) capacity() resource.Quantity {
	request := p.request()
	if p.made.ClaimSize == 0 || uint64(request.Value()) == p.made.ClaimSize {
		return request
	}
	return *resource.NewQuantity(int64(p.made.ClaimSize), resource.BinarySI)
}

func (p *pair) volume() *corev1.PersistentVolume {
	carried := map[string]string{}
	for _, key := range []string{helmPolicy, helmFilename} {
		if value, ok := p.claim.Annotations[key]; ok {
			carried[key] = value
		}
	}
	made := staticpv.Made{
		Size: p.capacity(), Annotations: carried, RootPath: p.made.Path,
		Exclusive: p.made.Exclusive, Private: p.made.Private, Key: p.made.Key, Door: staticpv.ByRenderer,
	}
	if p.plan.Adopt {
		made.Features = p.made.Features
	}
	return p.plan.PV(made)
}

// planClaim plans the pair of a PVC. There is none if the claim is not
// migratable, or already part of a pair.
func (p *planner) planClaim(c claimIn, annotate bool) {
	o, claim := c.object, c.claim
	metadata := field.NewPath("metadata")
	asked, errs := parseAnnotations(claim.Annotations, annotations.OnClaim, metadata.Child("annotations"))
	if !asked.Migratable || len(errs) > 0 {
		p.mistakes.add(o.label(claim.Namespace), errs...)
		return
	}
	namespace, errs := p.namespaceOf(claim.ObjectMeta, metadata)
	if len(errs) > 0 {
		p.mistakes.add(o.label(claim.Namespace), errs...)
		return
	}
	label := o.label(namespace)
	if errs := validateName(claim.Name, metadata.Child("name")); len(errs) > 0 {
		p.mistakes.add(label, errs...)
		return
	}
	if volume := claim.Spec.VolumeName; volume != "" {
		if p.rendered(volume, namespace, claim.Name) && withoutClass(claim) {
			p.claimImage(staticpv.ImageOfPair(p.volumes[volume]), label, nil)
			return
		}
		p.mistakes.add(label, field.Forbidden(field.NewPath("spec", "volumeName"), fmt.Sprintf("is set to %q, but the manifests have no static PersistentVolume of that name for this claim; remove it to have the pair rendered", volume)))
		return
	}
	names := staticpv.NamesOf(namespace, claim.Name, asked)
	plans, errs := p.plans(staticpv.Input{Claim: claim, Namespace: namespace, Asked: asked}, names)
	p.mistakes.add(label, errs...)
	p.claimImage(names.Image, label, claims.ImagePath(claim, nil))
	if asked.OldName != "" && asked.OldName != names.Image {
		p.claimImage(asked.OldName, label, claims.AnnotationPath(nil, annotations.Adopt))
	}
	for _, plan := range plans {
		p.pairs = append(p.pairs, &pair{origin: o, label: label, claim: claim, annotate: annotate, plan: plan})
	}
}

// parseAnnotations refuses what only the reconciler in the cluster understands.
func parseAnnotations(all map[string]string, place annotations.Place, path *field.Path) (annotations.Claim, field.ErrorList) {
	asked, errs := annotations.Parse(all, place, path)
	if asked.Class != "" {
		errs = append(errs, field.Forbidden(path.Key(annotations.Class), "the claim was rendered for --create cluster, which creates the volume in the cluster; name the class in spec.storageClassName, or render with --create cluster"))
	}
	if asked.Size != nil {
		errs = append(errs, field.Forbidden(path.Key(annotations.Size), "is for --create cluster; raise spec.resources.requests[storage] instead, and the image grows with it"))
	}
	return asked, errs
}

// rendered reports whether the stream has the PV of that claim already.
func (p *planner) rendered(volume, namespace, claim string) bool {
	pv, ok := p.volumes[volume]
	return ok && staticpv.IsPair(pv, namespace, claim)
}

// claimImage notes that an object uses the image, and reports a second one.
func (p *planner) claimImage(image, label string, path *field.Path) {
	if other, ok := p.images[image]; ok {
		if path == nil {
			path = field.NewPath("spec", "volumeName")
		}
		p.mistakes.add(label, field.Invalid(path, image, fmt.Sprintf("%s uses this image too; one image belongs to one claim", other)))
		return
	}
	p.images[image] = label
}

// namespaceOf returns where the object goes: its own namespace, or the
// release's.
func (p *planner) namespaceOf(meta metav1.ObjectMeta, metadata *field.Path) (string, field.ErrorList) {
	if meta.Namespace != "" {
		return meta.Namespace, nil
	}
	namespace, err := p.release()
	if err != nil {
		return "", field.ErrorList{field.Required(metadata.Child("namespace"), err.Error())}
	}
	return namespace, nil
}

func validateName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "a pair needs a fixed name; generateName cannot be used")}
	}
	if msgs := validation.IsDNS1123Subdomain(name); len(msgs) > 0 {
		return field.ErrorList{field.Invalid(path, name, msgs[0])}
	}
	return nil
}

// withoutClass reports whether the claim asks for no class, unlike one that leaves
// it to the default.
func withoutClass(claim *corev1.PersistentVolumeClaim) bool {
	name := claims.ClassName(claim)
	return name != nil && *name == ""
}

// plans finds the claim's class, and checks what the binder and ceph-csi will not: with a
// claimRef, the binder compares nothing. There are none when there is a mistake in the
// class.
func (p *planner) plans(in staticpv.Input, names ...staticpv.Names) ([]staticpv.Plan, field.ErrorList) {
	errs := claims.Refuse(in.Claim, in.Path)
	name, classPath := claims.ClassName(in.Claim), claims.ClassPath(in.Claim, in.Path)
	switch {
	case name == nil:
		name = new(string)
	case *name == "":
		return nil, append(errs, field.Invalid(classPath, "", "a migratable claim takes its settings from a StorageClass; name one, or leave the field out for the default class"))
	}
	class, err := p.class(*name)
	switch {
	case err != nil && *name == "":
		return nil, append(errs, field.Required(classPath, err.Error()))
	case err != nil:
		return nil, append(errs, field.Invalid(classPath, *name, err.Error()))
	}
	in.Class = *class
	plans, mistakes := staticpv.Plans(in, names...)
	return plans, append(errs, mistakes...)
}

// edit plans how the claim of the manifest at the path in its object, or the template
// that an ordinal's pair comes from, becomes the pair's.
func (p *pair) edit(path []string) {
	o := p.origin
	if p.annotate {
		o.set(path, "true", "metadata", "annotations", annotations.Migratable)
	}
	o.remove(path, "metadata", "annotations", betaClass)
	o.set(path, "", "spec", "storageClassName")
	if !p.ordinal {
		o.set(path, staticpv.VolumeName(p.plan.Image), "spec", "volumeName")
	}
	// The size is written where what the claim keeps differs from the chart's.
	if capacity := p.capacity(); capacity.Cmp(p.request()) != 0 {
		o.set(path, capacity.String(), "spec", "resources", "requests", "storage")
	}
}

// newClaim is the PVC that the StatefulSet controller would make from the
// template for the ordinal: the template's labels with the selector's, and the
// template's annotations.
func newClaim(template *corev1.PersistentVolumeClaim, name, namespace string, selector *metav1.LabelSelector, extra map[string]string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace,
			Labels:      maps.Clone(template.Labels),
			Annotations: maps.Clone(template.Annotations),
		},
		Spec: *template.Spec.DeepCopy(),
	}
	if selector != nil && len(selector.MatchLabels) > 0 {
		if claim.Labels == nil {
			claim.Labels = map[string]string{}
		}
		maps.Copy(claim.Labels, selector.MatchLabels)
	}
	maps.Copy(claim.Annotations, extra)
	for _, key := range []string{annotations.Replicas, betaClass} {
		delete(claim.Annotations, key)
	}
	return claim
}
