package ceph

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImageSpecString(t *testing.T) {
	tests := map[string]ImageSpec{
		"rbd/shop.data-db-0":       {Pool: "rbd", Name: "shop.data-db-0"},
		"rbd/north/shop.data-db-0": {Pool: "rbd", Namespace: "north", Name: "shop.data-db-0"},
	}
	for want, spec := range tests {
		if got := spec.String(); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

func TestWatcherCompare(t *testing.T) {
	want := []Watcher{
		{"10.0.0.1:0/1", "client.1", 9},
		{"10.0.0.1:0/2", "client.1", 1},
		{"10.0.0.1:0/2", "client.1", 2},
		{"10.0.0.1:0/2", "client.2", 1},
		{"10.0.0.2:0/1", "client.1", 1},
	}
	got := []Watcher{want[3], want[4], want[2], want[0], want[1]}
	slices.SortFunc(got, Watcher.Compare)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
