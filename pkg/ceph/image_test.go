package ceph

import "testing"

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
