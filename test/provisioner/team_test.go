//go:build lab

package provisioner

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// team is an app team with a namespace of the same name in both clusters.
type team struct{ *scene.Shop }

func newTeam(t *testing.T) *team {
	t.Helper()
	return &team{stage.Shop(t)}
}

// must is for what has to succeed.
func (tm *team) must(err error) {
	tm.Helper()
	if err != nil {
		tm.Fatal(err)
	}
}

// apply applies manifests; NS in them is the namespace.
func (tm *team) apply(c *scene.Cluster, manifests string) {
	tm.Helper()
	tm.must(c.Apply(tm.Context(), strings.ReplaceAll(manifests, "NS", tm.Namespace)))
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

func (tm *team) get(c *scene.Cluster, claim string) *corev1.PersistentVolumeClaim {
	tm.Helper()
	got, err := c.Client.CoreV1().PersistentVolumeClaims(tm.Namespace).Get(tm.Context(), claim, metav1.GetOptions{})
	tm.must(err)
	return got
}

func (tm *team) volume(c *scene.Cluster, name string) *corev1.PersistentVolume {
	tm.Helper()
	got, err := c.Client.CoreV1().PersistentVolumes().Get(tm.Context(), name, metav1.GetOptions{})
	tm.must(err)
	return got
}

// image is the name of the image that a claim has by default.
func (tm *team) image(claim string) string { return tm.Namespace + "." + claim }

// bound waits until the claim is bound to the volume of that image.
func (tm *team) bound(c *scene.Cluster, claim, image string) {
	tm.Helper()
	tm.Eventually("claim "+claim+" in "+c.Name+" is bound", func() error {
		got, err := c.Client.CoreV1().PersistentVolumeClaims(tm.Namespace).Get(tm.Context(), claim, metav1.GetOptions{})
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
func (tm *team) gone(c *scene.Cluster, volume string) {
	tm.Helper()
	tm.Eventually("PersistentVolume "+volume+" in "+c.Name+" is gone", func() error {
		got, err := c.Client.CoreV1().PersistentVolumes().Get(tm.Context(), volume, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		return fmt.Errorf("it is %s", got.Status.Phase)
	})
}

// noPods waits until the namespace has none.
func (tm *team) noPods(c *scene.Cluster) {
	tm.Helper()
	tm.Eventually("no pods in "+c.Name, func() error {
		list, err := c.Client.CoreV1().Pods(tm.Namespace).List(tm.Context(), metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("there are %d", len(list.Items))
		}
		return err
	})
}

// events are those of a claim, as "type reason: message".
func (tm *team) events(c *scene.Cluster, claim string) []string {
	tm.Helper()
	var events []string
	for _, e := range tm.Events(c) {
		if e.Object == "PersistentVolumeClaim/"+claim {
			events = append(events, e.Type+" "+e.Reason+": "+e.Message)
		}
	}
	return events
}

// event waits for an event of the claim that contains the parts.
func (tm *team) event(c *scene.Cluster, claim string, parts ...string) {
	tm.Helper()
	tm.Eventually("an event of "+claim, func() error {
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
func (tm *team) condition(c *scene.Cluster, claim, kind, text string) {
	tm.Helper()
	tm.Eventually("condition "+kind+" of "+claim, func() error {
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
	found, err := tm.Ceph.Admin(tm.T).Image(tm.Context(), spec(lab.Pool+"/"+image))
	tm.must(err)
	return int(found.Size >> 20)
}

// free waits until nobody has the image open.
func (tm *team) free(image string) {
	tm.Helper()
	tm.Ceph.Free(tm.T, spec(lab.Pool+"/"+image))
}

// spec is an image by its name in rbd's arguments.
func spec(image string) ceph.ImageSpec {
	parts := strings.Split(image, "/")
	return ceph.ImageSpec{Pool: parts[0], Namespace: strings.Join(parts[1:len(parts)-1], "/"), Name: parts[len(parts)-1], Key: scene.NobodysKey}
}

// wrote checks that these clusters wrote to the image one after the other, and that
// each went on from what the other left.
func (tm *team) wrote(image string, clusters ...*scene.Cluster) {
	tm.Helper()
	tm.wroteTo(lab.Pool+"/"+image, clusters...)
}

// wroteTo is wrote for an image anywhere in Ceph.
func (tm *team) wroteTo(image string, clusters ...*scene.Cluster) {
	tm.Helper()
	var names []string
	for _, c := range clusters {
		names = append(names, c.Name)
	}
	tm.Ceph.Wrote(tm.T, spec(image), names...)
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

// last are the numbers of the claims' newest stamps.
func (tm *team) last(claims []string) map[string]uint64 {
	tm.Helper()
	last := map[string]uint64{}
	for _, claim := range claims {
		if last[claim] = tm.Stamps(claim).Last().Sequence; last[claim] == 0 {
			tm.Errorf("nobody has written to %s", claim)
		}
	}
	return last
}

// goesOn checks that pods write on where the stamps were, and that these clusters alone
// have written, one after the other.
func (tm *team) goesOn(before map[string]uint64, clusters ...*scene.Cluster) {
	tm.Helper()
	for claim, last := range before {
		tm.Grows(claim)
		tm.wrote(tm.image(claim), clusters...)
		if now := tm.Stamps(claim).Last().Sequence; now <= last {
			tm.Errorf("%s is at stamp %d, and was at %d", claim, now, last)
		}
	}
}
