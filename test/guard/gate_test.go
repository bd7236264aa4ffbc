//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/webhook"
)

// In east nobody is told when scaling. The ReplicaSet tries again after pauses
// that double, so after a refusal for some seconds it takes about as long again.
func TestWithoutTheScaleEndpointThePodsAreRefusedAndComeByThemselves(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.holds(west, "data")
	s.create(east, workload("Deployment", "x", "data", 0))
	begin := time.Now()
	s.kubectl(east, "scale", "deployment/x", "--replicas=1")
	set := s.replicaSets(east)[0]
	text := s.inUseOf(east, "data")
	s.event(east, "FailedCreate", "ReplicaSet/"+set.Name, `Error creating: admission webhook "pod.guard.cephferry.io" denied the request: `, text)
	s.event(east, "VolumeInUse", "ReplicaSet/"+set.Name, text)
	s.condition(east, appsv1.DeploymentReplicaFailure, "FailedCreate", text)
	time.Sleep(2 * time.Second)
	if pods := s.pods(east, "x"); len(pods) != 0 {
		t.Errorf("there is pod %s", pods[0].Name)
	}

	s.letsGo(west, "data")
	refused := time.Since(begin)
	begin = time.Now()
	s.runs(east, "x", 1)
	took := time.Since(begin)
	t.Logf("refused for %s, and running %s after the other cluster was done", refused.Round(time.Millisecond), took.Round(time.Millisecond))
	if limit := 2*refused + 10*time.Second; took > limit {
		t.Errorf("it took %s to recover, want less than %s", took, limit)
	}
	s.wrote("data", west, east)
}

// The deployment-controller gives up for good after some refusals, and tells
// nobody. So nothing that it does is refused, not even while the pods are.
func TestADeploymentWhosePodsAreRefusedCanBeChanged(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.holds(west, "data")
	// On one node: on two, Kubernetes attaches the volume to the first pod only, and
	// a rolling update waits for the second one for ever.
	s.create(east, workload("Deployment", "x", "data", 1, on(east.Nodes[0])))
	s.event(east, "FailedCreate", "ReplicaSet/"+s.replicaSets(east)[0].Name, s.inUseOf(east, "data"))
	s.kubectl(east, "rollout", "restart", "deployment/x")
	s.eventually("a second ReplicaSet that wants a pod", func() error {
		sets := s.replicaSets(east)
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
	s.kubectl(east, "scale", "deployment/x", "--replicas=3")
	s.kubectl(east, "scale", "deployment/x", "--replicas=1")
	s.letsGo(west, "data")
	s.kubectl(east, "rollout", "status", "deployment/x", "--timeout=50s")
	s.wrote("data", west, east)
}

// The second pod of a rolling update uses the claim beside the first one.
func TestTheOwningClusterRestartsGrowsAndMovesItsPodsAsEver(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.create(west, workload("Deployment", "x", "data", 1, on(west.Nodes[0])))
	s.runs(west, "x", 1)
	first := s.pods(west, "x")[0].Name

	s.kubectl(west, "rollout", "restart", "deployment/x")
	s.kubectl(west, "rollout", "status", "deployment/x", "--timeout=50s")
	s.runs(west, "x", 1)
	if now := s.pods(west, "x")[0].Name; now == first {
		t.Errorf("it is still pod %s", now)
	}
	s.kubectl(west, "scale", "deployment/x", "--replicas=3")
	s.runs(west, "x", 3)
	s.kubectl(west, "delete", "pod", "--selector=app=x")
	s.runs(west, "x", 3)
	s.kubectl(west, "scale", "deployment/x", "--replicas=1")
	s.runs(west, "x", 1)

	s.kubectl(west, "patch", "deployment/x", `--patch={"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`)
	s.kubectl(west, "patch", "deployment/x", `--patch={"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/hostname":"`+west.Nodes[1].Name+`"}}}}}`)
	s.kubectl(west, "rollout", "status", "deployment/x", "--timeout=50s")
	s.runs(west, "x", 1)
	if got := s.pods(west, "x")[0].Spec.NodeName; got != west.Nodes[1].Name {
		t.Errorf("the pod is on %s", got)
	}
	s.wrote("data", west)
	s.neverRefused(west)

	// While it does all that, the other cluster is refused.
	s.refused(s.run(east, pod("p", "data"), "create", "-f", "-"), forbidden("pod", s.inUseOf(east, "data"), creating))
}

// Only the claims of new ordinals count: here another cluster has ordinal 2.
func TestOfAStatefulSetOnlyTheNewOrdinalsCount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, claim := range []string{"data-x-0", "data-x-1", "data-x-2"} {
		s.volume(claim, east)
		s.create(west, s.pv(claim))
	}
	s.create(west, `
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
	s.kubectl(west, "wait", "--for=create", "pod/x-0", "--timeout=30s")
	s.bound(west, "data-x-0")
	s.holds(east, "data-x-2")

	s.kubectl(west, "scale", "statefulset/x", "--replicas=2")
	s.begins(west, "x-1")
	s.ready(west, "x-1")
	s.refused(s.run(west, "", "scale", "statefulset/x", "--replicas=3"), forbidden("scale", s.inUse("data-x-2")))
	s.wrote("data-x-1", west)

	s.letsGo(east, "data-x-2")
	s.kubectl(west, "scale", "statefulset/x", "--replicas=3")
	s.begins(west, "x-0")
	s.begins(west, "x-2")
	s.runs(west, "x", 3)
	s.wrote("data-x-0", west)
	s.wrote("data-x-2", east, west)
}

// begins lets a pod begin that was made with a scheduling gate.
func (s *shop) begins(c *cluster, name string) {
	s.Helper()
	s.kubectl(c, "wait", "--for=create", "pod/"+name, "--timeout=30s")
	s.kubectl(c, "patch", "pod/"+name, "--type=json", `--patch=[{"op":"remove","path":"/spec/schedulingGates"}]`)
}

// What is admitted once may begin later, and nobody else begins meanwhile: no watcher
// says so, but the record does.
func TestAPodThatWasAdmittedHasItsVolumeHoweverLateItBegins(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east, west)
	s.create(west, pod("x", "data", "schedulingGates: [{name: example.com/later}]"))
	s.holders("data") // the pod was seen
	time.Sleep(2 * webhook.Grace)
	s.refused(s.run(east, pod("p", "data"), "create", "-f", "-"), forbidden("pod", s.inUseOf(east, "data"), creating))
	s.begins(west, "x")
	s.ready(west, "x")
	s.wrote("data", west)
}

// A watcher is explained by the volume that it is attached as. So of two volumes
// with one image only one can be used at a time.
func TestASecondVolumeWithTheSameImageIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", west)
	rename := []string{"name: " + s.namespace + ".data", "name: " + s.namespace + ".alias", "volumeName: " + s.namespace + ".data", "volumeName: " + s.namespace + ".alias",
		"name: data", "name: alias"}
	s.create(west, s.pv("data", rename...)+"---"+s.pvc("data", rename...))
	s.bound(west, "alias")
	s.holds(west, "data")
	holder := s.watchers("data")[0]
	node := s.kubectl(west, "get", "pod/holder", "-o=jsonpath={.spec.nodeName}")
	s.refused(s.run(west, pod("x", "alias"), "create", "-f", "-"), forbidden("pod", fmt.Sprintf("volume %s/alias (image %s) is in use by another cluster\n"+
		"  held by   %s (client.%d), the address of node %s, which does not use the volume\n"+
		"  do this   scale the workload down in that cluster, then retry here; nothing was changed",
		s.namespace, s.image("data"), holder.host(), holder.Client, node), creating))
	s.letsGo(west, "data")
	s.create(west, pod("x", "alias"))
	s.ready(west, "x")
	s.wrote("data", west)
}

// As the chart says: whatever storage itself needs must start without the webhook.
func TestANamespaceThatTheChartExcludesIsLeftToCephCSI(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.namespace = "rook-ceph"
	s.volume("data", east, west)
	s.holds(east, "data")
	s.create(west, pod("x", "data"))
	time.Sleep(3 * time.Second)
	if got := s.kubectl(west, "get", "pod/x", "-o=jsonpath={.status.phase}"); got != "Pending" {
		t.Errorf("it is %s", got)
	}
	s.letsGo(east)
	s.ready(west, "x")
	s.wrote("data", east, west)
}

func (s *shop) replicaSets(c *cluster) []appsv1.ReplicaSet {
	s.Helper()
	var sets []appsv1.ReplicaSet
	s.eventually("a ReplicaSet", func() error {
		list, err := c.client.AppsV1().ReplicaSets(s.namespace).List(s.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if sets = list.Items; len(sets) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	return sets
}

// condition waits for a condition of Deployment x.
func (s *shop) condition(c *cluster, kind appsv1.DeploymentConditionType, reason, message string) {
	s.Helper()
	s.eventually("condition "+string(kind), func() error {
		d, err := c.client.AppsV1().Deployments(s.namespace).Get(s.Context(), "x", metav1.GetOptions{})
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

// neverRefused checks that nothing in the namespace was ever refused.
func (s *shop) neverRefused(c *cluster) {
	s.Helper()
	for _, e := range s.events(c) {
		if e.reason == "VolumeInUse" || e.reason == "FailedCreate" {
			s.Errorf("event %q", e)
		}
	}
}
