package usage

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// OwnedElsewhere is the type of the condition at a pod or a claim whose volume this cluster
// uses although another one owns its image.
const OwnedElsewhere = annotations.Prefix + "OwnedElsewhere"

// IsFinished reports whether a pod has ended, and uses nothing any more.
func IsFinished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// IsReadyToStart reports whether the kubelet says that the pod's volumes are mounted and its sandbox
// is there, so that its containers can start, and before them those that initialize it. Kubelets do
// so since Kubernetes 1.29.
func IsReadyToStart(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue
	})
}

// ReducePod is what a cache keeps of a pod: who it is, how old, on which node, which claims it uses,
// whether it can start, runs or has ended, and that its volume is owned elsewhere. The rest may be
// kilobytes, of each pod of the cluster. It is a transform function for informers.
func ReducePod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil // that a pod is gone
	}
	reduced := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec:   corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status: corev1.PodStatus{Phase: pod.Status.Phase},
	}
	for _, volume := range pod.Spec.Volumes {
		switch {
		case volume.PersistentVolumeClaim != nil:
			reduced.Spec.Volumes = append(reduced.Spec.Volumes, corev1.Volume{Name: volume.Name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: volume.PersistentVolumeClaim,
			}})
		case volume.Ephemeral != nil:
			reduced.Spec.Volumes = append(reduced.Spec.Volumes, corev1.Volume{Name: volume.Name, VolumeSource: corev1.VolumeSource{
				Ephemeral: &corev1.EphemeralVolumeSource{}, // its claim has the names of pod and volume
			}})
		}
	}
	for _, condition := range pod.Status.Conditions {
		if string(condition.Type) == OwnedElsewhere {
			reduced.Status.Conditions = append(reduced.Status.Conditions, condition)
		}
	}
	if len(reduced.Spec.Volumes) > 0 && IsReadyToStart(pod) {
		reduced.Status.Conditions = append(reduced.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue,
		})
	}
	return reduced, nil
}
