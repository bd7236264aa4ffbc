package podrun

import (
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MarkEnv is the environment variable with which the program is asked to begin each line of
// its standard error with [Mark]: the log of a pod does not tell the two streams apart.
const MarkEnv = "CEPHFERRY_MARK_STDERR"

// Mark begins a line of standard error.
const Mark = "\x1e"

// managedBy is the label by which the pods are found.
const managedBy, plugin = "app.kubernetes.io/managed-by", "kubectl-cephferry"

// Pod is the pod that runs a command once, for at most so many seconds: the Deployment's, without
// what makes it a server. Its labels are not those that the Deployment or its Service select.
func Pod(deployment *appsv1.Deployment, command []string, seconds int64) (*corev1.Pod, error) {
	template := deployment.Spec.Template.DeepCopy()
	if len(template.Spec.Containers) == 0 {
		return nil, fmt.Errorf("read Deployment %s/%s: spec.template.spec.containers is empty", deployment.Namespace, deployment.Name)
	}
	container := template.Spec.Containers[0]
	for _, one := range template.Spec.Containers {
		if one.Name == "webhook" {
			container = one
		}
	}
	if container.Image == "" {
		return nil, fmt.Errorf("read Deployment %s/%s: container %s names no image", deployment.Namespace, deployment.Name, container.Name)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, GenerateName: "kubectl-cephferry-", Labels: template.Labels, Annotations: template.Annotations},
		Spec:       template.Spec,
	}
	if deployment.Spec.Selector != nil {
		maps.DeleteFunc(pod.Labels, func(key, _ string) bool { return deployment.Spec.Selector.MatchLabels[key] != "" })
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels["app.kubernetes.io/name"], pod.Labels[managedBy] = plugin, plugin

	container.Name, container.Command, container.Args = plugin, command, nil
	container.Ports, container.Lifecycle = nil, nil
	container.LivenessProbe, container.ReadinessProbe, container.StartupProbe = nil, nil, nil
	container.Env = append(container.Env, corev1.EnvVar{Name: MarkEnv, Value: "true"})
	container.SecurityContext = restricted(container.SecurityContext)

	spec := &pod.Spec
	spec.Containers, spec.InitContainers = []corev1.Container{container}, nil
	spec.RestartPolicy, spec.ActiveDeadlineSeconds = corev1.RestartPolicyNever, &seconds
	spec.TopologySpreadConstraints = nil
	if spec.Affinity != nil {
		spec.Affinity.PodAffinity, spec.Affinity.PodAntiAffinity = nil, nil
	}
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	yes := true
	spec.SecurityContext.RunAsNonRoot = &yes
	if spec.SecurityContext.SeccompProfile == nil {
		spec.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	return pod, nil
}

// restricted is a context that the Pod Security Standard of that name takes.
func restricted(of *corev1.SecurityContext) *corev1.SecurityContext {
	if of == nil {
		of = &corev1.SecurityContext{}
	}
	no, yes := false, true
	of.AllowPrivilegeEscalation, of.ReadOnlyRootFilesystem, of.Privileged = &no, &yes, nil
	of.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	return of
}
