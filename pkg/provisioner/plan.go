package provisioner

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	staticpv.Plan
	// size is what the image is to have if that is more than the claim's request; nil
	// is the request.
	size *resource.Quantity
	// denied is why the namespace may not use the image by the name that it has until it is
	// adopted. After that nothing is wrong with it.
	denied error
}

// waits reports whether the claim waits for a volume that the cluster is to make. One with
// mistakes in its annotations does too: nobody else would ever tell.
func waits(claim *corev1.PersistentVolumeClaim) bool {
	return doorOf(claim) != noDoor && claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil &&
		(claim.Status.Phase == corev1.ClaimPending || claim.Status.Phase == "")
}

// isOurs is waits for a claim whose class was looked at: the annotation by which the
// PersistentVolume controller names us can be written by anybody, and until the controller
// has corrected it, nothing must be done to a claim of somebody else's.
func (p Planner) isOurs(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	if !waits(claim) || doorOf(claim) != byClass {
		return waits(claim), nil
	}
	var class storagev1.StorageClass
	err := p.Cache.Get(ctx, client.ObjectKey{Name: *claims.ClassName(claim)}, &class)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil // which is told
	case err != nil:
		return false, fmt.Errorf("read StorageClass %s: %w", *claims.ClassName(claim), err)
	}
	return storageclass.IsOurs(&class), nil
}

// Planner says what claims get.
type Planner struct {
	// Cache may be behind, API is the API server.
	Cache, API client.Reader
	// Storages tell whether two clusterIDs are one. Without, those that differ are two.
	Storages Storages
}

// Volume returns the PersistentVolume that a claim waits for, as far as it is known without
// asking Ceph; nil if the provisioner does not make one for it. It returns every mistake in
// the claim, in its class, or in what its namespace may use.
func (p Planner) Volume(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolume, error) {
	if ours, err := p.isOurs(ctx, claim); !ours || err != nil {
		return nil, err
	}
	planned, err := p.plan(ctx, claim)
	if err != nil {
		return nil, err
	}
	return planned.volume(claim, provision.Result{}), nil
}

// plan finds out what the claim gets, or returns every mistake that can be seen
// without Ceph.
func (p Planner) plan(ctx context.Context, claim *corev1.PersistentVolumeClaim) (plan, error) {
	template, err := p.template(ctx, claim)
	if err != nil {
		return plan{}, err
	}
	place := annotations.OnClaim
	if template != nil {
		place = annotations.OnTemplate // it says for how many ordinals, which is nothing to us
	}
	asked, errs := askedOf(claim, place)
	errs = append(errs, claims.Refuse(claim, nil)...)
	if !asked.Migratable {
		return plan{}, mistakes(errs)
	}
	names, mistake := namesOf(claim, asked, template)
	if mistake == nil {
		mistake, err = p.tenant(ctx, claim, names.Image, annotations.Image)
	}
	if err != nil {
		return plan{}, err
	} else if mistake != nil {
		errs = append(errs, mistake)
	}
	planned, more, err := p.planFor(ctx, claim, asked, names)
	if err != nil {
		return plan{}, err
	}
	if errs = append(errs, more...); len(errs) > 0 {
		return plan{}, mistakes(errs)
	}
	if asked.OldName != "" {
		mistake, err := p.tenant(ctx, claim, asked.OldName, annotations.Adopt)
		if err != nil {
			return plan{}, err
		} else if mistake != nil {
			planned.denied = mistakes(field.ErrorList{mistake})
		}
	}
	return planned, nil
}

// planFor is what the claim gets with its class, and what speaks against it.
func (p Planner) planFor(ctx context.Context, claim *corev1.PersistentVolumeClaim, asked annotations.Claim, names staticpv.Names) (plan, field.ErrorList, error) {
	path := annotationPath(annotations.Class)
	if doorOf(claim) == byClass {
		path = claims.ClassPath(claim, nil)
	}
	class, errs, err := p.class(ctx, asked.Class, path)
	if class == nil || err != nil {
		return plan{}, errs, err
	}
	plans, more := staticpv.Plans(staticpv.Input{Claim: claim, Namespace: claim.Namespace, Asked: asked, Class: *class}, names)
	planned := plan{Plan: plans[0], size: asked.Size}
	if doorOf(claim) == byClass {
		planned.StorageClassName = asked.Class
	}
	return planned, append(errs, more...), nil
}

// template returns the claim template that the claim was made from, if it matters.
func (p Planner) template(ctx context.Context, claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
	_, hasImage := claim.Annotations[annotations.Image]
	_, hasReplicas := claim.Annotations[annotations.Replicas]
	if _, numbered := ordinal(claim.Name); !numbered || !hasImage && !hasReplicas {
		return nil, nil
	}
	var sets appsv1.StatefulSetList
	if err := p.API.List(ctx, &sets, client.InNamespace(claim.Namespace)); err != nil {
		return nil, fmt.Errorf("list the StatefulSets of namespace %s: %w", claim.Namespace, err)
	}
	return templateOf(claim, sets.Items), nil
}

// tenant refuses images that the namespace may not use. The annotation names the image.
func (p Planner) tenant(ctx context.Context, claim *corev1.PersistentVolumeClaim, image, annotation string) (*field.Error, error) {
	var namespace corev1.Namespace
	if err := p.Cache.Get(ctx, client.ObjectKey{Name: claim.Namespace}, &namespace); err != nil {
		return nil, fmt.Errorf("read namespace %s: %w", claim.Namespace, err)
	}
	may, unread := mayUse(&namespace, image)
	switch {
	case may:
		return nil, nil
	case unread != nil:
		return field.Forbidden(annotationPath(annotation), unread.Error()), nil
	default:
		return field.Forbidden(annotationPath(annotation), fmt.Sprintf(
			"namespace %s may use images whose names begin with %q, and image %q is not granted to it; the platform team grants it with the annotation %s on the namespace",
			claim.Namespace, claim.Namespace+".", image, Images)), nil
	}
}

// class finds the class that a claim asks for at path, and what is wrong with it; nil if
// it cannot be used at all.
func (p Planner) class(ctx context.Context, name string, path *field.Path) (*storageclass.Class, field.ErrorList, error) {
	var classes storagev1.StorageClassList
	if err := p.Cache.List(ctx, &classes); err != nil {
		return nil, nil, fmt.Errorf("list the StorageClasses: %w", err)
	}
	found, err := storageclass.Find(classes.Items, name)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(path, name, err.Error())}, nil
	}
	class, errs := storageclass.Settings(classes.Items, found)
	if len(errs) > 0 {
		return nil, field.ErrorList{field.Invalid(path, found.Name, "StorageClass "+found.Name+": "+text(errs))}, nil
	}
	if class.ProvisionerSecret.Name == "" || class.ProvisionerSecret.Namespace == "" {
		errs = append(errs, field.Invalid(path, found.Name, "StorageClass "+found.Name+" names no secret to make images with: set its parameters csi.storage.k8s.io/provisioner-secret-name and -namespace"))
	}
	return &class, errs, nil
}

// larger is the size that the image is to have.
func (p *plan) larger() *resource.Quantity {
	if p.size != nil && p.size.Cmp(p.Request) > 0 {
		return p.size
	}
	return &p.Request
}

// atOnce reports whether the volume is larger for whoever has it mounted as soon as it has
// grown, without a filesystem that follows.
func (p *plan) atOnce() bool {
	return p.Class.CephFS != nil || p.VolumeMode == corev1.PersistentVolumeBlock
}

// kind is what the class makes.
func (p *plan) kind() string {
	if p.Class.CephFS != nil {
		return "subvolume"
	}
	return "image"
}

// volume is the PersistentVolume to create. Its capacity is the claim's request, or
// what an adopted image has if that is more.
func (p *plan) volume(claim *corev1.PersistentVolumeClaim, made provision.Result) *corev1.PersistentVolume {
	capacity := p.Request
	if p.Adopt && made.ClaimSize > uint64(capacity.Value()) {
		capacity = *resource.NewQuantity(int64(made.ClaimSize), resource.BinarySI)
	}
	pv := p.PV(staticpv.Made{
		Size:        capacity,
		Annotations: map[string]string{CreatedBy: byCluster},
		Door:        doorOf(claim),
		Features:    made.Features,
		RootPath:    made.Path,
		Exclusive:   made.Exclusive,
		Private:     made.Private,
		Key:         made.Key,
	})
	// The binder looks at once for a claim that a volume names by uid, and at its
	// next round, up to 15 s later, for one that it names otherwise.
	pv.Spec.ClaimRef.UID = claim.UID
	return pv
}
