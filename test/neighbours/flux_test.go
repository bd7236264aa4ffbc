//go:build neighbours

package neighbours

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/test/scene"
)

var (
	releaseResource    = schema.GroupVersionResource{Group: "helm.toolkit.fluxcd.io", Version: "v2", Resource: "helmreleases"}
	repositoryResource = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "ocirepositories"}
)

// release is a HelmRelease db of Flux, in a namespace of both clusters.
type release struct{ *scene.Shop }

// newRelease starts Flux's helm-controllers, and plays the source-controller: the chart db of
// testdata is the artifact of an OCIRepository.
func newRelease(t *testing.T) *release {
	t.Helper()
	r := &release{stage.Shop(t)}
	archive, version := r.packageChart()
	sources := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(archive) // who asked went away
	}))
	t.Cleanup(sources.Close)
	for _, c := range []*scene.Cluster{east, west} {
		r.controller(c)
		r.source(c, sources.URL, archive, version)
	}
	return r
}

// packageChart is the archive that `helm package` makes, and the chart's version.
func (r *release) packageChart() (archive []byte, version string) {
	r.Helper()
	dir := r.TempDir()
	scene.Command{Program: stage.Programs["helm"], Args: []string{"package", scene.ChartDB, "--destination", dir}, Env: map[string]string{"HOME": dir}}.Run(r.Context()).Must(r.T)
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		r.Fatalf("archives %q: %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		r.Fatal(err)
	}
	return data, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(files[0]), "db-"), ".tgz")
}

// controller starts the helm-controller.
func (r *release) controller(c *scene.Cluster) {
	r.Helper()
	program := stage.Programs["helm-controller"]
	r.Kubectl(c, "apply", "--server-side", "--filename", filepath.Join(filepath.Dir(program), "crds"))
	for kind, plural := range map[string]string{"OCIRepository": "ocirepositories", "HelmChart": "helmcharts"} {
		if err := c.Apply(r.Context(), sourceDefinition(kind, plural)); err != nil {
			r.Fatal(err)
		}
	}
	r.Kubectl(c, "wait", "--for=condition=Established", "crd/helmreleases.helm.toolkit.fluxcd.io", "crd/ocirepositories.source.toolkit.fluxcd.io", "crd/helmcharts.source.toolkit.fluxcd.io", "--timeout=60s")
	dir := r.TempDir()
	run(r.T, dir, []string{"HOME=" + dir, "TMPDIR=" + dir, "KUBECONFIG=" + c.Kubeconfig, "RUNTIME_NAMESPACE=" + r.Namespace},
		program, "--watch-all-namespaces=false", "--metrics-addr=127.0.0.1:"+freePort(r.T), "--health-addr=127.0.0.1:"+freePort(r.T))
}

// sourceDefinition makes a kind of the source-controller's, whose objects may have anything.
func sourceDefinition(kind, plural string) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.source.toolkit.fluxcd.io}
spec:
  group: source.toolkit.fluxcd.io
  scope: Namespaced
  names: {plural: %[1]s, singular: %[3]s, kind: %[2]s}
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}},
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
`, plural, kind, strings.ToLower(kind))
}

// source makes the OCIRepository as the source-controller leaves it.
func (r *release) source(c *scene.Cluster, url string, archive []byte, version string) {
	r.Helper()
	err := c.ApplyIn(r.Context(), r.Namespace, `{apiVersion: source.toolkit.fluxcd.io/v1, kind: OCIRepository, metadata: {name: charts}, spec: {interval: 10m, url: "oci://example.com/charts/db"}}`)
	if err != nil {
		r.Fatal(err)
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
	status := fmt.Appendf(nil, `{"status": {"observedGeneration": 1,
		"conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}],
		"artifact": {"url": "%s/db.tgz", "path": "db.tgz", "digest": %q, "revision": "%s@%s", "size": %d, "lastUpdateTime": "2026-01-01T00:00:00Z"}}}`, url, digest, version, digest, len(archive))
	if _, err := c.Dynamic.Resource(repositoryResource).Namespace(r.Namespace).Patch(r.Context(), "charts", types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		r.Fatal(err)
	}
}

// apply applies the HelmRelease with these further fields of its spec, and waits until it is done.
func (r *release) apply(c *scene.Cluster, more string) {
	r.Helper()
	err := c.ApplyIn(r.Context(), r.Namespace, `
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: db}
spec:
  interval: 10m
  chartRef: {kind: OCIRepository, name: charts}
`+more)
	if err != nil {
		r.Fatal(err)
	}
	r.Eventually("the HelmRelease in "+c.Name+" is ready", func() error {
		object, err := c.Dynamic.Resource(releaseResource).Namespace(r.Namespace).Get(r.Context(), "db", metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, condition := range conditions {
			fields := condition.(map[string]any)
			if fields["type"] == "Ready" && fields["status"] == "True" && fields["observedGeneration"] == object.GetGeneration() {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", conditions)
	})
}

// reconcile has the controller look again, as `flux reconcile` does, and returns when it has.
func (r *release) reconcile(c *scene.Cluster) {
	r.Helper()
	now := time.Now().Format(time.RFC3339Nano)
	releases := c.Dynamic.Resource(releaseResource).Namespace(r.Namespace)
	if _, err := releases.Patch(r.Context(), "db", types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, now), metav1.PatchOptions{}); err != nil {
		r.Fatal(err)
	}
	r.Eventually("the HelmRelease in "+c.Name+" is reconciled", func() error {
		object, err := releases.Get(r.Context(), "db", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if handled, _, _ := unstructured.NestedString(object.Object, "status", "lastHandledReconcileAt"); handled != now {
			return fmt.Errorf("it was last asked %q", handled)
		}
		return nil
	})
}

// replicas are those that the StatefulSet is to have.
func (r *release) replicas(c *scene.Cluster) int32 {
	r.Helper()
	set, err := c.Client.AppsV1().StatefulSets(r.Namespace).Get(r.Context(), "db", metav1.GetOptions{})
	if err != nil {
		r.Fatal(err)
	}
	return *set.Spec.Replicas
}

const (
	classed      = "  values: {persistence: {size: 16Mi, storageClass: " + migratable + "}, replicas: %d}\n"
	corrects     = "  driftDetection: {mode: enabled}\n"
	ignoresScale = "  driftDetection: {mode: enabled, ignore: [{paths: [/spec/replicas], target: {kind: StatefulSet}}]}\n"
)

// TestFlux moves a HelmRelease whose chart takes a class by its values, and does nothing else.
func TestFlux(t *testing.T) {
	r := newRelease(t)
	r.apply(east, fmt.Sprintf(classed, 1))
	r.Ready(east, "db-0")
	r.apply(west, fmt.Sprintf(classed, 0))
	r.apply(east, fmt.Sprintf(classed, 0))
	r.Released(east, "data-db-0")
	r.apply(west, fmt.Sprintf(classed, 1))
	r.Ready(west, "db-0")
	r.Wrote("data-db-0", east, west)
}

// TestFluxCorrectsDrift: what cephferry and the cluster add to a release's objects is no drift,
// and replicas that somebody has changed are, unless they are ignored.
func TestFluxCorrectsDrift(t *testing.T) {
	r := newRelease(t)
	r.apply(east, fmt.Sprintf(classed, 1)+corrects)
	r.Ready(east, "db-0")
	versions, err := east.Versions(r.Context(), r.Namespace, "statefulsets", "persistentvolumeclaims")
	if err != nil {
		t.Fatal(err)
	}
	r.reconcile(east)
	if again, err := east.Versions(r.Context(), r.Namespace, "statefulsets", "persistentvolumeclaims"); err != nil || again != versions {
		t.Errorf("it has corrected what nobody has changed: %v\n%s\n%s", err, versions, again)
	}

	r.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	r.reconcile(east)
	r.Eventually("the replicas are put back", func() error {
		if got := r.replicas(east); got != 1 {
			return fmt.Errorf("there are to be %d", got)
		}
		return nil
	})

	r.apply(east, fmt.Sprintf(classed, 1)+ignoresScale)
	r.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	r.reconcile(east)
	if got := r.replicas(east); got != 0 {
		t.Errorf("there are to be %d replicas, although they are ignored", got)
	}
	r.Released(east, "data-db-0")
}

// TestFluxPatches: the patches of examples/flux make the claims of a chart that takes no class
// migratable.
func TestFluxPatches(t *testing.T) {
	r := newRelease(t)
	data, err := os.ReadFile("../../examples/flux/helmrelease.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var example struct{ Spec map[string]any }
	if err := yaml.Unmarshal(data, &example); err != nil {
		t.Fatal(err)
	}
	patches, err := yaml.Marshal(map[string]any{"postRenderers": example.Spec["postRenderers"], "values": map[string]any{"persistence": map[string]any{"size": "16Mi"}}})
	if err != nil {
		t.Fatal(err)
	}
	r.apply(east, "  "+strings.ReplaceAll(strings.TrimSpace(string(patches)), "\n", "\n  ")+"\n"+corrects)
	r.Ready(east, "db-0")
	r.Bound(east, "data-db-0")
	keyed(r.Shop, "data-db-0")
	r.Wrote("data-db-0", east)
}
