//go:build lab

package guard

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

// In east nobody is told when scaling. The ReplicaSet tries again after pauses
// that double, so after a refusal for some seconds it takes about as long again.
func TestWithoutTheScaleEndpointThePodsAreRefusedAndComeByThemselves(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(west, "data")
	s.Create(east, scene.Workload("Deployment", "x", "data", 0))
	begin := time.Now()
	s.Kubectl(east, "scale", "deployment/x", "--replicas=1")
	set := s.ReplicaSets(east)[0]
	text := s.InUseOf(east, "data")
	s.Event(east, "FailedCreate", "ReplicaSet/"+set.Name, `Error creating: admission webhook "pod.guard.cephferry.io" denied the request: `, text)
	s.Event(east, "VolumeInUse", "ReplicaSet/"+set.Name, text)
	s.condition(east, appsv1.DeploymentReplicaFailure, "FailedCreate", text)
	time.Sleep(2 * time.Second)
	if pods := s.Pods(east, "x"); len(pods) != 0 {
		t.Errorf("there is pod %s", pods[0].Name)
	}

	s.LetsGo(west, "data")
	refused := time.Since(begin)
	begin = time.Now()
	s.Runs(east, "x", 1)
	took := time.Since(begin)
	t.Logf("refused for %s, and running %s after the other cluster was done", refused.Round(time.Millisecond), took.Round(time.Millisecond))
	if limit := 2*refused + 10*time.Second; took > limit {
		t.Errorf("it took %s to recover, want less than %s", took, limit)
	}
	s.Wrote("data", west, east)
}

// The deployment-controller gives up for good after some refusals, and tells
// nobody. So nothing that it does is refused, not even while the pods are.
func TestADeploymentWhosePodsAreRefusedCanBeChanged(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Holds(west, "data")
	// On one node: on two, Kubernetes attaches the volume to the first pod only, and
	// a rolling update waits for the second one for ever.
	s.Create(east, scene.Workload("Deployment", "x", "data", 1, scene.On(east.Nodes[0])))
	s.Event(east, "FailedCreate", "ReplicaSet/"+s.ReplicaSets(east)[0].Name, s.InUseOf(east, "data"))
	s.Kubectl(east, "rollout", "restart", "deployment/x")
	s.Eventually("a second ReplicaSet that wants a pod", func() error {
		sets := s.ReplicaSets(east)
		if len(sets) != 2 {
			return fmt.Errorf("there are %d", len(sets))
		}
		for _, set := range sets {
			if *set.Spec.Replicas == 1 && set.Annotations["deployment.kubernetes.io/revision"] == "2" {
				return nil
			}
		}
		return fmt.Errorf("the second one wants none")
	})
	s.Kubectl(east, "scale", "deployment/x", "--replicas=3")
	s.Kubectl(east, "scale", "deployment/x", "--replicas=1")
	s.LetsGo(west, "data")
	s.Kubectl(east, "rollout", "status", "deployment/x", "--timeout=50s")
	s.Wrote("data", west, east)
}

// The second pod of a rolling update uses the claim beside the first one.
func TestTheOwningClusterRestartsGrowsAndMovesItsPodsAsEver(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Create(west, scene.Workload("Deployment", "x", "data", 1, scene.On(west.Nodes[0])))
	s.Runs(west, "x", 1)
	first := s.Pods(west, "x")[0].Name

	s.Kubectl(west, "rollout", "restart", "deployment/x")
	s.Kubectl(west, "rollout", "status", "deployment/x", "--timeout=50s")
	s.Runs(west, "x", 1)
	if now := s.Pods(west, "x")[0].Name; now == first {
		t.Errorf("it is still pod %s", now)
	}
	s.Kubectl(west, "scale", "deployment/x", "--replicas=3")
	s.Runs(west, "x", 3)
	s.Kubectl(west, "delete", "pod", "--selector=app=x")
	s.Runs(west, "x", 3)
	s.Kubectl(west, "scale", "deployment/x", "--replicas=1")
	s.Runs(west, "x", 1)

	s.Kubectl(west, "patch", "deployment/x", `--patch={"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`)
	s.Kubectl(west, "patch", "deployment/x", `--patch={"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/hostname":"`+west.Nodes[1].Name+`"}}}}}`)
	s.Kubectl(west, "rollout", "status", "deployment/x", "--timeout=50s")
	s.Runs(west, "x", 1)
	if got := s.Pods(west, "x")[0].Spec.NodeName; got != west.Nodes[1].Name {
		t.Errorf("the pod is on %s", got)
	}
	s.Wrote("data", west)
	// The image is not mapped exclusively. So the pod's binding waits for the node that had it to
	// report that it has let go, as its attachment would.
	s.neverRefusedBut(west, "may still be written by node "+west.Nodes[0].Name+" of this cluster")

	// While it does all that, the other cluster is refused.
	s.Refused(s.Run(east, scene.Pod("p", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUseOf(east, "data"), scene.Creating))
}

// Only the claims of new ordinals count: here another cluster has ordinal 2.
func TestOfAStatefulSetOnlyTheNewOrdinalsCount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, claim := range []string{"data-x-0", "data-x-1", "data-x-2"} {
		s.Volume(claim, east)
		s.Create(west, s.PV(claim))
	}
	s.Create(west, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: x}
spec:
  replicas: 1
  serviceName: none
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: main, image: none}], schedulingGates: [{name: example.com/later}]}
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 16Mi}}}}]
`)
	s.Kubectl(west, "wait", "--for=create", "pod/x-0", "--timeout=30s")
	s.Bound(west, "data-x-0")
	s.Holds(east, "data-x-2")

	s.Kubectl(west, "scale", "statefulset/x", "--replicas=2")
	s.begins(west, "x-1")
	s.Ready(west, "x-1")
	s.Refused(s.Run(west, "", "scale", "statefulset/x", "--replicas=3"), scene.Forbidden("scale", s.InUse("data-x-2")))
	s.Wrote("data-x-1", west)

	s.LetsGo(east, "data-x-2")
	s.Kubectl(west, "scale", "statefulset/x", "--replicas=3")
	s.begins(west, "x-0")
	s.begins(west, "x-2")
	s.Runs(west, "x", 3)
	s.Wrote("data-x-0", west)
	s.Wrote("data-x-2", east, west)
}

// begins lets a pod begin that was made with a scheduling gate.
func (s *shop) begins(c *scene.Cluster, name string) {
	s.Helper()
	s.Kubectl(c, "wait", "--for=create", "pod/"+name, "--timeout=30s")
	s.Kubectl(c, "patch", "pod/"+name, "--type=json", `--patch=[{"op":"remove","path":"/spec/schedulingGates"}]`)
}

// What is admitted once may begin later, and nobody else begins meanwhile: no watcher
// says so, but the record does.
func TestAPodThatWasAdmittedHasItsVolumeHoweverLateItBegins(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east, west)
	s.Create(west, scene.Pod("x", "data", "schedulingGates: [{name: example.com/later}]"))
	s.Holders("data") // the pod was seen
	time.Sleep(2 * webhook.Grace)
	s.Refused(s.Run(east, scene.Pod("p", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUseOf(east, "data"), scene.Creating))
	s.begins(west, "x")
	s.Ready(west, "x")
	s.Wrote("data", west)
}

// A watcher is explained by the volume that it is attached as. So of two volumes
// with one image only one can be used at a time.
func TestASecondVolumeWithTheSameImageIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", west)
	rename := []string{"name: " + s.Namespace + ".data", "name: " + s.Namespace + ".alias", "volumeName: " + s.Namespace + ".data", "volumeName: " + s.Namespace + ".alias",
		"name: data", "name: alias"}
	s.Create(west, s.PV("data", rename...)+"---"+s.PVC("data", rename...))
	s.Bound(west, "alias")
	s.Holds(west, "data")
	holder := s.Watchers("data")[0]
	node := s.Kubectl(west, "get", "pod/holder", "-o=jsonpath={.spec.nodeName}")
	s.Refused(s.Run(west, scene.Pod("x", "alias"), "create", "-f", "-"), scene.Forbidden("pod", fmt.Sprintf("volume %[1]s/alias (image %[2]s) is in use by another cluster\n"+
		"  held by   %[3]s (%[4]s), the address of node %[5]s, which does not use the volume\n"+
		"  do this   rbd device list on node %[5]s shows what has it mapped there; if nothing there does, a cluster behind that address has it open: end that use, then retry here; nothing was changed",
		s.Namespace, s.Image("data"), holder.Host(), holder.Client, node), scene.Creating))
	s.LetsGo(west, "data")
	s.Create(west, scene.Pod("x", "alias"))
	s.Ready(west, "x")
	s.Wrote("data", west)
}

// As the chart says: whatever storage itself needs must start without the webhook.
func TestANamespaceThatTheChartExcludesIsLeftToCephCSI(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Namespace = "rook-ceph"
	s.Volume("data", east, west)
	s.Holds(east, "data")
	s.Create(west, scene.Pod("x", "data"))
	time.Sleep(3 * time.Second)
	if got := s.Kubectl(west, "get", "pod/x", "-o=jsonpath={.status.phase}"); got != "Pending" {
		t.Errorf("it is %s", got)
	}
	s.LetsGo(east)
	s.Ready(west, "x")
	s.Wrote("data", east, west)
}

// condition waits for a condition of Deployment x.
func (s *shop) condition(c *scene.Cluster, kind appsv1.DeploymentConditionType, reason, message string) {
	s.Helper()
	s.Eventually("condition "+string(kind), func() error {
		d, err := c.Client.AppsV1().Deployments(s.Namespace).Get(s.Context(), "x", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range d.Status.Conditions {
			if condition.Type == kind && condition.Status == corev1.ConditionTrue && condition.Reason == reason && strings.Contains(condition.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("there are %+v", d.Status.Conditions)
	})
}

// neverRefused checks that nothing in the namespace was ever refused. On a machine that is
// busy Ceph may not answer in time, which is no refusal, and is told as what it is.
func (s *shop) neverRefused(c *scene.Cluster) {
	s.Helper()
	s.neverRefusedBut(c, "\x00")
}

// neverRefusedBut lets that refusal pass.
func (s *shop) neverRefusedBut(c *scene.Cluster, but string) {
	s.Helper()
	for _, e := range s.Events(c) {
		switch refused := e.Reason == "VolumeInUse" || e.Reason == "FailedCreate"; {
		case !refused || strings.Contains(e.Message, but):
		case strings.Contains(e.Message, ceph.ErrUnreachable.Error()), strings.Contains(e.Message, context.DeadlineExceeded.Error()):
			s.Logf("while the machine was busy: event %q", e)
		default:
			s.Errorf("event %q", e)
		}
	}
}
