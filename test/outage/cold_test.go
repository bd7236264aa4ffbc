//go:build lab

package outage

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// free is a workload whose pods have no claim.
const free = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: free}, spec: {replicas: %d, selector: {matchLabels: {app: free}}, " +
	"template: {metadata: {labels: {app: free}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: none}]}}}}"

// Not parallel: it cuts the power of west. Of all that starts then, the webhook is the last: what it
// needs itself starts without it, and what it guards waits for it.
func TestAColdStartOfAWholeCluster(t *testing.T) {
	s := newShop(t)
	// The nodes come back before their watches end, and their pods wait for that.
	keepWatches := func(limit time.Duration) {
		if err := storage.KeepWatches(context.WithoutCancel(t.Context()), limit); err != nil {
			t.Error(err)
		}
	}
	keepWatches(15 * time.Second)
	t.Cleanup(func() { keepWatches(lab.Watches) })
	s.Volume("bound", west)
	s.Volume("data", east, west)
	s.Create(west, scene.Workload("StatefulSet", "bound", "bound", 1)+"---\n"+scene.Workload("StatefulSet", "db", "data", 1))
	s.Runs(west, "bound", 1)
	s.Runs(west, "db", 1)
	s.Holders("data")
	// What the webhook's own pods and those of the system are.
	system := []string{"cephferry-system", "kube-system"}
	for _, namespace := range system {
		s.Kubectl(west, "label", "namespace", namespace, "--overwrite", scene.GuardedLabel+"=true") // by mistake
		if r := s.Run(west, fmt.Sprintf(free, 1), "create", "--namespace", namespace, "-f", "-"); r.Err != nil {
			t.Fatal(r.Stderr)
		}
	}

	if err := west.Webhook.Kill(); err != nil {
		t.Fatal(err)
	}
	restart := west.Restarts(t)
	if err := west.ColdStart(t.Context()); err != nil {
		t.Fatal(err)
	}

	// What starts anew asks nobody in the namespaces of the system and of the webhook itself, nor
	// elsewhere without a claim; the scheduler binds it, guarded or not.
	for _, namespace := range system {
		s.Kubectl(west, "delete", "--namespace", namespace, "pods", "--selector=app=free", "--wait=false")
	}
	s.Create(west, fmt.Sprintf(free, 2))
	s.Runs(west, "free", 2)
	for _, namespace := range system {
		s.Eventually("a new pod runs in "+namespace, func() error {
			pods, err := west.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=free"})
			if err != nil {
				return err
			}
			for _, pod := range pods.Items {
				if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
					return nil
				}
			}
			return fmt.Errorf("there are %d, and none runs", len(pods.Items))
		})
	}
	// A guarded pod that starts anew is refused, and its controller goes on asking.
	s.Kubectl(west, "delete", "pod/db-0", "--wait=false")
	s.Event(west, "FailedCreate", "StatefulSet/db", `failed calling webhook "pod.guard.cephferry.io"`)
	if got := s.Label(west); got != "true" {
		t.Errorf("the label is %q", got)
	}
	if owner := s.Record("data").Owner; owner == nil || owner.Name != west.Name {
		t.Errorf("west owns data no more: %+v", owner)
	}

	// A pod that had its node has started again there: nobody was asked.
	s.Grows("bound")

	begin := time.Now()
	restart()
	s.Runs(west, "db", 1)
	t.Logf("%s after the webhook was started, what had waited for it runs", time.Since(begin).Round(time.Millisecond))
	s.Wrote("bound", west)
	s.Wrote("data", west)
	for _, namespace := range system {
		s.Kubectl(west, "delete", "--namespace", namespace, "deployment/free")
		s.Kubectl(west, "label", "namespace", namespace, scene.GuardedLabel+"-")
	}
	if events := fmt.Sprint(s.Events(west)); strings.Contains(events, `failed calling webhook "binding`) {
		t.Errorf("a binding has waited for the webhook: %s", events)
	}
}
