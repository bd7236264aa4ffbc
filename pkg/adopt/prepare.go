package adopt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Prepare looks at a claim, and decides. It changes nothing.
func (a *Adopter) Prepare(ctx context.Context, name types.NamespacedName) (*Plan, error) {
	seen := Seen{Name: name}
	var err error
	if seen.Saved, err = a.Files.read(name); err != nil {
		return nil, err
	}
	if seen.Claim, err = get[corev1.PersistentVolumeClaim](ctx, a.API, name); err != nil {
		return nil, err
	}
	volume := ""
	switch {
	case seen.Saved != nil:
		volume = seen.Saved.PV.Name
	case seen.Claim != nil:
		volume = seen.Claim.Spec.VolumeName
	}
	if volume != "" {
		if seen.PV, err = get[corev1.PersistentVolume](ctx, a.API, types.NamespacedName{Name: volume}); err != nil {
			return nil, err
		}
	}
	if seen.Namespace, err = get[corev1.Namespace](ctx, a.API, types.NamespacedName{Name: name.Namespace}); err != nil {
		return nil, err
	}
	if seen.Namespace == nil {
		return nil, refuse("namespace %s is not there", name.Namespace)
	}
	if err := a.surroundings(ctx, &seen); err != nil {
		return nil, err
	}
	plan, err := Decide(seen, a.Class, a.Files.Path(name))
	if err != nil {
		return nil, err
	}
	if plan.Step == Begin {
		// A run that died may have granted it.
		plan.Old.Granted = seen.Saved != nil && seen.Saved.Granted || !a.Granted(seen.Namespace, plan.Image)
	}
	return plan, a.mayAll(ctx, plan)
}

// mayAll refuses what would break off half-way for want of a right.
func (a *Adopter) mayAll(ctx context.Context, plan *Plan) error {
	needed := []struct{ verb, resource, namespace string }{
		{"patch", "persistentvolumes", ""}, {"delete", "persistentvolumes", ""},
		{"delete", "persistentvolumeclaims", plan.Name.Namespace}, {"create", "persistentvolumeclaims", plan.Name.Namespace},
	}
	if plan.Step == Done {
		return nil
	}
	if plan.Old.Granted {
		needed = append(needed, struct{ verb, resource, namespace string }{"patch", "namespaces", ""})
	}
	var reasons []string
	for _, right := range needed {
		may, err := a.May(ctx, right.verb, right.resource, right.namespace)
		if err != nil {
			return err
		}
		if !may {
			reasons = append(reasons, fmt.Sprintf("you may not %s %s, which adopting claim %s takes", right.verb, right.resource, plan.Name))
		}
	}
	if len(reasons) > 0 {
		return &Refusal{reasons}
	}
	return nil
}

// surroundings reads what else there is.
func (a *Adopter) surroundings(ctx context.Context, seen *Seen) error {
	source := usage.Source{Reader: a.API}
	err := errors.Join(
		a.users(ctx, seen),
		a.snapshots(ctx, seen),
		usage.EachPage(ctx, source, func(list *corev1.PersistentVolumeList) { seen.PVs = append(seen.PVs, list.Items...) }),
		usage.EachPage(ctx, source, func(list *storagev1.StorageClassList) { seen.Classes = append(seen.Classes, list.Items...) }),
	)
	if err != nil {
		return fmt.Errorf("look at what there is beside claim %s: %w", seen.Name, err)
	}
	var shown v1alpha1.MigratableVolume
	if err := a.API.Get(ctx, seen.Name, &shown); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read MigratableVolume %s: %w", seen.Name, err)
	} else if owner := shown.Status.Owner; err == nil && owner != nil && !owner.ThisCluster {
		seen.Owner = owner.Name
	}
	return nil
}

var snapshotList = schema.GroupVersionKind{Group: "snapshot.storage.k8s.io", Version: "v1", Kind: "VolumeSnapshotList"}

// snapshots reads which VolumeSnapshots there are of the claim. A cluster may not know the kind.
func (a *Adopter) snapshots(ctx context.Context, seen *Seen) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(snapshotList)
	err := a.API.List(ctx, &list, client.InNamespace(seen.Name.Namespace))
	switch {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		seen.Unlisted = true
		return nil
	case err != nil:
		return fmt.Errorf("list VolumeSnapshots: %w", err)
	}
	for _, snapshot := range list.Items {
		if of, _, _ := unstructured.NestedString(snapshot.Object, "spec", "source", "persistentVolumeClaimName"); of == seen.Name.Name {
			seen.Snapshots = append(seen.Snapshots, snapshot.GetName())
		}
	}
	return nil
}

// get returns nil if the object is not there.
func get[T any, P interface {
	*T
	client.Object
}](ctx context.Context, api client.Reader, name types.NamespacedName) (P, error) {
	object := P(new(T))
	err := api.Get(ctx, name, object)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %T %s: %w", object, strings.TrimPrefix(name.String(), "/"), err)
	}
	return object, nil
}

// users reads what may use a volume.
func (a *Adopter) users(ctx context.Context, seen *Seen) error {
	source := usage.Source{Reader: a.API}
	err := errors.Join(
		usage.EachPage(ctx, source, func(list *corev1.PodList) { seen.Pods = append(seen.Pods, list.Items...) }, client.InNamespace(seen.Name.Namespace)),
		usage.EachPage(ctx, source, func(list *storagev1.VolumeAttachmentList) { seen.Attachments = append(seen.Attachments, list.Items...) }),
		usage.EachPage(ctx, source, func(list *corev1.NodeList) { seen.Nodes = append(seen.Nodes, list.Items...) }),
	)
	if err != nil {
		return fmt.Errorf("look at what uses claim %s: %w", seen.Name, err)
	}
	return nil
}
