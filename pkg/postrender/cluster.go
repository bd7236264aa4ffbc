package postrender

import (
	"fmt"
	"io"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/kustomize/kyaml/yaml"

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
//	    cephferry.io/migratable: "true"
//	    cephferry.io/class: ceph-block
//	spec:
//	  storageClassName: ""
//
// Nothing is added, and nobody is asked: no Ceph, no cluster, no Helm. On an error
// nothing is written.
//
// Unlike rendered pairs, a StatefulSet here may have any
// persistentVolumeClaimRetentionPolicy: when Kubernetes deletes a claim, the
// reconciler removes its PersistentVolume and keeps the image, and the next claim
// of that name gets both again.
func ForCluster(in io.Reader, out io.Writer) error {
	stream, err := readAll(in)
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	documents, err := split(stream)
	if err != nil {
		return err
	}
	var p clusterPlan
	for _, o := range objects(documents) {
		p.add(o)
	}
	p.mistakes = append(p.mistakes, p.images.mistakes()...)
	if err := p.mistakes.err(); err != nil {
		return err
	}
	if len(p.edits) == 0 {
		return write(out, []manifest.Document{{Body: stream}})
	}
	changed := map[*yaml.Node][]*yaml.RNode{}
	for _, edit := range p.edits {
		if err := edit.apply(); err != nil {
			return fmt.Errorf("%s: edit: %w", edit.origin.label(""), err)
		}
		changed[edit.origin.node.YNode()] = nil
	}
	rendered, err := rewrite(documents, changed)
	if err != nil {
		return err
	}
	return write(out, rendered)
}

// clusterPlan collects what a run for the cluster is going to do.
type clusterPlan struct {
	mistakes Mistakes
	edits    []clusterEdit
	images   namedImages
}

// clusterEdit is a claim, or a claim template, that changes.
type clusterEdit struct {
	origin object
	// claim is the origin's node, or that of a template in it.
	claim *yaml.RNode
	// class goes into the annotation, unless it is empty.
	class string
}

// add plans the edits of an object.
func (p *clusterPlan) add(o object) {
	if errs := misshapen(o); len(errs) > 0 {
		p.mistakes.add(o.label(o.node.GetNamespace()), errs...)
		return
	}
	var err error
	switch {
	case o.isClaim():
		var claim corev1.PersistentVolumeClaim
		if err = o.decode(&claim); err == nil {
			p.addClaim(o, &claim, annotations.OnClaim, o.node, nil)
		}
	case o.isStatefulSet():
		var set appsv1.StatefulSet
		if err = o.decode(&set); err == nil {
			err = p.addStatefulSet(o, &set)
		}
	}
	if err != nil {
		p.mistakes = append(p.mistakes, Mistake{o.label(""), err})
	}
}

func (p *clusterPlan) addStatefulSet(o object, set *appsv1.StatefulSet) error {
	migratable := false
	for i := range set.Spec.VolumeClaimTemplates {
		node, err := o.node.Pipe(yaml.Lookup("spec", "volumeClaimTemplates", fmt.Sprint(i)))
		if err != nil {
			return err
		}
		path := field.NewPath("spec", "volumeClaimTemplates").Index(i)
		migratable = p.addClaim(o, &set.Spec.VolumeClaimTemplates[i], annotations.OnTemplate, node, path) || migratable
	}
	if migratable {
		p.mistakes.add(o.label(set.Namespace), append(
			validateName(set.Name, field.NewPath("metadata", "name")),
			refuseHook(set.Annotations)...)...)
	}
	return nil
}

// addClaim plans the edit of a claim, or of the claim template at the path, and
// reports whether it is migratable.
func (p *clusterPlan) addClaim(o object, claim *corev1.PersistentVolumeClaim, place annotations.Place, node *yaml.RNode, path *field.Path) bool {
	label, metadata := o.label(o.node.GetNamespace()), child(path, "metadata")
	asked, errs := annotations.Parse(claim.Annotations, place, metadata.Child("annotations"))
	if !asked.Migratable || len(errs) > 0 {
		p.mistakes.add(label, errs...)
		return asked.Migratable
	}
	errs = append(validateName(claim.Name, metadata.Child("name")), claims.Refuse(claim, path)...)
	if volume := claim.Spec.VolumeName; volume != "" {
		errs = append(errs, field.Forbidden(child(path, "spec").Child("volumeName"), fmt.Sprintf("is set to %q, but the cluster makes and names the PersistentVolume; remove it, or, if --create client rendered the pair, go on with --create client", volume)))
	}
	var class string
	if name := claims.ClassName(claim); name != nil {
		class = *name
	}
	if class != "" && len(validation.IsDNS1123Subdomain(class)) > 0 {
		errs = append(errs, field.Invalid(claims.ClassPath(claim, path), class, "must be the name of a StorageClass"))
	} else if class != "" && asked.Class != "" && class != asked.Class {
		errs = append(errs, field.Invalid(metadata.Child("annotations").Key(annotations.Class), asked.Class, fmt.Sprintf("%s names %q; keep one of the two", claims.ClassPath(claim, path), class)))
	}
	p.mistakes.add(label, errs...)
	if asked.Image != "" {
		p.images = append(p.images, namedImage{label, imagePath(asked, path), asked.Image, place == annotations.OnTemplate})
	}
	if !renderedForCluster(claim) {
		p.edits = append(p.edits, clusterEdit{o, node, class})
	}
	return true
}

// renderedForCluster reports whether nothing is left to do for the claim.
func renderedForCluster(claim *corev1.PersistentVolumeClaim) bool {
	_, beta := claim.Annotations[betaClass]
	_, replicas := claim.Annotations[annotations.Replicas]
	class := claim.Spec.StorageClassName
	return class != nil && *class == "" && !beta && !replicas
}

func (e clusterEdit) apply() error {
	if err := setString(e.claim, "", "spec", "storageClassName"); err != nil {
		return err
	}
	if e.class != "" {
		if err := setString(e.claim, e.class, "metadata", "annotations", annotations.Class); err != nil {
			return err
		}
	}
	// Every claim that the StatefulSet controller makes has the annotations of its
	// template, and on a claim a number of replicas is a mistake.
	for _, key := range []string{betaClass, annotations.Replicas} {
		if err := e.claim.PipeE(yaml.Lookup("metadata", "annotations"), yaml.Clear(key)); err != nil {
			return err
		}
	}
	return nil
}
