package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Endpoint answers one kind of admission review. The object is what a refusal is
// noted at; it may be nil.
type Endpoint func(ctx context.Context, request admission.Request) (answer Answer, object client.Object)

// Endpoints are the guard's, with what they need besides.
type Endpoints struct {
	*Guard
	Decoder admission.Decoder
	// Mapper leads from the resource of a scale subresource to its kind.
	Mapper meta.RESTMapper
	// Label puts on a namespace the label by which the pod endpoint is called for it.
	Label func(ctx context.Context, namespace string) error

	lives shared[volumes.Found]
}

func malformed(err error) (Answer, client.Object) {
	return Answer{Result: Unknown, Reason: Malformed, Message: fmt.Sprintf("read the admission review: %v", err)}, nil
}

func allowed(reason Reason, warnings ...string) Answer {
	return Answer{Result: Allowed, Reason: reason, Warnings: warnings}
}

// Pod answers for a pod that is created.
func (e *Endpoints) Pod(ctx context.Context, request admission.Request) (Answer, client.Object) {
	pod, err := decodePod(request)
	if err != nil {
		return malformed(err)
	}
	pod.Namespace = request.Namespace
	// The API server has given the pod its UID. A request without a UID does not come from the API
	// server.
	start := &start{pod: cmp.Or(pod.UID, ownership.Many), dryRun: isDryRun(request)}
	if pod.Spec.NodeName == "" {
		start.unbound = []string{string(start.pod)}
	} else {
		node, err := e.node(ctx, pod.Spec.NodeName)
		if err != nil {
			return cannotKnow(KubernetesUnknown, "a volume of pod "+pod.Namespace+"/"+pod.Name, err), nil
		}
		start.nodes, start.unasked = []ceph.Node{node}, true
	}
	return e.claims(ctx, request.Namespace, volumes.ClaimsOfPod(pod.Name, &pod.Spec), start), maker(pod)
}

// decodePod reads of a pod what it is, where it goes, and its volumes. Most of what is sent are
// its containers, which nobody looks at here.
func decodePod(request admission.Request) (*corev1.Pod, error) {
	var read struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			NodeName string          `json:"nodeName"`
			Volumes  []corev1.Volume `json:"volumes"`
		} `json:"spec"`
	}
	if len(request.Object.Raw) == 0 {
		return nil, errors.New("there is no content to decode")
	}
	if err := json.Unmarshal(request.Object.Raw, &read); err != nil {
		return nil, fmt.Errorf("decode the pod: %w", err)
	}
	if read.APIVersion != "v1" || read.Kind != "Pod" {
		return nil, fmt.Errorf("its object is a %s of %s, and not a Pod of v1", read.Kind, read.APIVersion)
	}
	return &corev1.Pod{
		TypeMeta: read.TypeMeta, ObjectMeta: read.ObjectMeta,
		Spec: corev1.PodSpec{NodeName: read.Spec.NodeName, Volumes: read.Spec.Volumes},
	}, nil
}

// maker is who makes the pod, where people look for the reason that it is missing,
// or the pod itself if nobody does.
func maker(pod *corev1.Pod) client.Object {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return pod
	}
	object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: owner.APIVersion, Kind: owner.Kind}}
	object.Namespace, object.Name, object.UID = pod.Namespace, owner.Name, owner.UID
	return object
}

// Scale answers for a scale subresource, and for a Deployment or StatefulSet that
// is created or changed. What is created is never refused for its volumes, see [created].
func (e *Endpoints) Scale(ctx context.Context, request admission.Request) (Answer, client.Object) {
	var workload volumes.Workload
	var from, to int
	var err error
	switch {
	case request.SubResource == "scale":
		from, to, err = e.scaleReplicas(request)
	case request.Kind.Group == appsv1.GroupName && request.Kind.Kind == "Deployment":
		workload, from, to, err = e.deployment(request)
	case request.Kind.Group == appsv1.GroupName && request.Kind.Kind == "StatefulSet":
		workload, from, to, err = e.statefulSet(request)
	default:
		err = fmt.Errorf("this endpoint does not handle kind %s", request.Kind.Kind)
	}
	if err != nil {
		return malformed(err)
	}
	if to <= from {
		return allowed(NotRising), nil
	}
	if workload.Object == nil {
		if workload, err = e.target(ctx, request); err != nil {
			return cannotKnow(KubernetesUnknown, fmt.Sprintf("what %s/%s uses", request.Namespace, request.Name), err), nil
		}
	}
	if workload.Template == nil {
		return allowed(PodsUnknown), workload.Object
	}
	claims, more := workload.NewClaims(from, to, mostAhead)
	answer := e.claims(ctx, request.Namespace, claims, nil)
	if more > 0 && answer.Result == Allowed && len(answer.Volumes) > 0 {
		answer.Warnings = append(answer.Warnings, notAhead(len(claims), more))
	}
	if request.Operation == admissionv1.Create {
		answer = created(fmt.Sprintf("%s %s/%s", request.Kind.Kind, request.Namespace, workload.Object.GetName()), answer)
	}
	return answer, workload.Object
}

func isDryRun(request admission.Request) bool { return request.DryRun != nil && *request.DryRun }

// scaleReplicas reads the replicas of a scale subresource. Zero is left out of
// the JSON.
func (e *Endpoints) scaleReplicas(request admission.Request) (from, to int, err error) {
	var before, after autoscalingv1.Scale
	if err := decodeBoth(e.Decoder, request, &before, &after); err != nil {
		return 0, 0, err
	}
	return int(before.Spec.Replicas), int(after.Spec.Replicas), nil
}

func (e *Endpoints) deployment(request admission.Request) (volumes.Workload, int, int, error) {
	var before, after appsv1.Deployment
	if err := decodeBoth(e.Decoder, request, &before, &after); err != nil {
		return volumes.Workload{}, 0, 0, err
	}
	after.Namespace = request.Namespace
	return volumes.OfDeployment(&after), replicas(request, before.Spec.Replicas), replicasOf(after.Spec.Replicas), nil
}

func (e *Endpoints) statefulSet(request admission.Request) (volumes.Workload, int, int, error) {
	var before, after appsv1.StatefulSet
	if err := decodeBoth(e.Decoder, request, &before, &after); err != nil {
		return volumes.Workload{}, 0, 0, err
	}
	after.Namespace = request.Namespace
	return volumes.OfStatefulSet(&after), replicas(request, before.Spec.Replicas), replicasOf(after.Spec.Replicas), nil
}

// replicas are those of the old object: none when there was none.
func replicas(request admission.Request, old *int32) int {
	if request.Operation == admissionv1.Create {
		return 0
	}
	return replicasOf(old)
}

// replicasOf knows the default.
func replicasOf(n *int32) int {
	if n == nil {
		return 1
	}
	return int(*n)
}

// decodeBoth reads the new object and, unless it is being created, the old one.
func decodeBoth(decoder admission.Decoder, request admission.Request, before, after runtime.Object) error {
	if err := decoder.Decode(request, after); err != nil {
		return err
	}
	if request.Operation == admissionv1.Create {
		return nil
	}
	return decoder.DecodeRaw(request.OldObject, before)
}

// target reads the object whose scale subresource the request is about.
func (e *Endpoints) target(ctx context.Context, request admission.Request) (volumes.Workload, error) {
	resource := schema.GroupVersionResource(request.Resource)
	kind, err := e.Mapper.KindFor(resource)
	if err != nil {
		return volumes.Workload{}, fmt.Errorf("find the kind of %s: %w", resource, err)
	}
	return e.Finder.Get(ctx, kind, client.ObjectKey{Namespace: request.Namespace, Name: request.Name})
}
