package provisioner

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// plan is what a claim gets. Nothing of it has been looked up in Ceph.
type plan struct {
	asked annotations.Claim
	image string
	class storageclass.Class
	// mapping is what claim and class say of how the image is mapped.
	mapping staticpv.Mapping
}

// isOurs reports whether the cluster is to make the claim's volume. A claim with
// mistakes in its annotations is ours too when it waits for a volume: nobody else
// would ever tell.
func isOurs(claim *corev1.PersistentVolumeClaim) bool {
	class := claims.ClassName(claim)
	return class != nil && *class == "" &&
		claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil &&
		(claim.Status.Phase == corev1.ClaimPending || claim.Status.Phase == "") &&
		annotations.Has(claim.Annotations) && claim.Annotations[annotations.Migratable] != "false"
}

// plan finds out what the claim gets, or returns every mistake that can be seen
// without Ceph.
func (c *Claims) plan(ctx context.Context, claim *corev1.PersistentVolumeClaim) (plan, error) {
	template, err := c.template(ctx, claim)
	if err != nil {
		return plan{}, err
	}
	place := annotations.OnClaim
	if template != nil {
		place = annotations.OnTemplate // it says for how many ordinals, which is nothing to us
	}
	asked, errs := annotations.Parse(claim.Annotations, place, field.NewPath("metadata", "annotations"))
	errs = append(errs, claims.Refuse(claim, nil)...)
	p := plan{asked: asked}
	if asked.Migratable {
		var mistake *field.Error
		if p.image, mistake = imageName(claim, asked, template); mistake != nil {
			errs = append(errs, mistake)
		} else if mistake, err = c.tenant(ctx, claim, p.image); err != nil {
			return plan{}, err
		} else if mistake != nil {
			errs = append(errs, mistake)
		}
		classErrs, err := c.class(ctx, claim, &p)
		if err != nil {
			return plan{}, err
		}
		errs = append(errs, classErrs...)
		if len(errs) == 0 {
			if err := staticpv.ValidateHandle(p.image, p.class); err != nil {
				errs = append(errs, field.Invalid(annotationPath(annotations.Image), p.image, err.Error()))
			}
		}
	}
	if len(errs) > 0 {
		return plan{}, mistakes(errs)
	}
	return p, nil
}

// template returns the claim template that the claim was made from, if it matters.
func (c *Claims) template(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	_, hasImage := claim.Annotations[annotations.Image]
	_, hasReplicas := claim.Annotations[annotations.Replicas]
	if _, numbered := ordinal(claim.Name); !numbered || !hasImage && !hasReplicas {
		return nil, nil
	}
	var sets appsv1.StatefulSetList
	if err := c.API.List(ctx, &sets, client.InNamespace(claim.Namespace)); err != nil {
		return nil, fmt.Errorf("list the StatefulSets of namespace %s: %w", claim.Namespace, err)
	}
	return templateOf(claim, sets.Items), nil
}

// tenant refuses images that the namespace may not use.
func (c *Claims) tenant(ctx context.Context, claim *corev1.PersistentVolumeClaim, image string) (*field.Error, error) {
	var namespace corev1.Namespace
	if err := c.Client.Get(ctx, client.ObjectKey{Name: claim.Namespace}, &namespace); err != nil {
		return nil, fmt.Errorf("read namespace %s: %w", claim.Namespace, err)
	}
	may, unread := mayUse(&namespace, image)
	switch {
	case may:
		return nil, nil
	case unread != nil:
		return field.Forbidden(annotationPath(annotations.Image), unread.Error()), nil
	default:
		return field.Forbidden(annotationPath(annotations.Image), fmt.Sprintf(
			"namespace %s may use images whose names begin with %q, and image %q is not granted to it; the platform team grants it with the annotation %s on the namespace",
			claim.Namespace, claim.Namespace+".", image, Images)), nil
	}
}

// class finds the claim's class and what the class refuses.
func (c *Claims) class(ctx context.Context, claim *corev1.PersistentVolumeClaim, p *plan) (field.ErrorList, error) {
	var classes storagev1.StorageClassList
	if err := c.Client.List(ctx, &classes); err != nil {
		return nil, fmt.Errorf("list the StorageClasses: %w", err)
	}
	path := annotationPath(annotations.Class)
	found, err := storageclass.Find(classes.Items, p.asked.Class)
	if err != nil {
		return field.ErrorList{field.Invalid(path, p.asked.Class, err.Error())}, nil
	}
	class, errs := storageclass.Parse(found)
	if len(errs) > 0 {
		return field.ErrorList{field.Invalid(path, found.Name, "StorageClass "+found.Name+": "+text(errs))}, nil
	}
	if class.ProvisionerSecret.Name == "" || class.ProvisionerSecret.Namespace == "" {
		errs = append(errs, field.Invalid(path, found.Name, "StorageClass "+found.Name+" names no secret to make images with: set its parameters csi.storage.k8s.io/provisioner-secret-name and -namespace"))
	}
	p.class = class
	var mistakes field.ErrorList
	p.mapping, mistakes = staticpv.MappingOf(claim, p.asked, class, nil)
	errs = append(errs, mistakes...)
	if class.CephFS != nil {
		return append(errs, claims.RefuseOnCephFS(claim, class.Name, nil)...), nil
	}
	return append(errs, claims.RefuseOnRBD(claim, class.Name, nil)...), nil
}

// kind is what the class makes.
func (p *plan) kind() string {
	if p.class.CephFS != nil {
		return "subvolume"
	}
	return "image"
}

// volume is the PersistentVolume to create. Its capacity is the claim's request, or
// what an adopted image has if that is more.
func (p *plan) volume(claim *corev1.PersistentVolumeClaim, made provision.Result) *corev1.PersistentVolume {
	capacity := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if p.asked.Adopt && made.ClaimSize > uint64(capacity.Value()) {
		capacity = *resource.NewQuantity(int64(made.ClaimSize), resource.BinarySI)
	}
	pv := staticpv.New(staticpv.Claim{
		Namespace:   claim.Namespace,
		Name:        claim.Name,
		Image:       p.image,
		Size:        capacity,
		AccessModes: claim.Spec.AccessModes,
		VolumeMode:  claims.VolumeMode(claim),
		Annotations: map[string]string{CreatedBy: byCluster},
		Features:    made.Features,
		RootPath:    made.Path,
		Exclusive:   made.Exclusive,
	}, p.class)
	// The binder looks at once for a claim that a volume names by uid, and at its
	// next round, up to 15 s later, for one that it names otherwise.
	pv.Spec.ClaimRef.UID = claim.UID
	return pv
}
