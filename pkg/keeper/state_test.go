package keeper_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/keeper"
)

// gathered are the values of all series.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name := strings.TrimPrefix(family.GetName(), "cephferry_")
			for _, label := range metric.Label {
				name += fmt.Sprintf(" %s=%s", label.GetName(), label.GetValue())
			}
			values[name] = metric.Gauge.GetValue()
		}
	}
	return values
}

// TestState: the leader counts its cluster's volumes by what their records say, and forgets what
// was.
func TestState(t *testing.T) {
	s := newSteady(t, 4, ofKind{owner: &east})
	registry := prometheus.NewRegistry()
	s.keeper.State = keeper.NewState(registry)
	s.keeper.State.Heard(map[string]float64{"east": 17})
	s.keeper.State.Waiting(3)
	counts := func(want map[string]float64) {
		t.Helper()
		s.sweep.Pass(t.Context())
		want["leader"], want["refused_workloads"] = 0, 3
		want["registration_heard_seconds cluster=east"] = 17
		if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	image := func(i int) ceph.Image {
		image, err := s.client.Image(t.Context(), ceph.ImageSpec{Pool: "replicapool", Name: fmt.Sprintf("shop.data-%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	put := func(i int, change func(*ceph.Record)) {
		record, err := s.client.Record(t.Context(), image(i))
		if err != nil {
			t.Fatal(err)
		}
		change(&record)
		if _, err := s.client.PutRecord(t.Context(), image(i), record); err != nil {
			t.Fatal(err)
		}
	}
	counts(map[string]float64{"volumes owner=east state=held": 4, "fenced_nodes": 0})

	put(0, func(r *ceph.Record) { r.State, r.Owner = ceph.Free, nil })
	put(1, func(r *ceph.Record) { r.Owner.Party = west })
	fenced := []ceph.FencedNode{{Cluster: east, Node: ceph.Node{Name: "e1", BootID: "b"}}}
	put(1, func(r *ceph.Record) { r.Fenced = fenced })
	put(2, func(r *ceph.Record) {
		r.State, r.Takeover = ceph.Fencing, &ceph.Takeover{Party: west, By: "ann", Since: noon}
		r.Fenced = append(fenced, ceph.FencedNode{Cluster: east, Node: ceph.Node{Addresses: []string{"10.0.1.13"}}})
	})
	counts(map[string]float64{
		"volumes owner= state=free": 1, "volumes owner=west state=held": 1, "volumes owner=east state=fencing": 1, "volumes owner=east state=held": 1,
		"fenced_nodes": 2,
	})

	s.ceph.Intercept(func(context.Context, cephtest.Call, func() error) error { return ceph.ErrUnreachable })
	counts(map[string]float64{"volumes owner= state=unknown": 4, "fenced_nodes": 2})

	s.ceph.Intercept(nil)
	for i := range 4 {
		s.remove(&corev1.PersistentVolume{ObjectMeta: volume(fmt.Sprintf("shop.data-%d", i), "").ObjectMeta})
	}
	counts(map[string]float64{"fenced_nodes": 2}) // of images that are there without a volume
}

// TestStateIsBounded: however many clusters own volumes, there are few series.
func TestStateIsBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	state := keeper.NewState(registry)
	keeper.Count(state, 100)
	values := gathered(t, registry)
	volumes, series := 0., 0
	for name, value := range values {
		if strings.HasPrefix(name, "volumes ") {
			volumes += value
			series++
		}
	}
	if want := 100. * 101 / 2; volumes != want || series != 21 {
		t.Errorf("%v volumes in %d series, want %v in 21", volumes, series, want)
	}
	if values["volumes owner=cluster-99 state=held"] != 100 || values["volumes owner=others state=held"] != 80*81/2 {
		t.Errorf("those with most volumes are not kept: %v", values)
	}
}
