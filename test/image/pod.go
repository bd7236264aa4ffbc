package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// accountDir is where a kubelet mounts the token of a pod's account.
const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Kubelet has what a kubelet would give a pod.
type Kubelet struct {
	// Namespace is the pod's.
	Namespace string
	// Secrets are folders with the keys of Secrets, by the Secret's name.
	Secrets map[string]string
	// Account is a folder with token, ca.crt and namespace.
	Account string
	// Server is the API server's address, host and port.
	Server [2]string
	// Dir is where volumes are made.
	Dir string
}

// Podman returns the options of podman run for the only container of a pod, and its arguments:
// with the host's network, which tests need, and otherwise as a kubelet starts it. A field that
// it does not know is an error: the chart would say something that nobody tries.
func (k Kubelet) Podman(pod corev1.PodSpec) (options, args []string, err error) {
	pod = *pod.DeepCopy()
	if len(pod.Containers) != 1 {
		return nil, nil, fmt.Errorf("%d containers; want 1", len(pod.Containers))
	}
	container := pod.Containers[0]
	volumes, err := k.volumes(pod.Volumes)
	if err != nil {
		return nil, nil, err
	}
	options = []string{"--network=host", "--env=KUBERNETES_SERVICE_HOST=" + k.Server[0], "--env=KUBERNETES_SERVICE_PORT=" + k.Server[1]}
	if mounts := pod.AutomountServiceAccountToken; mounts == nil || *mounts {
		options = append(options, "--volume="+k.Account+":"+accountDir+":ro")
	}
	for _, mount := range container.VolumeMounts {
		if plain := (corev1.VolumeMount{Name: mount.Name, MountPath: mount.MountPath, ReadOnly: true}); !reflect.DeepEqual(mount, plain) || volumes[mount.Name] == "" {
			return nil, nil, fmt.Errorf("volumeMounts: %q is not of a known volume, or not plainly read-only", mount.Name)
		}
		options = append(options, "--volume="+volumes[mount.Name]+":"+mount.MountPath+":ro")
	}
	for _, env := range container.Env {
		value := env.Value
		if from := env.ValueFrom; from != nil {
			if from.FieldRef == nil || from.FieldRef.FieldPath != "metadata.namespace" {
				return nil, nil, fmt.Errorf("env: %s is from something unknown", env.Name)
			}
			value = k.Namespace
		}
		options = append(options, "--env="+env.Name+"="+value)
	}
	secured, err := security(pod.SecurityContext, container.SecurityContext)
	if err != nil {
		return nil, nil, err
	}
	options, args = append(options, secured...), container.Args

	// What is translated, and what is the scheduler's or the kubelet's own. Ports are only
	// named: the network is the host's. Probes are asked by whoever runs the container.
	pod.Containers, pod.Volumes, pod.SecurityContext = nil, nil, nil
	pod.ServiceAccountName, pod.AutomountServiceAccountToken = "", nil
	pod.TopologySpreadConstraints, pod.TerminationGracePeriodSeconds = nil, nil
	container.Name, container.Image, container.ImagePullPolicy = "", "", ""
	container.Args, container.Env, container.VolumeMounts, container.SecurityContext = nil, nil, nil, nil
	container.Ports, container.LivenessProbe, container.ReadinessProbe, container.Lifecycle = nil, nil, nil, nil
	container.Resources = corev1.ResourceRequirements{}
	return options, args, errors.Join(nothingLeft("spec", pod), nothingLeft("container", container))
}

// volumes makes the folders of a pod's volumes, with what its Secrets' items name, for everybody
// to read, as a kubelet does.
func (k Kubelet) volumes(volumes []corev1.Volume) (map[string]string, error) {
	dirs := map[string]string{}
	for _, volume := range volumes {
		secret := volume.Secret
		if secret == nil || len(secret.Items) == 0 || secret.DefaultMode != nil {
			return nil, fmt.Errorf("volumes: %q is not of items of a Secret", volume.Name)
		}
		from, ok := k.Secrets[secret.SecretName]
		if !ok {
			return nil, fmt.Errorf("volumes: %q is of an unknown Secret %q", volume.Name, secret.SecretName)
		}
		dir := filepath.Join(k.Dir, volume.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		for _, item := range secret.Items {
			data, err := os.ReadFile(filepath.Join(from, item.Key))
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(dir, item.Path), data, 0o644); err != nil {
				return nil, err
			}
		}
		dirs[volume.Name] = dir
	}
	return dirs, nil
}

// security are the options for the two contexts. The user is the image's.
func security(pod *corev1.PodSecurityContext, container *corev1.SecurityContext) ([]string, error) {
	if pod == nil || container == nil {
		return nil, errors.New("a securityContext is missing")
	}
	var options []string
	pod, container = pod.DeepCopy(), container.DeepCopy()
	if yes := pod.RunAsNonRoot; yes == nil || !*yes {
		return nil, errors.New("securityContext.runAsNonRoot is not true")
	}
	// Podman confines with a profile of its own unless told otherwise, as runtimes do for this type.
	if profile := pod.SeccompProfile; profile == nil || profile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		return nil, errors.New("securityContext.seccompProfile is not RuntimeDefault")
	}
	pod.RunAsNonRoot, pod.SeccompProfile = nil, nil
	if may := container.AllowPrivilegeEscalation; may != nil && !*may {
		options = append(options, "--security-opt=no-new-privileges")
		container.AllowPrivilegeEscalation = nil
	}
	if only := container.ReadOnlyRootFilesystem; only != nil && *only {
		// A kubelet mounts no temporary folders either.
		options = append(options, "--read-only", "--read-only-tmpfs=false")
		container.ReadOnlyRootFilesystem = nil
	}
	if capabilities := container.Capabilities; capabilities != nil && len(capabilities.Add) == 0 {
		for _, one := range capabilities.Drop {
			options = append(options, "--cap-drop="+strings.ToLower(string(one)))
		}
		container.Capabilities = nil
	}
	return options, errors.Join(nothingLeft("spec.securityContext", *pod), nothingLeft("container.securityContext", *container))
}

// nothingLeft names the fields that are set.
func nothingLeft(path string, value any) error {
	var errs []error
	fields := reflect.ValueOf(value)
	for i := range fields.NumField() {
		if !fields.Field(i).IsZero() {
			name, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
			errs = append(errs, fmt.Errorf("%s.%s is not translated", path, name))
		}
	}
	return errors.Join(errs...)
}
