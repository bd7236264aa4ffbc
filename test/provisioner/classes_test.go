//go:build lab

package provisioner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// The classes that the chart makes in both clusters, and one that tests make.
const (
	migratable = "migratable"
	patient    = "migratable-when-used"
	files      = "migratable-files"
)

// ownClasses are chart values for classes that take their settings from these.
func ownClasses(block, filesystem string) string {
	return fmt.Sprintf(",classes[0].name=%s,classes[0].from=%s,classes[1].name=%s,classes[1].from=%[2]s,classes[1].volumeBindingMode=WaitForFirstConsumer,classes[2].name=%[4]s,classes[2].from=%[5]s",
		migratable, block, patient, files, filesystem)
}

// classed is a claim that names a class and nothing else.
func classed(name, class, mode string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: NS}
spec: {accessModes: [%s], storageClassName: %s, resources: {requests: {storage: 16Mi}}}
---
`, name, mode, class)
}

// ofClass makes the claim templates of [statefulSet] name a class, without annotations.
func ofClass(manifest, class string) string {
	return strings.NewReplacer(`, annotations: {cephferry.io/migratable: "true"}`, "", `storageClassName: ""`, "storageClassName: "+class).Replace(manifest)
}

// TestAClassIsEnough: what names our class is a migratable volume, in both clusters, whose
// classes of ceph-csi have different names. Nothing of it has an annotation of ours.
func TestAClassIsEnough(t *testing.T) {
	t.Parallel()
	t.Run("a claim", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		tm.apply(east, classed("data", migratable, "ReadWriteOnce")+pod("app", "data"))
		tm.bound(east, "data", tm.image("data"))
		tm.Ready(east, "app")
		if got := tm.volume(east, tm.image("data")).Spec; got.StorageClassName != migratable || got.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain || got.CSI.VolumeHandle != tm.image("data")+"~east" {
			t.Errorf("the volume is %+v", got)
		}
		if got := ours(tm.get(east, "data").Annotations); len(got) > 0 {
			t.Errorf("the claim has %v", got)
		}
		// West is refused while east has it, and gets it afterwards. A claim that no pod waits for yet would be bound.
		tm.apply(west, pod("app", "data")+classed("data", migratable, "ReadWriteOnce"))
		tm.condition(west, "data", "Stalled", "is in use by another cluster")
		tm.Kubectl(east, "delete", "pod/app")
		tm.Ready(west, "app")
		tm.bound(west, "data", tm.image("data"))
		tm.wrote(tm.image("data"), east, west)
	})
	t.Run("a claim with an annotation besides", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		tm.apply(east, strings.Replace(classed("data", migratable, "ReadWriteOnce"), "namespace: NS", `namespace: NS, annotations: {cephferry.io/keyed: "false"}`, 1))
		tm.bound(east, "data", tm.image("data"))
		if handle := tm.volume(east, tm.image("data")).Spec.CSI.VolumeHandle; handle != tm.image("data") {
			t.Errorf("the handle is %s", handle)
		}
	})
	t.Run("a StatefulSet at any scale", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		for i, c := range []*scene.Cluster{east, west} {
			tm.apply(c, ofClass(statefulSet("db", 1), migratable))
			for _, replicas := range []int{1, 3, 2, 0} {
				tm.Kubectl(c, "scale", "statefulset/db", fmt.Sprint("--replicas=", replicas))
				for n := range replicas {
					tm.bound(c, fmt.Sprint("data-db-", n), tm.image(fmt.Sprint("data-db-", n)))
					tm.Ready(c, fmt.Sprint("db-", n))
				}
			}
			tm.noPods(c)
			for n := range 3 {
				tm.free(tm.image(fmt.Sprint("data-db-", n)))
				tm.wrote(tm.image(fmt.Sprint("data-db-", n)), []*scene.Cluster{east, west}[:i+1]...)
			}
		}
	})
	t.Run("a class that waits for a pod", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		manifest := classed("data", patient, "ReadWriteOnce")
		tm.apply(east, manifest)
		tm.event(east, "data", "Normal WaitForFirstConsumer")
		if names := tm.images(); slices.Contains(names, tm.image("data")) {
			t.Errorf("there are %q", names)
		}
		tm.apply(east, pod("app", "data"))
		tm.Ready(east, "app")
		tm.bound(east, "data", tm.image("data"))
		tm.apply(west, manifest+pod("app", "data"))
		tm.condition(west, "data", "Stalled", "is in use by another cluster")
		tm.Kubectl(east, "delete", "pod/app")
		tm.Ready(west, "app")
		tm.wrote(tm.image("data"), east, west)
	})
	t.Run("a file system", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		for _, c := range []*scene.Cluster{east, west} {
			tm.apply(c, classed("files", files, "ReadWriteMany")+pod("app", "files"))
			tm.bound(c, "files", tm.image("files"))
			tm.Ready(c, "app")
		}
		tm.sees(west, east, tm.image("files"))
	})
	t.Run("a chart, upgraded and moved, without a renderer", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		helm := func(c *scene.Cluster, command string, more ...string) {
			t.Helper()
			out, err := tm.helm(c, programs.helm4, append([]string{command, "db", scene.ChartDB, "--set=persistence.storageClass=" + migratable, "--set=persistence.size=16Mi"}, more...)...)
			if err != nil {
				t.Fatalf("helm %s: %v: %s", command, err, out)
			}
		}
		helm(east, "install")
		tm.Ready(east, "db-0")
		helm(east, "upgrade", "--set=replicas=2")
		tm.Ready(east, "db-1")
		helm(east, "upgrade", "--set=replicas=0")
		tm.noPods(east)
		helm(west, "install", "--set=replicas=2")
		for n := range 2 {
			tm.Ready(west, fmt.Sprint("db-", n))
			tm.wrote(tm.image(fmt.Sprint("data-db-", n)), east, west)
		}
	})
	t.Run("what GitOps tools do", func(t *testing.T) {
		t.Parallel()
		tm := newTeam(t)
		manifests := strings.ReplaceAll(classed("data", migratable, "ReadWriteOnce")+deployment, "NS", tm.Namespace)
		file := filepath.Join(t.TempDir(), "all.yaml")
		tm.must(os.WriteFile(file, []byte(manifests), 0o600))
		for _, how := range [][]string{
			{"apply", "--server-side", "--field-manager=argocd-controller", "--force-conflicts"},
			{"apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts"},
			{"apply"},
		} {
			tm.Kubectl(east, append(slices.Clone(how), "--filename", file)...)
			tm.bound(east, "data", tm.image("data"))
		}
		// Argo CD's Replace=true is refused by the API server for a bound claim of any kind that
		// is written without its volume; what was read before can be replaced.
		live := filepath.Join(t.TempDir(), "live.yaml")
		tm.must(os.WriteFile(live, []byte(tm.Kubectl(east, "get", "pvc/data", "--output=yaml")), 0o600))
		tm.Kubectl(east, "replace", "--filename", live)
		tm.bound(east, "data", tm.image("data"))
	})
}

// TestADefaultClass of ours serves claims that name none. It changes what all claims
// without a class get, so nothing runs beside it.
func TestADefaultClass(t *testing.T) {
	tm := newTeam(t)
	retain := corev1.PersistentVolumeReclaimRetain
	own := &storagev1.StorageClass{
		// The newest default class holds.
		ObjectMeta:  metav1.ObjectMeta{Name: "default-of-ours", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: "cephferry.io/provisioner", Parameters: map[string]string{"cephferry.io/class": "ceph-block"}, ReclaimPolicy: &retain,
	}
	classes := east.Client.StorageV1().StorageClasses()
	_, err := classes.Create(t.Context(), own, metav1.CreateOptions{})
	tm.must(err)
	t.Cleanup(func() { tm.must(classes.Delete(context.Background(), own.Name, metav1.DeleteOptions{})) })
	tm.Eventually("the default class", func() error {
		tm.apply(east, strings.Replace(classed("data", "X", "ReadWriteOnce"), "storageClassName: X, ", "", 1))
		if class := tm.get(east, "data").Spec.StorageClassName; class == nil || *class != own.Name {
			tm.Kubectl(east, "delete", "pvc/data")
			return fmt.Errorf("the claim has class %v", class)
		}
		return nil
	})
	tm.bound(east, "data", tm.image("data"))
	if got := tm.volume(east, tm.image("data")).Spec.StorageClassName; got != own.Name {
		t.Errorf("the volume has class %q", got)
	}
}

// TestWhatTheAPIServerDoesWithClasses: quotas count by class; the annotation makes the
// volume larger, and needs no other. TestGrowingByRequest has requests that rise.
func TestWhatTheAPIServerDoesWithClasses(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	tm.apply(east, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: volumes, namespace: NS}, spec: {hard: {migratable.storageclass.storage.k8s.io/persistentvolumeclaims: '1'}}}")
	tm.Eventually("the quota is counted", func() error {
		if got := tm.Kubectl(east, "get", "resourcequota/volumes", "--output=jsonpath={.status.hard}"); got == "" {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	tm.apply(east, classed("data", migratable, "ReadWriteOnce"))
	tm.bound(east, "data", tm.image("data"))
	tm.refuses(east, "exceeded quota: volumes", classed("more", migratable, "ReadWriteOnce"))
	tm.Kubectl(east, "annotate", "pvc/data", "cephferry.io/size=32Mi")
	tm.event(east, "data", "Normal Resized: grew image", "to 32Mi")
	if size := tm.size(tm.image("data")); size != 32 {
		t.Errorf("the image has %d MiB", size)
	}
}

// TestFromAnnotationToClass: the walk of docs/provisioner.md from one door to the other keeps
// the data, and back.
func TestFromAnnotationToClass(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	doors := []string{claim("data", "16Mi", "cephferry.io/class: ceph-block"), classed("data", migratable, "ReadWriteOnce"), claim("data", "16Mi", "cephferry.io/class: ceph-block")}
	for i, door := range doors {
		tm.apply(east, door+pod("app", "data"))
		tm.Ready(east, "app")
		tm.wrote(tm.image("data"), east)
		if i < len(doors)-1 {
			tm.Kubectl(east, "delete", "pod/app", "pvc/data")
			tm.gone(east, tm.image("data"))
		}
	}
}

// refuses checks that the API server refuses manifests with these words.
func (tm *team) refuses(c *scene.Cluster, words, manifests string) {
	tm.Helper()
	err := c.Apply(tm.Context(), strings.ReplaceAll(manifests, "NS", tm.Namespace))
	if err == nil || !strings.Contains(err.Error(), words) {
		tm.Errorf("got %v, want %q", err, words)
	}
}

// images are those of the default rados namespace of the lab's pool.
func (tm *team) images() []string {
	tm.Helper()
	out, err := storage.RBD(tm.Context(), "ls", "--pool", lab.Pool)
	tm.must(err)
	return strings.Fields(string(out))
}
