//go:build lab && cgo

package goceph

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Many who look and write what they saw plus one lose nothing: the version of the record is
// that of the record, although names and headers are read at the same time.
func TestLooksByManyAtOnce(t *testing.T) {
	const callers, writes = 16, 10
	h := sharedHarness(t)
	cluster := h.connect(t)
	one, other := h.image(t, cluster, "looked-at"), h.image(t, cluster, "looked-at-too")
	add := func(spec ceph.ImageSpec) {
		for {
			look, err := cluster.Look(t.Context(), spec)
			if err != nil {
				t.Error(err)
				return
			}
			look.Record.ClaimSize++
			_, err = cluster.PutRecord(t.Context(), look.Image, look.Record)
			if errors.Is(err, ceph.ErrRecordChanged) {
				continue
			}
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
	parallel(callers, func(i int) {
		for range writes {
			add([]ceph.ImageSpec{one.ImageSpec, other.ImageSpec}[i%2])
		}
	})
	for _, image := range []ceph.Image{one, other} {
		look, err := cluster.Look(t.Context(), image.ImageSpec)
		must(t, err)
		if look.Record.ClaimSize != callers*writes/2 {
			t.Errorf("%s: %d writes; want %d", image.Name, look.Record.ClaimSize, callers*writes/2)
		}
	}
}

// The id that is remembered of a name leads to nothing when another image has it.
func TestLookAtAnotherImageOfTheName(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	for round := range 3 {
		image := h.image(t, cluster, "name")
		record, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: uint64(round)})
		must(t, err)
		for range 2 {
			look, err := cluster.Look(t.Context(), image.ImageSpec)
			must(t, err)
			if diff := cmp.Diff(ceph.Look{Image: image, Record: record}, look); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		h.RenameImage(t, image.ImageSpec, "aside-"+image.ID)
		if look, err := cluster.Look(t.Context(), image.ImageSpec); !errors.Is(err, ceph.ErrImageNotFound) {
			t.Errorf("got %v, %v; want %v", look, err, ceph.ErrImageNotFound)
		}
	}
}
