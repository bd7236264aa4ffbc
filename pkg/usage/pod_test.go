package usage

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// TestReducePod: what is left says the same of the pod's volumes.
func TestReducePod(t *testing.T) {
	whole := pod("db-0", "e1", "data")
	whole.CreationTimestamp = metav1.Unix(1, 0)
	whole.Labels = map[string]string{"app": "db"}
	whole.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	whole.Spec.Containers = []corev1.Container{{Name: "db", Env: []corev1.EnvVar{{Name: "A", Value: "b"}}}}
	whole.Spec.Volumes = append(whole.Spec.Volumes,
		corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
		corev1.Volume{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
			VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}},
		}}},
	)
	told := corev1.PodCondition{Type: OwnedElsewhere, Status: corev1.ConditionTrue, Message: "m"}
	ready := corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}
	readyNow := ready
	readyNow.LastTransitionTime = metav1.Unix(2, 0)
	whole.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}, readyNow, told}
	whole.Status.Phase = corev1.PodRunning
	before := whole.DeepCopy()
	object, err := ReducePod(whole)
	if err != nil {
		t.Fatal(err)
	}
	reduced := object.(*corev1.Pod)
	if diff := cmp.Diff(volumes.ClaimsOfPod(whole.Name, &whole.Spec), volumes.ClaimsOfPod(reduced.Name, &reduced.Spec)); diff != "" {
		t.Errorf("claims -want +got:\n%s", diff)
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: whole.Namespace, Name: whole.Name, UID: whole.UID, CreationTimestamp: metav1.Unix(1, 0)},
		Spec:       corev1.PodSpec{NodeName: "e1", Volumes: reduced.Spec.Volumes},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{told, ready}},
	}
	if diff := cmp.Diff(want, reduced); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, whole); diff != "" {
		t.Errorf("the pod was changed:\n%s", diff)
	}
	without := pod("db-1", "e1", "data")
	without.Spec.Volumes = nil
	without.Status.Conditions = []corev1.PodCondition{readyNow}
	if got, err := ReducePod(without); err != nil || len(got.(*corev1.Pod).Status.Conditions) > 0 {
		t.Errorf("of a pod without claims %v, %v", got, err)
	}
	gone := cache.DeletedFinalStateUnknown{Key: "shop/db-0", Obj: reduced}
	if got, err := ReducePod(gone); err != nil || got != gone {
		t.Errorf("of what is gone %v, %v", got, err)
	}
}
