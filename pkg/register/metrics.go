package register

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are about the registrations that this replica writes, if it is the leader.
// docs/webhook.md has the table, and a test compares the two.
type Metrics struct {
	written *prometheus.GaugeVec
	errors  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	labels := []string{"cluster_id", "pool"}
	m := &Metrics{
		written: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cephferry_registration_written_seconds",
			Help: "When the leader wrote this cluster's registration last, by clusterID and pool, in seconds of Unix time; 0 if it could not yet.",
		}, labels),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cephferry_registration_errors_total",
			Help: "Attempts to write this cluster's registration that failed, by clusterID and pool.",
		}, labels),
	}
	registry.MustRegister(m.written, m.errors)
	return m
}

func (m *Metrics) wrote(place Place, at time.Time) {
	m.written.WithLabelValues(place.ClusterID, place.Pool).Set(float64(at.UnixMilli()) / 1000)
}

func (m *Metrics) failed(place Place) {
	m.errors.WithLabelValues(place.ClusterID, place.Pool).Inc()
	m.written.WithLabelValues(place.ClusterID, place.Pool) // 0 until it is written
}

func (m *Metrics) forget(place Place) {
	m.written.DeleteLabelValues(place.ClusterID, place.Pool)
	m.errors.DeleteLabelValues(place.ClusterID, place.Pool)
}
