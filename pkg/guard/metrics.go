package guard

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// Metrics are what the guard counts. docs/webhook.md has the table, and a test
// compares the two.
type Metrics struct {
	decisions *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	ceph      *prometheus.HistogramVec
	cephErr   *prometheus.CounterVec
	cephUp    *prometheus.GaugeVec
	owners    *prometheus.CounterVec
	elsewhere prometheus.Gauge
}

// NewMetrics makes the metrics and registers them. expiry returns when the serving
// certificate ends, in seconds of Unix time.
func NewMetrics(registry prometheus.Registerer, expiry func() float64) *Metrics {
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
			Help:    "Time that a call to Ceph took, by call (connect, look, image, record, put-record, watchers).",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}, []string{"call"}),
		cephErr: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cephferry_ceph_errors_total",
			Help: "Calls to Ceph that failed, by call.",
		}, []string{"call"}),
	}
	m.owners = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cephferry_owner_changes_total",
		Help: "Changes of images' owners by this cluster, by change (acquire, adopt, refresh, release).",
	}, []string{"change"})
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cephferry_certificate_expiry_seconds",
		Help: "When the serving certificate ends, in seconds of Unix time; 0 without one.",
	}, expiry))
	m.cephUp = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cephferry_ceph_up",
		Help: "Whether Ceph let this program in and answered the last call, by clusterID: 1 or 0.",
	}, []string{"cluster_id"})
	m.elsewhere = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cephferry_volumes_owned_elsewhere",
		Help: "Volumes that this cluster uses although it does not own their images, as the leader sees it; 0 in other replicas.",
	})
	registry.MustRegister(m.decisions, m.latency, m.ceph, m.cephErr, m.cephUp, m.owners, m.elsewhere)
	return m
}

func (m *Metrics) decided(endpoint string, answer Answer, took time.Duration) {
	m.decisions.WithLabelValues(endpoint, string(answer.Result), string(answer.Reason)).Inc()
	m.latency.WithLabelValues(endpoint).Observe(took.Seconds())
	if answer.Acquired > 0 {
		m.OwnerChanged("acquire", answer.Acquired)
	}
}

// OwnerChanged notes how often this cluster has changed the owner of an image.
func (m *Metrics) OwnerChanged(change string, times int) {
	m.owners.WithLabelValues(change).Add(float64(times))
}

// OwnedElsewhere notes how many volumes this cluster uses and does not own.
func (m *Metrics) OwnedElsewhere(volumes int) { m.elsewhere.Set(float64(volumes)) }

// CephCall notes one call of Ceph.
func (m *Metrics) CephCall(call string, took time.Duration, err error) {
	m.ceph.WithLabelValues(call).Observe(took.Seconds())
	if err != nil {
		m.cephErr.WithLabelValues(call).Inc()
	}
}

// CephConnected notes whether the Ceph of a clusterID let this program in. An error that is not
// Ceph's own says nothing of it, and a clusterID that is not configured any more has no series.
func (m *Metrics) CephConnected(clusterID string, err error) {
	switch {
	case errors.Is(err, csiconfig.ErrNotFound):
		m.cephUp.DeleteLabelValues(clusterID)
	case err != nil && ceph.Advice(err) != "":
		m.cephUp.WithLabelValues(clusterID).Set(0)
	}
}

// CephAnswered notes whether the Ceph of a clusterID answered a call. An answer that is an error is
// one.
func (m *Metrics) CephAnswered(clusterID string, err error) {
	up := 1.
	if errors.Is(err, ceph.ErrUnreachable) {
		up = 0
	}
	m.cephUp.WithLabelValues(clusterID).Set(up)
}
