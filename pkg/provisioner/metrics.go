package provisioner

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the provisioner counts. docs/provisioner.md has the table, and a
// test compares the two.
type Metrics struct {
	tasks   *prometheus.CounterVec
	latency prometheus.Histogram
	volumes *prometheus.CounterVec
	waiting prometheus.Gauge
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cephferry_provisioner_tasks_total",
			Help: "Attempts for claims, by task (provision, grow) and result (done, refused, held, waiting, filesystem, outage).",
		}, []string{"task", "result"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "cephferry_provisioner_seconds",
			Help:    "Time from the first call of Ceph to the created PersistentVolume.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
		volumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cephferry_provisioner_volumes_total",
			Help: "PersistentVolumes whose claim was gone, by fate (removed, freed).",
		}, []string{"fate"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cephferry_waiting_claims",
			Help: "Claims that pods wait for and that wait for another cluster to let their image go, as the leader sees it; 0 in other replicas.",
		}),
	}
	registry.MustRegister(m.tasks, m.latency, m.volumes, m.waiting)
	return m
}

func (m *Metrics) provisioned(took time.Duration) {
	m.tasks.WithLabelValues(string(provisioning), "done").Inc()
	m.latency.Observe(took.Seconds())
}

func (m *Metrics) grown() { m.tasks.WithLabelValues(string(growing), "done").Inc() }

func (m *Metrics) failed(what task, why kind) {
	m.tasks.WithLabelValues(string(what), string(why)).Inc()
}

func (m *Metrics) volume(then fate) { m.volumes.WithLabelValues(string(then)).Inc() }
