package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/guard"
)

// review is an AdmissionReview as the API server sends it, with the answer that
// is right.
type review struct {
	path string
	body []byte
	// reason is that of a right answer: an allowed one has it in its message. A
	// refused one has the sentence for people.
	reason string
	code   int32
}

// allowed is what an answer with that reason looks like.
func (r review) allowed(reason guard.Reason) review {
	r.reason, r.code = string(reason), http.StatusOK
	return r
}

func (r review) refused() review {
	r.reason, r.code = "is in use by another cluster", http.StatusForbidden
	return r
}

// podReview is about a new pod that uses the claim.
func podReview(claim string) (review, error) {
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "app-" + claim, Namespace: namespace,
			Labels:      map[string]string{"app.kubernetes.io/name": "app", "app.kubernetes.io/instance": claim},
			Annotations: map[string]string{"checksum/config": strings.Repeat("0123456789abcdef", 4)},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "app", Image: "example/app:1.0", Args: []string{"--listen=:8080", "--data=/var/lib/app"},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
				Env:   []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/var/lib/app"}, {Name: "config", MountPath: "/etc/app"}},
			}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}},
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}},
			},
			ServiceAccountName: "default", SchedulerName: "default-scheduler", RestartPolicy: corev1.RestartPolicyAlways,
		},
	}
	return newReview("/validate/pod", admissionv1.AdmissionRequest{
		Kind:      metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Name:      pod.Name,
		Operation: admissionv1.Create,
	}, pod, nil)
}

// scaleReview is about a StatefulSet that goes from no replica to one.
func scaleReview(statefulSet string) (review, error) {
	scale := func(replicas int32) *autoscalingv1.Scale {
		return &autoscalingv1.Scale{
			TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
			ObjectMeta: metav1.ObjectMeta{Name: statefulSet, Namespace: namespace},
			Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
		}
	}
	return newReview("/validate/scale", admissionv1.AdmissionRequest{
		Kind:        metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"},
		Resource:    metav1.GroupVersionResource{Group: appsv1.GroupName, Version: "v1", Resource: "statefulsets"},
		SubResource: "scale",
		Name:        statefulSet,
		Operation:   admissionv1.Update,
	}, scale(1), scale(0))
}

func newReview(path string, request admissionv1.AdmissionRequest, object, old runtime.Object) (review, error) {
	request.UID = types.UID("705ab4f5-6393-11e8-b7cc-42010a800002")
	request.Namespace = namespace
	request.UserInfo.Username = "system:serviceaccount:kube-system:statefulset-controller"
	request.UserInfo.Groups = []string{"system:serviceaccounts", "system:authenticated"}
	var err error
	if request.Object.Raw, err = json.Marshal(object); err != nil {
		return review{}, err
	}
	if old != nil {
		if request.OldObject.Raw, err = json.Marshal(old); err != nil {
			return review{}, err
		}
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request:  &request,
	})
	return review{path: path, body: body}, err
}

// ask posts the review and returns how long the answer took. A wrong answer is an
// error.
func (s *server) ask(ctx context.Context, r review) (time.Duration, error) {
	begin := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	elapsed := time.Since(begin)
	if err != nil {
		return 0, err
	}
	return elapsed, r.check(body)
}

func (r review) check(body []byte) error {
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read answer %q: %w", body, err)
	}
	a := answer.Response
	if a == nil || a.Result == nil {
		return fmt.Errorf("read answer %q: it has no status", body)
	}
	if a.Allowed != (r.code == http.StatusOK) || a.Result.Code != r.code || !strings.Contains(a.Result.Message, r.reason) {
		return fmt.Errorf("wrong answer: want %d with %q, got %s", r.code, r.reason, body)
	}
	return nil
}

// asking is a contender's once.
func (s *server) asking(r review) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) { return s.ask(ctx, r) }
}

// flooding is a contender's once: all reviews, in their order, by parallel
// clients.
func (s *server) flooding(reviews []review) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		return flood(ctx, len(reviews), func(ctx context.Context, i int) error {
			_, err := s.ask(ctx, reviews[i])
			return err
		})
	}
}

// flood has parallel clients do n things, and returns how long that took.
func flood(ctx context.Context, n int, do func(ctx context.Context, i int) error) (time.Duration, error) {
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range clients {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := do(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	err := group.Wait()
	return time.Since(begin), err
}
