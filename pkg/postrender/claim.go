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
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
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
	// namespace is the claim's, also where the manifest leaves it to Helm.
	namespace string
	class     *storageclass.Class
	image     string
	adopt     bool
	// look means that the pair is not rendered; only the recorded size of its
	// image is of interest.
	look bool
	// size in bytes is what PV and PVC keep. Zero means the claim's request.
	size uint64
	// features are those of an adopted image; nil means the class's.
	features []string
	// rootPath is where a subvolume is.
	rootPath string
	// mapping is what claim and class say of how the image is mapped, and exclusive
	// how it is.
	mapping   staticpv.Mapping
	exclusive bool
}

func (p *pair) request() resource.Quantity {
	return p.claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

// capacity is the size of PV and PVC: the chart's own spelling if it is that
// size.
func (p *pair) capacity() resource.Quantity {
	request := p.request()
	if p.size == 0 || uint64(request.Value()) == p.size {
		return request
	}
	return *resource.NewQuantity(int64(p.size), resource.BinarySI)
}

func (p *pair) volume() *corev1.PersistentVolume {
	carried := map[string]string{}
	for _, key := range []string{helmPolicy, helmFilename} {
		if value, ok := p.claim.Annotations[key]; ok {
			carried[key] = value
		}
	}
	return staticpv.New(staticpv.Claim{
		Namespace:   p.namespace,
		Name:        p.claim.Name,
		Image:       p.image,
		Size:        p.capacity(),
		AccessModes: p.claim.Spec.AccessModes,
		VolumeMode:  claims.VolumeMode(p.claim),
		Annotations: carried,
		Features:    p.features,
		RootPath:    p.rootPath,
		Exclusive:   p.exclusive,
	}, *p.class)
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
			p.claimImage(volume, label, nil)
			return
		}
		p.mistakes.add(label, field.Forbidden(field.NewPath("spec", "volumeName"), fmt.Sprintf("is set to %q, but the manifests have no static PersistentVolume of that name for this claim; remove it to have the pair rendered", volume)))
		return
	}
	image := asked.Image
	if image == "" {
		image = staticpv.ImageName(namespace, claim.Name)
	}
	class, mapping, errs := p.validate(claim, asked, nil)
	p.mistakes.add(label, errs...)
	p.claimImage(image, label, imagePath(asked, nil))
	p.mistakes.add(label, validateHandle(image, class, imagePath(asked, nil))...)
	p.pairs = append(p.pairs, &pair{
		origin: o, label: label, claim: claim, namespace: namespace,
		class: class, image: image, adopt: asked.Adopt, mapping: mapping, annotate: annotate,
	})
}

// parseAnnotations refuses what only the reconciler in the cluster understands.
func parseAnnotations(all map[string]string, place annotations.Place, path *field.Path) (annotations.Claim, field.ErrorList) {
	asked, errs := annotations.Parse(all, place, path)
	if asked.Class != "" {
		errs = append(errs, field.Forbidden(path.Key(annotations.Class), "the claim was rendered for --create cluster, which makes the volume in the cluster; name the class in spec.storageClassName, or render with --create cluster"))
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

func imagePath(asked annotations.Claim, claim *field.Path) *field.Path {
	if asked.Image == "" {
		return child(claim, "metadata").Child("name")
	}
	return child(claim, "metadata").Child("annotations").Key(annotations.Image)
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
		return field.ErrorList{field.Required(path, "a pair needs a name that stays the same; generateName cannot be used")}
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

// validate checks what the binder and ceph-csi will not: with a claimRef, the
// binder compares nothing. path leads to the claim, nil for a PVC. The class is
// nil when there is a mistake in it.
func (p *planner) validate(claim *corev1.PersistentVolumeClaim, asked annotations.Claim, path *field.Path) (*storageclass.Class, staticpv.Mapping, field.ErrorList) {
	errs := claims.Refuse(claim, path)
	name, classPath := claims.ClassName(claim), claims.ClassPath(claim, path)
	switch {
	case name == nil:
		name = new(string)
	case *name == "":
		return nil, staticpv.Mapping{}, append(errs, field.Invalid(classPath, "", "a migratable claim takes its settings from a StorageClass; name one, or leave the field out for the default class"))
	}
	class, err := p.class(*name)
	if err != nil {
		if *name == "" {
			return nil, staticpv.Mapping{}, append(errs, field.Required(classPath, err.Error()))
		}
		return nil, staticpv.Mapping{}, append(errs, field.Invalid(classPath, *name, err.Error()))
	}
	if class.RBD != nil {
		errs = append(errs, claims.RefuseOnRBD(claim, class.Name, path)...)
	} else {
		errs = append(errs, claims.RefuseOnCephFS(claim, class.Name, path)...)
	}
	mapping, mistakes := staticpv.MappingOf(claim, asked, *class, path)
	return class, mapping, append(errs, mistakes...)
}

// validateHandle checks the name of an image as the volumeHandle of a volume of the
// class, which is nil when there is a mistake in it.
func validateHandle(image string, class *storageclass.Class, path *field.Path) field.ErrorList {
	if class == nil {
		return nil
	}
	if err := staticpv.ValidateHandle(image, *class); err != nil {
		return field.ErrorList{field.Invalid(path, image, err.Error())}
	}
	return nil
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
		o.set(path, p.image, "spec", "volumeName")
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
