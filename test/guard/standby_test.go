//go:build lab

package guard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/keeper"
)

// ten is a chart of ten Deployments, app-0 to app-9, each with a claim.
const ten = `{{ range $i := until 10 }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files-{{ $i }}, annotations: {cephferry.io/migratable: "true"}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ceph-block
  resources: {requests: {storage: 16Mi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-{{ $i }}}
spec:
  replicas: {{ $.Values.replicas }}
  selector: {matchLabels: {app: app-{{ $i }}}}
  template:
    metadata: {labels: {app: app-{{ $i }}}}
    spec: {containers: [{name: main, image: none}], volumes: [{name: files, persistentVolumeClaim: {claimName: files-{{ $i }}}}]}
---
{{ end }}`

// chart makes a chart of one template, and returns its folder.
func (s *shop) chart(template string) string {
	s.Helper()
	dir := s.TempDir()
	for name, content := range map[string]string{
		"Chart.yaml":         "{apiVersion: v2, name: ten, version: 0.1.0}",
		"values.yaml":        "replicas: 1",
		"templates/all.yaml": template,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			s.Fatal(err)
		}
	}
	return dir
}

// Refusing the two would leave a chart of which nobody knows how much is there. They are
// stored, and start by themselves.
func TestAChartIsInstalledAsAWholeWhereAnotherClusterHasSomeOfItsVolumes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	chart, held := s.chart(ten), []string{"3", "7"}
	s.Must(s.Rendered(east, "install", "app", chart, noReplicas))
	var warnings []string
	for _, i := range held {
		s.Kubectl(east, "scale", "deployment/app-"+i, "--replicas=1")
		s.Runs(east, "app-"+i, 1)
		warning := s.waits("Deployment "+s.Namespace+"/app-"+i, s.InUse("files-"+i))
		warnings = append(warnings, strings.TrimPrefix(warning, "Warning: ")) // Helm has another word for it
	}

	installed := s.Rendered(west, "install", "app", chart)
	s.Must(installed)
	for _, warning := range warnings {
		if !strings.Contains(installed.Stderr, warning) {
			t.Errorf("helm says:\n%s\nwant in it:\n%s", installed.Stderr, warning)
		}
	}
	if n := strings.Count(installed.Stderr, " wait: "); n != len(held) {
		t.Errorf("%d warnings:\n%s", n, installed.Stderr)
	}
	status := s.Must(s.Helm(west, "status", "app"))
	if !strings.Contains(status, "STATUS: deployed") {
		t.Errorf("the release is\n%s", status)
	}
	list, err := west.Client.AppsV1().Deployments(s.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 10 {
		t.Errorf("there are %d Deployments, want 10: %v", len(list.Items), err)
	}
	for i := range 10 {
		want := 1
		if name := fmt.Sprint(i); name == held[0] || name == held[1] {
			want = 0
		}
		s.Runs(west, fmt.Sprint("app-", i), want)
	}

	s.Kubectl(east, "scale", "deployment/app-3", "deployment/app-7", "--replicas=0")
	for _, i := range held {
		s.Runs(west, "app-"+i, 1)
		s.Wrote("files-"+i, east, west)
		s.Eventually("app-"+i+" was woken", func() error {
			sets, err := west.Client.AppsV1().ReplicaSets(s.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=app-" + i})
			if err == nil && (len(sets.Items) != 1 || sets.Items[0].Annotations[keeper.WokenAnnotation] == "") {
				err = fmt.Errorf("there are %d ReplicaSets, without the annotation", len(sets.Items))
			}
			return err
		})
	}
}
