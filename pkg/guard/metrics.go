package guard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the guard counts. docs/webhook.md has the table, and a test
// compares the two.
type Metrics struct {
	decisions *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	ceph      *prometheus.HistogramVec
	cephErr   *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cephferry_decisions_total",
			Help: "Answers, by endpoint, result (allowed, denied, unknown) and reason.",
		}, []string{"endpoint", "result", "reason"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "cephferry_decision_seconds",
			Help:    "Time that an answer took, by endpoint.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"endpoint"}),
		ceph: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "cephferry_ceph_call_seconds",
			Help:    "Time that a call of Ceph took, by call (connect, watchers).",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}, []string{"call"}),
		cephErr: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cephferry_ceph_errors_total",
			Help: "Calls of Ceph that failed, by call.",
		}, []string{"call"}),
	}
	registry.MustRegister(m.decisions, m.latency, m.ceph, m.cephErr)
	return m
}

func (m *Metrics) decided(endpoint string, answer Answer, took time.Duration) {
	m.decisions.WithLabelValues(endpoint, string(answer.Result), string(answer.Reason)).Inc()
	m.latency.WithLabelValues(endpoint).Observe(took.Seconds())
}

// CephCall notes one call of Ceph.
func (m *Metrics) CephCall(call string, took time.Duration, err error) {
	m.ceph.WithLabelValues(call).Observe(took.Seconds())
	if err != nil {
		m.cephErr.WithLabelValues(call).Inc()
	}
}
