package render

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// monitored is a field of the object of that kind of the Prometheus operator, nil without one.
func monitored(r *rendered, kind string, path ...string) any {
	for _, object := range all[*unstructured.Unstructured](r) {
		if object.GetKind() == kind {
			field, _, err := unstructured.NestedFieldCopy(object.Object, path...)
			if err != nil {
				panic(err)
			}
			return field
		}
	}
	return nil
}

// rule is an alert as Prometheus reads it.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// TestMonitoring: each of the objects is there when it is asked for, and what Prometheus and
// Grafana read of it is what the files say.
func TestMonitoring(t *testing.T) {
	r := mustRender(t, nested("monitoring.serviceMonitor", "{enabled: true, interval: 1m, labels: {release: prometheus}}"))
	equal(t, "only what is asked for", []string{"ServiceMonitor cephferry-system/cephferry"}, containing(kinds(r), "Monitor"))
	equal(t, "label for Prometheus", "prometheus", monitored(r, "ServiceMonitor", "metadata", "labels", "release"))
	service := the[*corev1.Service](r)
	selector := monitored(r, "ServiceMonitor", "spec", "selector", "matchLabels").(map[string]any)
	if len(selector) == 0 {
		t.Error("it selects every Service")
	}
	for key, value := range selector {
		equal(t, "the Service's label "+key, value, service.Labels[key])
	}
	equal(t, "endpoints", []any{map[string]any{"port": "metrics", "interval": "1m"}}, monitored(r, "ServiceMonitor", "spec", "endpoints"))
	equal(t, "port of the Service", "metrics", service.Spec.Ports[1].Name)

	r = mustRender(t, nested("monitoring.rules", "{enabled: true, labels: {release: prometheus}}"))
	equal(t, "label for Prometheus", "prometheus", monitored(r, "PrometheusRule", "metadata", "labels", "release"))
	var file map[string]any
	if err := yaml.Unmarshal(read(t, "monitoring/alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	equal(t, "rules", file, monitored(r, "PrometheusRule", "spec"))

	r = mustRender(t, nested("monitoring.dashboard", "{enabled: true, annotations: {grafana_folder: storage}}"))
	dashboard := named[*corev1.ConfigMap](t, r, "cephferry-dashboard")
	equal(t, "label for the sidecar", "1", dashboard.Labels["grafana_dashboard"])
	equal(t, "annotations", map[string]string{"grafana_folder": "storage"}, dashboard.Annotations)
	equal(t, "dashboard", string(read(t, "monitoring/dashboard.json")), dashboard.Data["cephferry.json"]+"\n")
}

// TestRunbooks: each alert leads to its section, wherever the document is.
func TestRunbooks(t *testing.T) {
	for document, values := range map[string]string{
		"https://github.com/cephferry/cephferry/blob/main/docs/troubleshooting.md": "monitoring: {rules: {enabled: true}}",
		"https://docs.example.com/help":                                            "{monitoring: {rules: {enabled: true}}, troubleshootingURL: https://docs.example.com/help}",
		"":                                                                         "{monitoring: {rules: {enabled: true}}, troubleshootingURL: ''}",
	} {
		encoded, err := json.Marshal(monitored(mustRender(t, values), "PrometheusRule", "spec"))
		if err != nil {
			t.Fatal(err)
		}
		var spec struct{ Groups []struct{ Rules []rule } }
		if err := yaml.Unmarshal(encoded, &spec); err != nil || len(spec.Groups) != 1 || len(spec.Groups[0].Rules) < 10 {
			t.Fatalf("got %+v, %v", spec, err)
		}
		for _, rule := range spec.Groups[0].Rules {
			want := ""
			if document != "" {
				want = document + "#" + strings.ToLower(rule.Alert)
			}
			equal(t, rule.Alert, want, rule.Annotations["runbook_url"])
		}
	}
}

// TestDashboard: every panel has a description, a query and a place of its own.
func TestDashboard(t *testing.T) {
	var dashboard struct {
		UID    string
		Panels []struct {
			ID                       int
			Title, Description, Type string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type string }
		}
	}
	if err := json.Unmarshal(read(t, "monitoring/dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) < 10 || dashboard.UID == "" || len(dashboard.Templating.List) != 1 || dashboard.Templating.List[0].Name != "datasource" {
		t.Errorf("got %+v", dashboard)
	}
	taken := map[[2]int]string{}
	ids := map[int]string{}
	for _, panel := range dashboard.Panels {
		if panel.Description == "" || len(panel.Targets) == 0 || panel.Targets[0].Expr == "" || ids[panel.ID] != "" {
			t.Errorf("panel %+v", panel)
		}
		ids[panel.ID] = panel.Title
		at := panel.GridPos
		if at.X+at.W > 24 {
			t.Errorf("panel %q is wider than the page", panel.Title)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("panel %q covers %q", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
	}
}
