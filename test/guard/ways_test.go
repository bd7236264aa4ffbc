//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// way is a way to start a pod in west on the claim data, while east has its
// volume.
type way struct {
	// before is there already, without pods.
	before string
	// kubectl is the command, with manifest as its input.
	kubectl, manifest string
	// refusedBy is the endpoint that refuses the command. It then succeeds when
	// east is done. Without one, the command succeeds, the pods are refused, which
	// is noted at owner, and they come by themselves when east is done. warned is the
	// kind of workload x that the command warns of.
	refusedBy, owner, warned string
	// noPods is for kinds that nobody here makes pods for.
	noPods bool
}

const create = "create -f -"

var ways = map[string]way{
	"kubectl scale of a StatefulSet": {
		before: scene.Workload("StatefulSet", "x", "data", 0), kubectl: "scale statefulset/x --replicas=1", refusedBy: "scale",
	},
	"kubectl scale of a Deployment": {
		before: scene.Workload("Deployment", "x", "data", 0), kubectl: "scale deployment/x --replicas=1", refusedBy: "scale",
	},
	"kubectl scale of a ReplicaSet": {
		before: scene.Workload("ReplicaSet", "x", "data", 0), kubectl: "scale replicaset/x --replicas=1", refusedBy: "scale",
	},
	"kubectl scale of a ReplicationController": {
		before: scene.Workload("ReplicationController", "x", "data", 0), kubectl: "scale rc/x --replicas=1", refusedBy: "scale",
	},
	"kubectl scale of a custom resource that the webhook may read": {
		before: scene.Workload("Database", "x", "data", 0), kubectl: "scale databases/x --replicas=1", refusedBy: "scale", noPods: true,
	},
	"a patch of a Deployment": {
		before: scene.Workload("Deployment", "x", "data", 0), kubectl: `patch deployment/x --patch={"spec":{"replicas":1}}`, refusedBy: "scale",
	},
	"a patch of a StatefulSet's scale": {
		before: scene.Workload("StatefulSet", "x", "data", 0), refusedBy: "scale",
		kubectl: `patch statefulset/x --subresource=scale --type=merge --patch={"spec":{"replicas":1}}`,
	},
	"replicas removed from a Deployment, which makes them 1": {
		before: scene.Workload("Deployment", "x", "data", 0), refusedBy: "scale",
		kubectl: `patch deployment/x --type=json --patch=[{"op":"remove","path":"/spec/replicas"}]`,
	},
	"a new Deployment": {
		kubectl: create, manifest: scene.Workload("Deployment", "x", "data", 1), warned: "Deployment",
	},
	"a new StatefulSet": {
		kubectl: create, manifest: scene.Workload("StatefulSet", "x", "data", 1), owner: "StatefulSet/x", warned: "StatefulSet",
	},
	"a new ReplicaSet": {
		kubectl: create, manifest: scene.Workload("ReplicaSet", "x", "data", 1), owner: "ReplicaSet/x",
	},
	"a new ReplicationController": {
		kubectl: create, manifest: scene.Workload("ReplicationController", "x", "data", 1), owner: "ReplicationController/x",
	},
	"a new DaemonSet": {
		kubectl: create, owner: "DaemonSet/x",
		manifest: scene.Workload("DaemonSet", "x", "data", 0, "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "+
			"{nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [west-1]}]}]}}}"),
	},
	"a new Job": {
		kubectl: create, manifest: job("Job", "x", ""), owner: "Job/x",
	},
	"a suspended Job that goes on": {
		before: job("Job", "x", "suspend: true, "), kubectl: `patch job/x --patch={"spec":{"suspend":false}}`, owner: "Job/x",
	},
	"a run of a CronJob": {
		before: job("CronJob", "c", ""), kubectl: "create job x --from=cronjob/c", owner: "Job/x",
	},
	"a pod": {
		kubectl: create, manifest: scene.Pod("x", "data"), refusedBy: "pod",
	},
	"a pod that is for one node, past the scheduler": {
		kubectl: create, manifest: scene.Pod("x", "data", "nodeName: west-1"), refusedBy: "pod",
	},
	"a pod whose container would only read": {
		kubectl: create, refusedBy: "pod",
		manifest: strings.Replace(scene.Pod("x", "data"), "claimName: data", "claimName: data, readOnly: true", 1),
	},
	"a pod whose claim is of its own, as an ephemeral volume": {
		kubectl: create, refusedBy: "pod",
		manifest: "{apiVersion: v1, kind: Pod, metadata: {name: x, labels: {app: x}}, spec: {containers: [{name: main, image: none}], volumes: [{name: own, " +
			`ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: NAMESPACE.x-own, resources: {requests: {storage: 16Mi}}}}}}]}}`,
	},
	"kubectl run": {
		kubectl:   `run x --image=none --labels=app=x --overrides={"spec":` + strings.ReplaceAll(`{"volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"data"}}]}`, " ", "") + `}`,
		refusedBy: "pod",
	},
	"kubectl replace --force of a pod": {
		before: "{apiVersion: v1, kind: Pod, metadata: {name: x, labels: {app: x}}, spec: {nodeSelector: {no: node}, containers: [{name: main, image: none}]}}",
		// It deletes the old one first.
		kubectl: "replace --force --grace-period=0 -f -", manifest: scene.Pod("x", "data"), refusedBy: "pod",
	},
}

// job is a Job, or a CronJob that never begins by itself.
func job(kind, name, more string) string {
	spec := fmt.Sprintf("{%stemplate: {metadata: {labels: {app: x}}, spec: %s}}", more, scene.PodSpec([]string{"data"}, "restartPolicy: Never"))
	if kind == "CronJob" {
		spec = fmt.Sprintf("{schedule: 0 0 1 1 *, suspend: true, jobTemplate: {spec: %s}}", spec)
	}
	return fmt.Sprintf("{apiVersion: batch/v1, kind: %s, metadata: {name: %s}, spec: %s}", kind, name, spec)
}

func TestNothingStartsOnAVolumeThatAnotherClusterHas(t *testing.T) {
	t.Parallel()
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			way.try(s)
		})
	}
}

func (way way) try(s *shop) {
	claim := "data"
	if strings.Contains(way.manifest, "ephemeral") {
		claim = "x-own"
		way.manifest = strings.ReplaceAll(way.manifest, "NAMESPACE", s.Namespace)
		s.Volume(claim, east)
		s.Create(west, s.PV(claim))
	} else {
		s.Volume(claim, east, west)
	}
	s.Holds(east, claim)
	if way.before != "" {
		s.Create(west, way.before)
	}
	start := func() scene.Result { return s.Run(west, way.manifest, strings.Fields(way.kubectl)...) }

	text := s.InUse(claim)
	if way.refusedBy != "" {
		unchanged := func() {}
		if !strings.HasPrefix(way.kubectl, "replace") {
			unchanged = s.unchanged(west)
		}
		var doing []string
		if way.kubectl == create {
			doing = []string{scene.Creating}
		}
		s.Refused(start(), scene.Forbidden(way.refusedBy, text, doing...))
		unchanged()
	} else {
		r := start()
		s.Must(r)
		if want := s.waits(way.warned+" "+s.Namespace+"/x", text); way.warned != "" && r.Stderr != want {
			s.Errorf("it says %q, want %q", r.Stderr, want)
		}
		if way.warned == "Deployment" {
			way.owner = "ReplicaSet/" + s.ReplicaSets(west)[0].Name
		}
		s.Event(west, "FailedCreate", way.owner, `admission webhook "pod.guard.cephferry.io" denied the request: `, text)
		s.Event(west, "VolumeInUse", way.owner, text)
		if pods := s.Pods(west, "x"); len(pods) != 0 {
			s.Errorf("there is pod %s", pods[0].Name)
		}
	}

	s.LetsGo(east, claim)
	if way.refusedBy != "" {
		s.Must(start())
	}
	if way.noPods {
		return
	}
	s.Runs(west, "x", 1)
	s.Wrote(claim, east, west)
}

// A kind that the webhook may not read is scaled; what its operator makes is a
// pod like any other.
func TestACustomResourceThatTheWebhookMayNotReadIsScaledAndItsPodsAreRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(east, "data")
	s.Create(west, scene.Workload("Hidden", "x", "data", 0))
	s.Kubectl(west, "scale", "hiddens/x", "--replicas=1")
	if got := s.Kubectl(west, "get", "hidden/x", "-o=jsonpath={.spec.size}"); got != "1" {
		t.Errorf("size %s", got)
	}
	s.Refused(s.Run(west, scene.Pod("x-0", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUse("data"), scene.Creating))
}

// An autoscaler, of which a real one would ask as often as it likes.
func TestAnAutoscalerIsRefusedWithTheSameText(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(east, "data")
	s.Create(west, scene.Workload("Deployment", "x", "data", 0))
	config, err := clientcmd.BuildConfigFromFlags("", west.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Impersonate.UserName = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
	autoscaler, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	scale := func() error {
		_, err := autoscaler.AppsV1().Deployments(s.Namespace).UpdateScale(t.Context(), "x", &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: s.Namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: 2},
		}, metav1.UpdateOptions{})
		return err
	}
	unchanged := s.unchanged(west)
	want := `admission webhook "scale.guard.cephferry.io" denied the request: ` + "\n" + s.InUse("data")
	err = scale()
	if got, said := webhook.Unhelped(fmt.Sprint(err)); !apierrors.IsForbidden(err) || !said || got != want {
		t.Errorf("refused with:\n%v\nwant:\n%s", err, want)
	}
	unchanged()
	s.Event(west, "VolumeInUse", "Deployment/x", s.InUse("data"))
	s.LetsGo(east, "data")
	if err := scale(); err != nil {
		t.Error(err)
	}
}

// A pod that was admitted while the volume was free waits here, and cannot be made
// into more.
func TestAnAdmittedPodIsNotCopiedReplacedOrMultiplied(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Create(west, scene.Workload("Deployment", "x", "data", 1, "schedulingGates: [{name: example.com/later}]"))
	set := "ReplicaSet/" + s.ReplicaSets(west)[0].Name
	s.Eventually("the pod", func() error {
		if len(s.Pods(west, "x")) != 1 {
			return fmt.Errorf("it is not there")
		}
		return nil
	})
	name := s.Pods(west, "x")[0].Name
	s.takeOver(east, "data") // it is west's since it was admitted
	s.Holds(east, "data")
	text := s.InUse("data")

	s.Refused(s.Run(west, "", "debug", "pod/"+name, "--copy-to=copy", "--image=none", "--attach=false"), scene.Forbidden("pod", text))
	s.Create(west, "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: x}, spec: {minReplicas: 2, maxReplicas: 3, "+
		"scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}}}")
	s.Event(west, "FailedRescale", "HorizontalPodAutoscaler/x", `admission webhook "scale.guard.cephferry.io" denied the request: `, text)
	s.Kubectl(west, "rollout", "restart", "deployment/x")
	s.Eventually("the second ReplicaSet is refused its pod", func() error {
		for _, e := range s.Events(west) {
			if e.Reason == "FailedCreate" && e.Object != set && strings.Contains(e.Message, text) {
				return nil
			}
		}
		return scene.Lazily(func() string { return fmt.Sprintf("there are %q", s.Events(west)) })
	})
	if err := west.Client.PolicyV1().Evictions(s.Namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}}); err != nil {
		t.Fatal(err)
	}
	s.Event(west, "FailedCreate", set, text)
	if pods := s.Pods(west, "x"); len(pods) != 0 {
		t.Errorf("there is pod %s", pods[0].Name)
	}

	s.LetsGo(east, "data")
	s.Eventually("the pods come by themselves, as many as the autoscaler wants", func() error {
		var gated int
		for _, pod := range s.Pods(west, "x") {
			if len(pod.Spec.SchedulingGates) != 0 {
				gated++
			}
		}
		if gated < 2 {
			return fmt.Errorf("there are %d", gated)
		}
		return nil
	})
}

func TestHelmIsRefusedWithTheWholeText(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Must(s.Rendered(east, "install", "web", scene.ChartWeb, scene.Migratable))
	s.Eventually("web runs in east", func() error {
		if len(s.Watchers("web-files")) == 0 {
			return fmt.Errorf("nobody has the volume")
		}
		return nil
	})
	s.Must(s.Rendered(west, "install", "web", scene.ChartWeb, scene.Migratable, noReplicas))
	got := s.Rendered(west, "upgrade", "web", scene.ChartWeb, scene.Migratable)
	want := "admission webhook \"scale.guard.cephferry.io\" denied the request: \n" + s.InUse("web-files")
	if got.Err == nil || !strings.Contains(got.Stderr, "UPGRADE FAILED") || !strings.Contains(got.Stderr, want) {
		t.Errorf("helm upgrade:\n%s\nwant in it:\n%s", got.Stderr, want)
	}
	s.Kubectl(east, "scale", "deployment/web", "--replicas=0")
	s.Released(east, "web-files")
	s.Must(s.Rendered(west, "upgrade", "web", scene.ChartWeb, scene.Migratable))
	s.Wrote("web-files", east, west)
}
