package postrender

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/manifest"
)

// ForCluster reads manifests and writes them for volumes that the reconciler in
// the cluster makes. A migratable claim, or claim template, gets the class "", so
// that no provisioner takes it, and an annotation with the class that it named:
//
//	metadata:
//	  annotations:
//	    cephferry.io/class: ceph-block
//	    cephferry.io/migratable: "true"
//	spec:
//	  storageClassName: ""
//
// The same is done to the claim templates of custom resources. What selectors pick is
// annotated first. Nothing is added, and nobody is asked: no Ceph, no cluster, no Helm. On an error
// nothing is written. The notes say what was left alone and may surprise.
//
// Unlike rendered pairs, a StatefulSet here may have any
// persistentVolumeClaimRetentionPolicy: when Kubernetes deletes a claim, the
// reconciler removes its PersistentVolume and keeps the image, and the next claim
// of that name gets both again.
func ForCluster(in io.Reader, out io.Writer, selectors ...Selector) (notes []string, err error) {
	stream, documents, p, err := planForCluster(in, selectors)
	if err != nil {
		return nil, err
	}
	if err := p.mistakes.err(); err != nil {
		return nil, err
	}
	rendered, err := rewrite(documents)
	if err != nil {
		return nil, err
	}
	if rendered == nil {
		rendered = []manifest.Document{{Body: stream}}
	}
	return p.notes, write(out, rendered)
}

func planForCluster(in io.Reader, selectors []Selector) (stream []byte, documents []*document, p clusterPlan, err error) {
	if stream, err = readAll(in); err != nil {
		return nil, nil, p, fmt.Errorf("read manifests: %w", err)
	}
	if documents, err = split(stream, len(selectors) > 0); err != nil {
		return nil, nil, p, err
	}
	p.selection = newSelection(selectors)
	for _, o := range objects(documents) {
		p.add(o)
	}
	p.mistakes = append(p.mistakes, p.images.mistakes()...)
	p.mistakes = append(p.mistakes, p.selection.mistakes(len(documents))...)
	return stream, documents, p, nil
}

// clusterPlan collects what a run for the cluster is going to do.
type clusterPlan struct {
	selection *selection
	mistakes  Mistakes
	images    namedImages
	notes     []string
	chosen    []chosen
}

// claimIn is a claim, or a claim template, in an object of the stream.
type claimIn struct {
	object
	claim *corev1.PersistentVolumeClaim
	// path leads to the claim in the object, and field says so to people. Both are nil
	// for a PVC.
	path  []string
	field *field.Path
	place annotations.Place
	// statefulSet is the StatefulSet that the template is of.
	statefulSet *appsv1.StatefulSet
}

// add plans the edits of an object.
func (p *clusterPlan) add(o object) {
	switch {
	case o.isClaim(), o.isStatefulSet():
		p.addOwn(o)
	case o.isCustom():
		p.addCustom(o)
	case o.isWorkload() && o.in.mentions:
		p.mistakes.add(o.label(o.namespace()), stray(o)...)
	}
}

// addOwn plans the edits of a PVC or a StatefulSet.
func (p *clusterPlan) addOwn(o object) {
	if o.in.mentions {
		if errs := misshapen(o); len(errs) > 0 {
			p.mistakes.addAll(o.label(o.namespace()), errs)
			return
		}
	}
	found, err := ownClaims(o)
	if err != nil {
		if o.in.mentions {
			p.mistakes = append(p.mistakes, Mistake{o.label(""), err})
		}
		return
	}
	migratable := false
	for _, c := range found {
		migratable = p.addClaim(c) || migratable
	}
	if migratable && o.isStatefulSet() {
		p.mistakes.add(o.label(o.namespace()), append(
			validateName(o.name(), field.NewPath("metadata", "name")),
			refuseHook(found[0].statefulSet.Annotations)...)...)
	}
}

// ownClaims are the claims of a PVC or a StatefulSet.
func ownClaims(o object) ([]claimIn, error) {
	if o.isClaim() {
		var claim corev1.PersistentVolumeClaim
		err := o.decode(&claim)
		return []claimIn{{object: o, claim: &claim}}, err
	}
	var set appsv1.StatefulSet
	if err := o.decode(&set); err != nil {
		return nil, err
	}
	var found []claimIn
	for i := range set.Spec.VolumeClaimTemplates {
		found = append(found, claimIn{
			object: o, claim: &set.Spec.VolumeClaimTemplates[i], place: annotations.OnTemplate, statefulSet: &set,
			path: []string{"spec", templatesField, strconv.Itoa(i)}, field: field.NewPath("spec", templatesField).Index(i),
		})
	}
	return found, nil
}

// addCustom plans the edits of the claim templates in a custom resource. What is ours
// elsewhere in it may be for its operator: it stays, with a note.
func (p *clusterPlan) addCustom(o object) {
	paths := mentions(o.fields, nil)
	for _, template := range o.customTemplates() {
		c := claimIn{object: o, claim: &template.claim, place: annotations.OnTemplate, path: template.path, field: template.field}
		p.addClaim(c)
		paths = slices.DeleteFunc(paths, func(path string) bool {
			return len(path) > len(template.field.String()) && path[:len(template.field.String())] == template.field.String()
		})
	}
	for _, path := range paths {
		p.notes = append(p.notes, fmt.Sprintf("%s: %s: left alone: it is not on a claim template that has a spec; if the operator copies it to claims, they need the class \"\" and the annotation %s", o.label(o.namespace()), path, annotations.Class))
	}
}

// addClaim plans the edit of a claim, and reports whether it is migratable.
func (p *clusterPlan) addClaim(c claimIn) bool {
	picked := p.selection.pick(c.object, c.claim)
	label, metadata := c.label(c.namespace()), child(c.field, "metadata")
	if picked != "" && !c.in.mentions && !c.isCustom() {
		if errs := misshapen(c.object); len(errs) > 0 {
			p.mistakes.addAll(label, errs)
			return false
		}
	}
	asked, errs := annotations.Parse(c.claim.Annotations, c.place, metadata.Child("annotations"))
	if !asked.Migratable || len(errs) > 0 {
		p.mistakes.add(label, errs...)
		return asked.Migratable
	}
	p.chosen = append(p.chosen, chosen{c, asked, picked})
	errs = claims.Refuse(c.claim, c.field)
	if c.isCustom() {
		// Operators fill in names, modes and sizes.
		errs = slices.DeleteFunc(errs, func(err *field.Error) bool { return err.Type == field.ErrorTypeRequired })
	} else {
		errs = append(validateName(c.claim.Name, metadata.Child("name")), errs...)
	}
	if volume := c.claim.Spec.VolumeName; volume != "" {
		errs = append(errs, field.Forbidden(child(c.field, "spec").Child("volumeName"), fmt.Sprintf("is set to %q, but the cluster creates and names the PersistentVolume; remove it, or, if the pair was rendered with --create client, keep using --create client", volume)))
	}
	class := className(c.claim)
	if class != "" && len(validation.IsDNS1123Subdomain(class)) > 0 {
		errs = append(errs, field.Invalid(claims.ClassPath(c.claim, c.field), class, "must be the name of a StorageClass"))
	} else if class != "" && asked.Class != "" && class != asked.Class {
		errs = append(errs, field.Invalid(metadata.Child("annotations").Key(annotations.Class), asked.Class, fmt.Sprintf("%s names %q; keep one of the two", claims.ClassPath(c.claim, c.field), class)))
	}
	p.mistakes.add(label, errs...)
	if asked.Image != "" {
		p.images = append(p.images, namedImage{label, claims.ImagePath(c.claim, c.field), asked.Image, c.place == annotations.OnTemplate})
	}
	c.edit(picked != "", class)
	return true
}

// className is the class that the claim names, empty for the default class and for none.
func className(claim *corev1.PersistentVolumeClaim) string {
	if name := claims.ClassName(claim); name != nil {
		return *name
	}
	return ""
}

// edit plans what changes of the claim, which is nothing if it is rendered already.
func (c claimIn) edit(annotate bool, class string) {
	if annotate {
		c.set(c.path, "true", "metadata", "annotations", annotations.Migratable)
	}
	if class != "" {
		c.set(c.path, class, "metadata", "annotations", annotations.Class)
	}
	// Every claim that the StatefulSet controller makes has the annotations of its
	// template, and on a claim a number of replicas is a mistake.
	for _, key := range []string{betaClass, annotations.Replicas} {
		if _, ok := c.claim.Annotations[key]; ok {
			c.remove(c.path, "metadata", "annotations", key)
		}
	}
	if name := c.claim.Spec.StorageClassName; name == nil || *name != "" {
		c.set(c.path, "", "spec", "storageClassName")
	}
}
