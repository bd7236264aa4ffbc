package podrun

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"
)

// deployment is as the chart sets it up.
func deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: cephferry-system, name: cephferry}
spec:
  replicas: 2
  selector: {matchLabels: {app.kubernetes.io/name: cephferry, app.kubernetes.io/instance: cephferry}}
  template:
    metadata:
      labels: {app.kubernetes.io/name: cephferry, app.kubernetes.io/instance: cephferry, team: storage}
      annotations: {mesh: "off"}
    spec:
      serviceAccountName: cephferry
      imagePullSecrets: [{name: pull}]
      priorityClassName: system-cluster-critical
      hostNetwork: true
      nodeSelector: {storage: "yes"}
      tolerations: [{operator: Exists}]
      affinity:
        podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {}}]}
        nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}
      topologySpreadConstraints: [{topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]
      initContainers: [{name: wait, image: other}]
      containers:
      - {name: mesh, image: mesh}
      - name: webhook
        image: registry.example/cephferry:v1
        imagePullPolicy: Always
        args: [--cluster-name=west]
        env: [{name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]
        ports: [{name: webhook, containerPort: 9443}]
        livenessProbe: {httpGet: {path: /healthz, port: probes}}
        readinessProbe: {httpGet: {path: /readyz, port: probes}}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
        resources: {requests: {cpu: 50m}}
        securityContext: {privileged: true}
        volumeMounts: [{name: certificate, mountPath: /certs, readOnly: true}]
      volumes: [{name: certificate, secret: {secretName: cephferry-cert}}]
`), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestPod(t *testing.T) {
	pod, err := Pod(deployment(t), []string{"kubectl-cephferry", "status", "--direct"}, 60)
	if err != nil {
		t.Fatal(err)
	}
	var want corev1.Pod
	if err := yaml.UnmarshalStrict([]byte(`
metadata:
  namespace: cephferry-system
  generateName: kubectl-cephferry-
  labels: {team: storage, app.kubernetes.io/name: kubectl-cephferry, app.kubernetes.io/managed-by: kubectl-cephferry}
  annotations: {mesh: "off"}
spec:
  serviceAccountName: cephferry
  imagePullSecrets: [{name: pull}]
  priorityClassName: system-cluster-critical
  hostNetwork: true
  nodeSelector: {storage: "yes"}
  tolerations: [{operator: Exists}]
  affinity:
    nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}
  restartPolicy: Never
  activeDeadlineSeconds: 60
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: kubectl-cephferry
    image: registry.example/cephferry:v1
    imagePullPolicy: Always
    command: [kubectl-cephferry, status, --direct]
    env:
    - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: CEPHFERRY_MARK_STDERR, value: "true"}
    resources: {requests: {cpu: 50m}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: certificate, mountPath: /certs, readOnly: true}]
  volumes: [{name: certificate, secret: {secretName: cephferry-cert}}]
`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, pod); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	for want, change := range map[string]func(*appsv1.Deployment){
		"read Deployment cephferry-system/cephferry: spec.template.spec.containers is empty": func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers = nil },
		"read Deployment cephferry-system/cephferry: container webhook names no image":       func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[1].Image = "" },
	} {
		d := deployment(t)
		change(d)
		if _, err := Pod(d, nil, 1); err == nil || err.Error() != want {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// states are what the container is in at each look; the last one stays.
type states []corev1.ContainerState

var (
	waiting = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	running = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
)

func ended(code int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"}}
}

func TestRun(t *testing.T) {
	const log = "NAME\n\x1eerror: it\n\x1e  do this\nrow"
	broken := errors.New("connection lost")
	for name, test := range map[string]struct {
		states  states
		phase   corev1.PodPhase
		logs    io.Reader
		logsErr error
		create  error
		get     error
		remove  error
		code    int
		err     string
		unknown bool
	}{
		"it does its work":             {states: states{{}, waiting, running, running, ended(0)}},
		"it refuses":                   {states: states{running, ended(2)}, code: 2},
		"it is over before it is seen": {states: states{ended(3)}, code: 3},
		"its image is not there":       {states: states{waiting, {Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"}}}, err: "start pod cephferry-system/kubectl-cephferry-1: ErrImagePull: not found"},
		"it does not start":            {states: states{waiting}, err: "start pod cephferry-system/kubectl-cephferry-1: it takes longer than 1m0s: ContainerCreating", unknown: true},
		"it is not let in":             {create: apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no")), err: "create a pod in namespace cephferry-system: "},
		"nobody may look at it":        {get: apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no")), err: "start pod cephferry-system/kubectl-cephferry-1: ", unknown: true},
		"it is evicted":                {states: states{waiting}, phase: corev1.PodFailed, err: "start pod cephferry-system/kubectl-cephferry-1: it has failed: Evicted disk", unknown: true},
		"the deadline ends it":         {states: states{running, ended(137)}, err: "was ended from outside (Error, exit code 137)", unknown: true},
		"the log breaks off":           {states: states{running}, logs: io.MultiReader(strings.NewReader(log), failing{broken}), err: "read the output of pod", unknown: true},
		"there is no log":              {states: states{running}, logsErr: broken, err: "read the output of pod", unknown: true},
		"it does not end":              {states: states{running}, err: "wait for the end of pod cephferry-system/kubectl-cephferry-1: it takes longer than 1m0s", unknown: true},
		"it cannot be removed":         {states: states{running, ended(0)}, remove: broken},
	} {
		t.Run(name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			removed, looks, now := false, 0, time.Unix(0, 0)
			api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					o.SetName("kubectl-cephferry-1")
					if test.create != nil {
						return test.create
					}
					return c.Create(ctx, o, opts...)
				},
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if test.get != nil {
						return test.get
					}
					if err := c.Get(ctx, key, o, opts...); err != nil {
						return err
					}
					pod := o.(*corev1.Pod)
					pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: test.states[min(looks, len(test.states)-1)]}}
					if pod.Status.Phase = test.phase; test.phase == corev1.PodFailed {
						pod.Status.Reason, pod.Status.Message = "Evicted", "disk"
					}
					looks++
					return nil
				},
				Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
					removed = true
					if test.remove != nil {
						return test.remove
					}
					return c.Delete(ctx, o, opts...)
				},
			}).Build()
			logs := test.logs
			if logs == nil {
				logs = strings.NewReader(log)
			}
			r := &Runner{
				API: api, Stdout: &out, Stderr: &stderr, StartLimit: time.Minute, EndLimit: time.Minute,
				Now: func() time.Time { return now }, Pause: func(context.Context) error { now = now.Add(time.Second); return nil },
				Logs: func(context.Context, string, string) (io.ReadCloser, error) { return io.NopCloser(logs), test.logsErr },
			}
			code, err := r.Run(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "cephferry-system"}})
			if code != test.code || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || errors.Is(err, ErrUnknown) != test.unknown {
				t.Errorf("%d, %v; want %d, %s", code, err, test.code, test.err)
			}
			if removed == (test.create != nil) {
				t.Errorf("the pod was removed: %t", removed)
			}
			if err != nil {
				return
			}
			wantErr := "error: it\n  do this\n"
			if test.remove != nil {
				wantErr += "remove pod cephferry-system/kubectl-cephferry-1, which ends by itself: connection lost\n"
			}
			if out.String() != "NAME\nrow" || stderr.String() != wantErr {
				t.Errorf("%q, %q", out.String(), stderr.String())
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestInterrupted: the pod is removed all the same.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	removed := false
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
		removed = ctx.Err() == nil
		return c.Delete(ctx, o, opts...)
	}}).Build()
	r := &Runner{API: api, Stderr: io.Discard, StartLimit: time.Minute, Now: time.Now, Pause: func(ctx context.Context) error { cancel(); return ctx.Err() }}
	_, err := r.Run(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"}})
	if !errors.Is(err, context.Canceled) || !removed {
		t.Errorf("%v, removed: %t", err, removed)
	}
}

func TestMarker(t *testing.T) {
	var out bytes.Buffer
	m := &Marker{Out: &out}
	for _, text := range []string{"one\ntwo", " goes on\n", "", "three\n"} {
		if n, err := io.WriteString(m, text); n != len(text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if want := "\x1eone\n\x1etwo goes on\n\x1ethree\n"; out.String() != want {
		t.Errorf("%q; want %q", out.String(), want)
	}
}
