package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// plain is a pod as the chart renders it.
const plain = `
serviceAccountName: cephferry
securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
containers:
- name: webhook
  image: cephferry/webhook:1
  args: [--cert-dir=/certs]
  env: [{name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}, {name: GOGC, value: "50"}]
  ports: [{name: webhook, containerPort: 9443}]
  resources: {limits: {memory: 512Mi}}
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  volumeMounts: [{name: certificate, mountPath: /certs, readOnly: true}]
volumes:
- {name: certificate, secret: {secretName: tls, items: [{key: tls.crt, path: tls.crt}]}}
`

func TestPodman(t *testing.T) {
	secret, account, dir := t.TempDir(), t.TempDir(), t.TempDir()
	for _, key := range []string{"tls.crt", "ca.key"} {
		if err := os.WriteFile(filepath.Join(secret, key), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kubelet := Kubelet{Namespace: "storage", Secrets: map[string]string{"tls": secret}, Account: account, Server: [2]string{"127.0.0.1", "6443"}, Dir: dir}
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(plain), &pod); err != nil {
		t.Fatal(err)
	}
	options, args, err := kubelet.Podman(pod)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--network=host", "--env=KUBERNETES_SERVICE_HOST=127.0.0.1", "--env=KUBERNETES_SERVICE_PORT=6443",
		"--volume=" + account + ":/var/run/secrets/kubernetes.io/serviceaccount:ro",
		"--volume=" + dir + "/certificate:/certs:ro", "--env=POD_NAMESPACE=storage", "--env=GOGC=50",
		"--security-opt=no-new-privileges", "--read-only", "--read-only-tmpfs=false", "--cap-drop=all",
	}
	if diff := cmp.Diff(want, options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"--cert-dir=/certs"}, args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	files, err := filepath.Glob(dir + "/certificate/*")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{dir + "/certificate/tls.crt"}, files); diff != "" {
		t.Errorf("the volume has (-want +got):\n%s", diff)
	}
}

// TestPodmanMountsNoToken: a pod that the chart would give no token does not get one here.
func TestPodmanMountsNoToken(t *testing.T) {
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict([]byte(strings.Split(plain, "  volumeMounts:")[0]+"automountServiceAccountToken: false"), &pod); err != nil {
		t.Fatal(err)
	}
	options, _, err := Kubelet{Account: "account"}.Podman(pod)
	if err != nil || strings.Contains(strings.Join(options, " "), "account") {
		t.Errorf("%q, %v", options, err)
	}
}

func TestPodmanRefusesWhatItDoesNotTranslate(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"a user":                       {"runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 1", "spec.securityContext.runAsUser"},
		"a root user":                  {"runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot is not true"},
		"another seccomp profile":      {"RuntimeDefault", "Unconfined", "seccompProfile is not RuntimeDefault"},
		"a writable root":              {"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "container.securityContext.readOnlyRootFilesystem"},
		"more privileges":              {"allowPrivilegeEscalation: false", "privileged: true", "container.securityContext.privileged"},
		"capabilities":                 {"drop: [ALL]", "add: [SYS_ADMIN]", "container.securityContext.capabilities"},
		"a command":                    {"args: ", "command: [sh]\n  args: ", "container.command"},
		"the host's process table":     {"containers:", "hostPID: true\ncontainers:", "spec.hostPID"},
		"a folder of the host":         {"secret: {secretName: tls, items: [{key: tls.crt, path: tls.crt}]}", "hostPath: {path: /}", `"certificate" is not of items of a Secret`},
		"another Secret":               {"secretName: tls", "secretName: other", `unknown Secret "other"`},
		"all keys of a Secret":         {", items: [{key: tls.crt, path: tls.crt}]", "", `"certificate" is not of items of a Secret`},
		"a volume that can be written": {"readOnly: true}]", "readOnly: false}]", `"certificate" is not of a known volume, or not plainly read-only`},
		"another field of the pod":     {"metadata.namespace", "status.podIP", "POD_NAMESPACE is from something unknown"},
		"a key that is not there":      {"key: tls.crt", "key: tls.key", "tls.key: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			secret := t.TempDir()
			if err := os.WriteFile(filepath.Join(secret, "tls.crt"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(plain, test.old, test.new, 1)
			var pod corev1.PodSpec
			if err := yaml.UnmarshalStrict([]byte(changed), &pod); err != nil || changed == plain {
				t.Fatalf("%v: %s", err, changed)
			}
			_, _, err := Kubelet{Secrets: map[string]string{"tls": secret}, Dir: t.TempDir()}.Podman(pod)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
		})
	}
}
