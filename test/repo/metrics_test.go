package repo

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/provisioner"
	"github.com/cephferry/cephferry/pkg/register"
)

// metricsOf register the metrics of a document.
var metricsOf = map[string]func(prometheus.Registerer){
	"docs/webhook.md": func(r prometheus.Registerer) {
		guard.NewMetrics(r, func() float64 { return 0 })
		register.NewMetrics(r)
		keeper.NewState(r)
	},
	"docs/provisioner.md": func(r prometheus.Registerer) { provisioner.NewMetrics(r) },
}

// kept keeps what is registered. A registry tells the type of a metric only once it has a value.
type kept struct {
	prometheus.Registerer
	all []prometheus.Collector
}

func (k *kept) MustRegister(all ...prometheus.Collector) { k.all = append(k.all, all...) }

// families are the metrics by their names, as Prometheus sees them, without values.
func families(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	var k kept
	for _, registerAll := range metricsOf {
		registerAll(&k)
	}
	var all []*dto.MetricFamily
	for _, collector := range k.all {
		var kind dto.MetricType
		switch collector.(type) {
		case *prometheus.HistogramVec, prometheus.Histogram:
			kind = dto.MetricType_HISTOGRAM
		case *prometheus.CounterVec:
			kind = dto.MetricType_COUNTER
		case *prometheus.GaugeVec, prometheus.Gauge, prometheus.GaugeFunc:
			kind = dto.MetricType_GAUGE
		default:
			t.Fatalf("%T is a kind of metric that this test does not know", collector)
		}
		descriptions := make(chan *prometheus.Desc, 10)
		collector.Describe(descriptions)
		close(descriptions)
		for d := range descriptions {
			m := regexp.MustCompile(`fqName: ("[^"]*"), help: ("(?:[^"\\]|\\.)*"), .*variableLabels: {([^}]*)}`).FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("cannot read %s", d)
			}
			family := &dto.MetricFamily{Type: &kind}
			for i, to := range []**string{&family.Name, &family.Help} {
				text, err := strconv.Unquote(m[1+i])
				if err != nil {
					t.Fatal(err)
				}
				*to = &text
			}
			metric := &dto.Metric{}
			for _, label := range regexp.MustCompile(`\w+`).FindAllString(m[3], -1) {
				metric.Label = append(metric.Label, &dto.LabelPair{Name: &label})
			}
			family.Metric = []*dto.Metric{metric}
			all = append(all, family)
		}
	}
	return all
}

// TestMetricsAreNamedWell: as Prometheus' own linter wants them, with our prefix.
func TestMetricsAreNamedWell(t *testing.T) {
	all := families(t)
	if len(all) < 15 {
		t.Fatalf("there are %d metrics", len(all))
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	ours := regexp.MustCompile(`^cephferry_[a-z_]+$`)
	for _, family := range all {
		if !ours.MatchString(family.GetName()) {
			t.Errorf("%s does not have our prefix", family.GetName())
		}
	}
}

// TestMetricsAreBounded: no metric has a label of which there may be thousands, such as volumes.
func TestMetricsAreBounded(t *testing.T) {
	bounded := map[string]string{
		"endpoint": "as many as webhooks", "result": "constants", "reason": "constants", "call": "constants", "change": "constants",
		"task": "constants", "fate": "constants", "state": "constants",
		"cluster_id": "those that ceph-csi is configured with", "pool": "those with guarded volumes",
		"owner": "bounded by the code", "cluster": "those that share the Ceph",
	}
	for _, family := range families(t) {
		for _, label := range family.Metric[0].Label {
			if bounded[label.GetName()] == "" {
				t.Errorf("%s has the label %s: how many values can it have?", family.GetName(), label.GetName())
			}
		}
	}
}

// TestWhatIsAlertedExists: each metric in the alerts and on the dashboard is one of ours, and each alert
// has its section in the document that its link leads to.
func TestWhatIsAlertedExists(t *testing.T) {
	there := map[string]bool{}
	for _, family := range families(t) {
		there[family.GetName()] = true
		if family.GetType() == dto.MetricType_HISTOGRAM {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				there[family.GetName()+suffix] = true
			}
		}
	}
	used := map[string]int{}
	for _, file := range []string{"charts/cephferry/monitoring/alerts.yaml", "charts/cephferry/monitoring/dashboard.json"} {
		for _, expression := range submatches(read(t, file), `(?m)^ *"?expr"?: (.*)$`) {
			for _, name := range submatches(expression, `\b(cephferry_\w+)`) {
				used[file]++
				if !there[name] {
					t.Errorf("%s: there is no metric %s", file, name)
				}
			}
		}
		if used[file] < 10 {
			t.Errorf("%s uses %d metrics", file, used[file])
		}
	}
	rules := read(t, "charts/cephferry/monitoring/alerts.yaml")
	alerts := submatches(rules, `(?m)^ *- alert: (\w+)$`)
	if diff := cmp.Diff(alerts, submatches(section(t, troubleshooting, "Alerts"), `(?m)^### (\w+)$`)); diff != "" {
		t.Errorf("%s (-alerts +sections):\n%s", troubleshooting, diff)
	}
	var links []string
	for _, alert := range alerts {
		links = append(links, "https://github.com/cephferry/cephferry/blob/main/docs/troubleshooting.md#"+slug(alert))
	}
	if diff := cmp.Diff(links, submatches(rules, `(?m)^ *runbook_url: (\S+)$`)); diff != "" {
		t.Errorf("links (-alerts +runbook_url):\n%s", diff)
	}
}
