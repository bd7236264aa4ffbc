package keeper

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// maxOwners bounds the series of the volumes' owners. Clusters have few owners: those that
	// share their Ceph.
	maxOwners = 20
	// others stands for owners beyond that, and nobody for none.
	others = "others"
	nobody = ""
	// stateUnknown is that of a volume whose record cannot be read.
	stateUnknown = "unknown"
)

// State are gauges of what the leader has seen, and of who waits: totals, and never a series for
// a volume. docs/webhook.md has the table, and a test compares the two. A nil State is
// for whoever counts nothing.
type State struct {
	leader  prometheus.Gauge
	volumes *prometheus.GaugeVec
	fenced  prometheus.Gauge
	waiting prometheus.Gauge
	heard   *prometheus.GaugeVec
}

// NewState makes the gauges and registers them.
func NewState(registry prometheus.Registerer) *State {
	s := &State{
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cephferry_leader",
			Help: "Whether this replica is the leader: 1 or 0.",
		}),
		volumes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cephferry_volumes",
			Help: "Guarded volumes of this cluster, by the name of the cluster that owns the image and by state (free, held, fencing, unknown), as the leader sees them.",
		}, []string{"owner", "state"}),
		fenced: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cephferry_fenced_nodes",
			Help: "Machines that records name as fenced, in the pools of this cluster's volumes, as the leader sees them.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cephferry_refused_workloads",
			Help: "Workloads whose pods this replica has refused, and will wake when their volumes are free.",
		}),
		heard: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cephferry_registration_heard_seconds",
			Help: "When the leader last saw a new registration of each cluster, by its own clock, in seconds of Unix time.",
		}, []string{"cluster"}),
	}
	registry.MustRegister(s.leader, s.volumes, s.fenced, s.waiting, s.heard)
	return s
}

func (s *State) leads() {
	if s != nil {
		s.leader.Set(1)
	}
}

// Waiting notes how many workloads wait.
func (s *State) Waiting(workloads int) {
	if s != nil {
		s.waiting.Set(float64(workloads))
	}
}

// Heard notes when each cluster was heard of last, by their names, in seconds of Unix time.
func (s *State) Heard(clusters map[string]float64) {
	if s == nil {
		return
	}
	s.heard.Reset()
	for name, at := range clusters {
		s.heard.WithLabelValues(name).Set(at)
	}
}

// census is what a sweep has counted.
type census struct {
	volumes map[share]int
	fenced  map[string]bool
	// blind: not all records could be read, so that not seeing a fence means nothing.
	blind bool
}

// share is of the volumes with the same owner and state.
type share struct{ owner, state string }

// add counts a volume by the record of its image, if that is known.
func (c *census) add(record ceph.Record, known bool) {
	is := share{nobody, stateUnknown}
	if known {
		is.state = record.State.String()
		if record.Owner != nil {
			is.owner = record.Owner.Name
		}
	}
	if c.volumes == nil {
		c.volumes = map[share]int{}
	}
	c.volumes[is]++
}

// addFenced notes the machines that a record names as fenced.
func (c *census) addFenced(record ceph.Record) {
	for _, one := range record.Fenced {
		if c.fenced == nil {
			c.fenced = map[string]bool{}
		}
		name := one.Node.Name
		if name == "" && len(one.Node.Addresses) > 0 {
			name = one.Node.Addresses[0]
		}
		c.fenced[one.Cluster.UID+" "+name+" "+one.Node.BootID] = true
	}
}

// bounded are the volumes with at most so many owners: those with most volumes, and the others
// together.
func (c *census) bounded(owners int) map[share]int {
	sizes := map[string]int{}
	for is, n := range c.volumes {
		if is.owner != nobody {
			sizes[is.owner] += n
		}
	}
	names := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(sizes[b]-sizes[a], strings.Compare(a, b))
	})
	kept := names[:min(owners, len(names))]
	all := map[share]int{}
	for is, n := range c.volumes {
		if is.owner != nobody && !slices.Contains(kept, is.owner) {
			is.owner = others
		}
		all[is] += n
	}
	return all
}

func (s *State) counted(c census) {
	s.volumes.Reset()
	for is, n := range c.bounded(maxOwners) {
		s.volumes.WithLabelValues(is.owner, is.state).Set(float64(n))
	}
	if !c.blind {
		s.fenced.Set(float64(len(c.fenced)))
	}
}
