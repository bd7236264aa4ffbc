package move

import (
	"context"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// The annotations of a workload that is being moved, in the source.
const (
	// Replicas is what it had.
	Replicas = "move.cephferry.io/replicas"
	// To is the uid of the cluster that it goes to.
	To = "move.cephferry.io/to"
)

// The annotations by which Helm and its charts say whose an object is.
const (
	releaseAnnotation = "meta.helm.sh/release-name"
	releaseLabel      = "app.kubernetes.io/instance"
)

// Kind is what can be moved.
type Kind string

// The kinds, as kubectl names them.
const (
	Deployment  Kind = "deployment"
	StatefulSet Kind = "statefulset"
)

// Name is a workload's.
type Name struct {
	Kind Kind
	Name string
}

func (n Name) String() string { return string(n.Kind) + "/" + n.Name }

// workload is one of a cluster.
type workload struct {
	Name
	object client.Object
}

// get reads a workload; nil if it is not there.
func get(ctx context.Context, api client.Reader, namespace string, name Name) (*workload, error) {
	var object client.Object = &appsv1.Deployment{}
	if name.Kind == StatefulSet {
		object = &appsv1.StatefulSet{}
	}
	err := api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return &workload{name, object}, nil
}

// list reads the workloads of a namespace, of one release if it is named.
func list(ctx context.Context, api client.Reader, namespace, release string) ([]*workload, error) {
	var deployments appsv1.DeploymentList
	if err := api.List(ctx, &deployments, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list Deployments in namespace %s: %w", namespace, err)
	}
	var sets appsv1.StatefulSetList
	if err := api.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list StatefulSets in namespace %s: %w", namespace, err)
	}
	var all []*workload
	add := func(kind Kind, object client.Object) {
		if release == "" || object.GetAnnotations()[releaseAnnotation] == release || object.GetLabels()[releaseLabel] == release {
			all = append(all, &workload{Name{kind, object.GetName()}, object})
		}
	}
	for i := range deployments.Items {
		add(Deployment, &deployments.Items[i])
	}
	for i := range sets.Items {
		add(StatefulSet, &sets.Items[i])
	}
	return all, nil
}

// replicas is how many pods it is to have.
func (w *workload) replicas() int32 {
	replicas := w.wanted()
	if *replicas == nil {
		return 1 // as the API server fills it in
	}
	return **replicas
}

func (w *workload) wanted() **int32 {
	if set, ok := w.object.(*appsv1.StatefulSet); ok {
		return &set.Spec.Replicas
	}
	return &w.object.(*appsv1.Deployment).Spec.Replicas
}

// ready reports whether all of its pods are.
func (w *workload) ready() bool {
	var observed int64
	var ready int32
	switch object := w.object.(type) {
	case *appsv1.StatefulSet:
		observed, ready = object.Status.ObservedGeneration, object.Status.ReadyReplicas
	case *appsv1.Deployment:
		observed, ready = object.Status.ObservedGeneration, object.Status.ReadyReplicas
	}
	return observed >= w.object.GetGeneration() && ready >= w.replicas()
}

// selector selects its pods.
func (w *workload) selector() *metav1.LabelSelector {
	if set, ok := w.object.(*appsv1.StatefulSet); ok {
		return set.Spec.Selector
	}
	return w.object.(*appsv1.Deployment).Spec.Selector
}

// mostClaims bounds the claims of one workload.
const mostClaims = 10_000

// claims are those of its pods, if it has that many.
func (w *workload) claims(replicas int32) []string {
	var of volumes.Workload
	switch object := w.object.(type) {
	case *appsv1.StatefulSet:
		of = volumes.OfStatefulSet(object)
	case *appsv1.Deployment:
		of = volumes.OfDeployment(object)
	}
	claims, _ := of.NewClaims(0, int(replicas), mostClaims)
	return claims
}

// begun is what was written when a move began, and whereto; 0 if none did.
func (w *workload) begun() (replicas int32, to string, err error) {
	text, ok := w.object.GetAnnotations()[Replicas]
	if !ok {
		return 0, "", nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, "", refuse("correct or remove the annotation", "%s has the annotation %s: %q, which is not a number of replicas", w.Name, Replicas, text)
	}
	return int32(n), w.object.GetAnnotations()[To], nil
}

// scale changes a workload, if it still is what was read. note is written on it, and
// taken off it where the value is empty.
func (w *workload) scale(ctx context.Context, api client.Client, replicas int32, note map[string]string) error {
	before := w.object.DeepCopyObject().(client.Object)
	*w.wanted() = &replicas
	annotations := w.object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	for key, value := range note {
		if value == "" {
			delete(annotations, key)
		} else {
			annotations[key] = value
		}
	}
	w.object.SetAnnotations(annotations)
	if err := api.Patch(ctx, w.object, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("scale %s to %d: %w", w.Name, replicas, err)
	}
	return nil
}

// forget takes the annotations of a move off.
var forget = map[string]string{Replicas: "", To: ""}
