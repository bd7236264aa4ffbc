package volumes

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Workload is what is scaled.
type Workload struct {
	// Object identifies it, for events.
	Object client.Object
	// Template is its pod template; nil when its pods are not known, which then
	// only the pod endpoint sees.
	Template *corev1.PodSpec
	// ClaimTemplates and Start are a StatefulSet's.
	ClaimTemplates []string
	Start          int
}

// OfDeployment reads a Deployment.
func OfDeployment(d *appsv1.Deployment) Workload {
	return Workload{Object: d, Template: &d.Spec.Template.Spec}
}

// OfStatefulSet reads a StatefulSet.
func OfStatefulSet(s *appsv1.StatefulSet) Workload {
	w := Workload{Object: s, Template: &s.Spec.Template.Spec}
	for _, template := range s.Spec.VolumeClaimTemplates {
		w.ClaimTemplates = append(w.ClaimTemplates, template.Name)
	}
	if s.Spec.Ordinals != nil {
		w.Start = int(s.Spec.Ordinals.Start)
	}
	return w
}

// Get reads the workload that a scale subresource belongs to, from the API server:
// scaling is rare, and a cache of all workloads is large. A custom resource is
// understood if it has a pod template at spec.template.
func (f Finder) Get(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) (Workload, error) {
	switch kind.GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		var d appsv1.Deployment
		if err := f.API.Get(ctx, key, &d); err != nil {
			return Workload{}, f.wrap(err, kind, key)
		}
		return OfDeployment(&d), nil
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		var s appsv1.StatefulSet
		if err := f.API.Get(ctx, key, &s); err != nil {
			return Workload{}, f.wrap(err, kind, key)
		}
		return OfStatefulSet(&s), nil
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		var r appsv1.ReplicaSet
		if err := f.API.Get(ctx, key, &r); err != nil {
			return Workload{}, f.wrap(err, kind, key)
		}
		return Workload{Object: &r, Template: &r.Spec.Template.Spec}, nil
	case schema.GroupKind{Kind: "ReplicationController"}:
		var r corev1.ReplicationController
		if err := f.API.Get(ctx, key, &r); err != nil {
			return Workload{}, f.wrap(err, kind, key)
		}
		w := Workload{Object: &r}
		if r.Spec.Template != nil {
			w.Template = &r.Spec.Template.Spec
		}
		return w, nil
	}
	return f.custom(ctx, kind, key)
}

// custom reads a custom resource.
func (f Finder) custom(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) (Workload, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	err := f.API.Get(ctx, key, object)
	if apierrors.IsForbidden(err) {
		// The chart grants rights on custom resources only by a value. Refusing
		// would stop the scaling of every kind that has nothing to do with us.
		object.SetNamespace(key.Namespace)
		object.SetName(key.Name)
		return Workload{Object: object}, nil
	} else if err != nil {
		return Workload{}, f.wrap(err, kind, key)
	}
	spec, ok, err := unstructured.NestedMap(object.Object, "spec", "template", "spec")
	if err != nil || !ok {
		return Workload{Object: object}, nil
	}
	var template corev1.PodSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &template); err != nil {
		return Workload{Object: object}, nil
	}
	return Workload{Object: object, Template: &template}, nil
}

func (f Finder) wrap(err error, kind schema.GroupVersionKind, key client.ObjectKey) error {
	return fmt.Errorf("read %s %s: %w", kind.Kind, key, err)
}

// NewClaims returns the claims of the pods that a change of the replicas from one number
// to another adds: the template's, and of a StatefulSet those of the new ordinals only, in
// the order in which they start. It returns most at most, and how many more there are.
func (w Workload) NewClaims(from, to, most int) (claims []string, more int) {
	if w.Template == nil || to <= from {
		return nil, 0
	}
	templated := map[string]bool{}
	for _, template := range w.ClaimTemplates {
		templated[template] = true
	}
	known := map[string]bool{}
	for _, volume := range w.Template.Volumes {
		// A claim template goes before a volume of the same name.
		if source := volume.PersistentVolumeClaim; source != nil && !templated[volume.Name] && !known[source.ClaimName] {
			known[source.ClaimName] = true
			claims = append(claims, source.ClaimName)
		}
	}
	all := len(claims) + (to-from)*len(w.ClaimTemplates)
	claims = claims[:min(most, len(claims))]
	for i := 0; len(claims) < min(most, all); i++ {
		ordinal, template := w.Start+from+i/len(w.ClaimTemplates), w.ClaimTemplates[i%len(w.ClaimTemplates)]
		claims = append(claims, staticpv.ClaimName(template, w.Object.GetName(), ordinal))
	}
	return claims, all - len(claims)
}
