//go:build lab

package provisioner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
)

const (
	// settleLimit is for what takes seconds on a machine that has nothing else to
	// do.
	settleLimit  = time.Minute
	pollInterval = 50 * time.Millisecond
)

// team is an app team with a namespace of the same name in both clusters.
type team struct {
	*testing.T
	namespace string
}

var teams atomic.Int32

func newTeam(t *testing.T) *team {
	t.Helper()
	tm := &team{t, fmt.Sprint("team-", teams.Add(1))}
	for _, c := range []*cluster{east, west} {
		tm.apply(c, "{apiVersion: v1, kind: Namespace, metadata: {name: "+tm.namespace+"}}")
		tm.eventually("account default", func() error {
			_, err := c.client.CoreV1().ServiceAccounts(tm.namespace).Get(tm.Context(), "default", metav1.GetOptions{})
			return err
		})
	}
	return tm
}

// eventually polls until check is content.
func (tm *team) eventually(what string, check func() error) {
	tm.Helper()
	for deadline := time.Now().Add(settleLimit); ; time.Sleep(pollInterval) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tm.Fatalf("wait for %s: %v", what, err)
		}
	}
}

// must is for what has to succeed.
func (tm *team) must(err error) {
	tm.Helper()
	if err != nil {
		tm.Fatal(err)
	}
}

// apply applies manifests; NS in them is the namespace.
func (tm *team) apply(c *cluster, manifests string) {
	tm.Helper()
	tm.must(c.Apply(tm.Context(), strings.ReplaceAll(manifests, "NS", tm.namespace)))
}

func (tm *team) kubectl(c *cluster, args ...string) string {
	tm.Helper()
	out, err := c.Run(tm.Context(), append([]string{"--namespace", tm.namespace}, args...)...)
	tm.must(err)
	return string(out)
}

// claim is a migratable claim without a class, with more annotations as YAML.
func claim(name, size string, more ...string) string {
	all := append([]string{`cephferry.io/migratable: "true"`}, more...)
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: NS, annotations: {%s}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: %s}}}
---
`, name, strings.Join(all, ", "), size)
}

// statefulSet has one claim template, data, with these annotations besides.
func statefulSet(name string, replicas int, more ...string) string {
	all := append([]string{`cephferry.io/migratable: "true"`}, more...)
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: %[1]s, namespace: NS}
spec:
  serviceName: none
  replicas: %[2]d
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: main, image: none, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: data, annotations: {%[3]s}}
    spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 16Mi}}}
---
`, name, replicas, strings.Join(all, ", "))
}

// pod uses one claim.
func pod(name, claim string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: NS}, spec: {containers: [{name: main, image: none}], "+
		"volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]}}\n---\n", name, claim)
}

func (tm *team) get(c *cluster, claim string) *corev1.PersistentVolumeClaim {
	tm.Helper()
	got, err := c.client.CoreV1().PersistentVolumeClaims(tm.namespace).Get(tm.Context(), claim, metav1.GetOptions{})
	tm.must(err)
	return got
}

func (tm *team) volume(c *cluster, name string) *corev1.PersistentVolume {
	tm.Helper()
	got, err := c.client.CoreV1().PersistentVolumes().Get(tm.Context(), name, metav1.GetOptions{})
	tm.must(err)
	return got
}

// image is the name of the image that a claim has by default.
func (tm *team) image(claim string) string { return tm.namespace + "." + claim }

// bound waits until the claim is bound to the volume of that image.
func (tm *team) bound(c *cluster, claim, image string) {
	tm.Helper()
	tm.eventually("claim "+claim+" in "+c.Name+" is bound", func() error {
		got, err := c.client.CoreV1().PersistentVolumeClaims(tm.namespace).Get(tm.Context(), claim, metav1.GetOptions{})
		if err != nil {
			return err // a StatefulSet's is made a moment later
		}
		if got.Status.Phase != corev1.ClaimBound || len(got.Status.Conditions) > 0 {
			return fmt.Errorf("it is %s with conditions %v; %q", got.Status.Phase, got.Status.Conditions, tm.events(c, claim))
		}
		if got.Spec.VolumeName != image {
			tm.Fatalf("claim %s is bound to %s, want %s", claim, got.Spec.VolumeName, image)
		}
		return nil
	})
}

// gone waits until there is no PersistentVolume of that name.
func (tm *team) gone(c *cluster, volume string) {
	tm.Helper()
	tm.eventually("PersistentVolume "+volume+" in "+c.Name+" is gone", func() error {
		got, err := c.client.CoreV1().PersistentVolumes().Get(tm.Context(), volume, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		return fmt.Errorf("it is %s", got.Status.Phase)
	})
}

// ready waits until the pods run.
func (tm *team) ready(c *cluster, pods ...string) {
	tm.Helper()
	for _, name := range pods {
		tm.eventually("pod "+name+" in "+c.Name+" is ready", func() error {
			got, err := c.client.CoreV1().Pods(tm.namespace).Get(tm.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got.DeletionTimestamp != nil || !slices.ContainsFunc(got.Status.Conditions, func(condition corev1.PodCondition) bool {
				return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
			}) {
				return fmt.Errorf("it is %s", got.Status.Phase)
			}
			return nil
		})
	}
}

// noPods waits until the namespace has none.
func (tm *team) noPods(c *cluster) {
	tm.Helper()
	tm.eventually("no pods in "+c.Name, func() error {
		list, err := c.client.CoreV1().Pods(tm.namespace).List(tm.Context(), metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("there are %d", len(list.Items))
		}
		return err
	})
}

// events are those of a claim, as "type reason: message".
func (tm *team) events(c *cluster, claim string) []string {
	tm.Helper()
	list, err := c.client.CoreV1().Events(tm.namespace).List(tm.Context(), metav1.ListOptions{})
	tm.must(err)
	var events []string
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == "PersistentVolumeClaim" && e.InvolvedObject.Name == claim {
			events = append(events, e.Type+" "+e.Reason+": "+e.Message)
		}
	}
	return events
}

// event waits for an event of the claim that contains the parts.
func (tm *team) event(c *cluster, claim string, parts ...string) {
	tm.Helper()
	tm.eventually("an event of "+claim, func() error {
		events := tm.events(c, claim)
		if slices.ContainsFunc(events, func(e string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(e, part) })
		}) {
			return nil
		}
		return fmt.Errorf("there are %q, want %q", events, parts)
	})
}

// condition waits for a condition of the claim that contains the text.
func (tm *team) condition(c *cluster, claim, kind, text string) {
	tm.Helper()
	tm.eventually("condition "+kind+" of "+claim, func() error {
		conditions := tm.get(c, claim).Status.Conditions
		if slices.ContainsFunc(conditions, func(condition corev1.PersistentVolumeClaimCondition) bool {
			return string(condition.Type) == kind && condition.Status == corev1.ConditionTrue && strings.Contains(condition.Message, text)
		}) {
			return nil
		}
		return fmt.Errorf("there are %v", conditions)
	})
}

// size is that of an image in MiB.
func (tm *team) size(image string) int {
	tm.Helper()
	out, err := storage.RBD(tm.Context(), "info", lab.Pool+"/"+image, "--format", "json")
	tm.must(err)
	var info struct{ Size int }
	tm.must(json.Unmarshal(out, &info))
	return info.Size >> 20
}

// free waits until nobody has the image open.
func (tm *team) free(image string) {
	tm.Helper()
	tm.eventually("nobody has "+image, func() error {
		out, err := storage.RBD(tm.Context(), "status", lab.Pool+"/"+image, "--format", "json")
		if err != nil {
			return err
		}
		var status struct{ Watchers []any }
		if err := json.Unmarshal(out, &status); err != nil {
			return err
		}
		if len(status.Watchers) > 0 {
			return fmt.Errorf("it has watchers %v", status.Watchers)
		}
		return nil
	})
}

// wrote checks that these clusters wrote to the image one after the other, and that
// each went on from what the other left.
func (tm *team) wrote(image string, clusters ...*cluster) {
	tm.Helper()
	tm.wroteTo(lab.Pool+"/"+image, clusters...)
}

// wroteTo is wrote for an image anywhere in Ceph.
func (tm *team) wroteTo(image string, clusters ...*cluster) {
	tm.Helper()
	log, err := storage.ReadStamps(tm.Context(), image)
	tm.must(err)
	tm.must(log.Check())
	var got, want []string
	for _, run := range log.Runs() {
		got = append(got, run.Cluster)
	}
	for _, c := range clusters {
		want = append(want, c.Name)
	}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		tm.Errorf("writers of %s: %v, want %v", image, got, want)
	}
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }
