package cephtest

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) images(t *testing.T) {
	cluster := s.connect(t, Provisioner)

	t.Run("what was made can be read back", func(t *testing.T) {
		spec := in("made")
		made, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 10 * mib, Features: []string{"layering", "exclusive-lock"}})
		wantError(t, err, nil)
		if made.ID == "" {
			t.Error("the image has no ID")
		}
		wantSame(t, made, ceph.Image{ImageSpec: spec, Named: "made", ID: made.ID, Size: 10 * mib, Features: []string{"exclusive-lock", "layering"}})
		read, err := cluster.Image(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, read, made)
	})

	t.Run("an image that does not exist", func(t *testing.T) {
		_, err := cluster.Image(t.Context(), in("absent"))
		wantError(t, err, ceph.ErrImageNotFound)
	})

	t.Run("a size that is no multiple of the object size, and none", func(t *testing.T) {
		for name, size := range map[string]uint64{"odd": 5*mib + 1, "empty": 0} {
			made, err := cluster.CreateImage(t.Context(), in(name), ceph.Layout{Size: size})
			wantError(t, err, nil)
			wantSame(t, made.Size, size)
		}
	})

	t.Run("a name that is taken", func(t *testing.T) {
		made := s.create(t, cluster, in("taken"), 2*mib)
		_, err := cluster.CreateImage(t.Context(), in("taken"), ceph.Layout{Size: 4 * mib})
		wantError(t, err, ceph.ErrImageExists)
		read, err := cluster.Image(t.Context(), in("taken"))
		wantError(t, err, nil)
		wantSame(t, read, made)
	})

	t.Run("made again after its removal it has another ID", func(t *testing.T) {
		first := s.create(t, cluster, in("again"), mib)
		s.RemoveImage(t, in("again"))
		_, err := cluster.Image(t.Context(), in("again"))
		wantError(t, err, ceph.ErrImageNotFound)
		second := s.create(t, cluster, in("again"), mib)
		if first.ID == second.ID {
			t.Errorf("both images have ID %q", first.ID)
		}
		read, err := cluster.Image(t.Context(), in("again"))
		wantError(t, err, nil)
		wantSame(t, read, second)
	})

	t.Run("of many who make one image at once, one does", func(t *testing.T) {
		for round := range 5 {
			spec := in(fmt.Sprintf("contended-%d", round))
			var mu sync.Mutex
			var winners []ceph.Image
			parallel(8, func(int) {
				made, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: mib})
				if errors.Is(err, ceph.ErrImageExists) {
					return
				}
				wantError(t, err, nil)
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, made)
			})
			if len(winners) != 1 {
				t.Fatalf("%d made %s; want 1", len(winners), spec)
			}
			read, err := cluster.Image(t.Context(), spec)
			wantError(t, err, nil)
			wantSame(t, read, winners[0])
		}
	})

	t.Run("nothing of this leaves a watcher", func(t *testing.T) {
		spec := in("unwatched")
		image := s.create(t, cluster, spec, mib)
		_, err := cluster.Image(t.Context(), spec)
		wantError(t, err, nil)
		_, err = cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: mib})
		wantError(t, err, nil)
		_, err = cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantError(t, cluster.GrowImage(t.Context(), spec, 2*mib), nil)
		wantSame(t, s.Watchers(t, spec), 0)
	})
}

func (s suite) layouts(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	tests := map[string]struct{ given, want ceph.Layout }{
		"zero values are librbd's defaults, without features": {
			ceph.Layout{Size: mib},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1},
		},
		"all features of ceph-csi": {
			ceph.Layout{Size: mib, Features: []string{"layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling"}},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1,
				Features: []string{"deep-flatten", "exclusive-lock", "fast-diff", "journaling", "layering", "object-map"}},
		},
		"object-map brings fast-diff": {
			ceph.Layout{Size: mib, Features: []string{"exclusive-lock", "object-map"}},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1,
				Features: []string{"exclusive-lock", "fast-diff", "object-map"}},
		},
		"a feature named twice": {
			ceph.Layout{Size: mib, Features: []string{"layering", "layering"}},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1, Features: []string{"layering"}},
		},
		"a data pool": {
			ceph.Layout{Size: mib, Features: []string{"layering"}, DataPool: dataPool},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1, DataPool: dataPool,
				Features: []string{"data-pool", "layering"}},
		},
		"the image's own pool as data pool": {
			ceph.Layout{Size: mib, DataPool: mainPool},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1},
		},
		"an object size": {
			ceph.Layout{Size: 20 * mib, ObjectSize: 8 * mib},
			ceph.Layout{Size: 20 * mib, ObjectSize: 8 * mib, StripeUnit: 8 * mib, StripeCount: 1},
		},
		"the smallest objects": {
			ceph.Layout{Size: mib, ObjectSize: 4 << 10},
			ceph.Layout{Size: mib, ObjectSize: 4 << 10, StripeUnit: 4 << 10, StripeCount: 1},
		},
		"the largest objects": {
			ceph.Layout{Size: mib, ObjectSize: 32 * mib},
			ceph.Layout{Size: mib, ObjectSize: 32 * mib, StripeUnit: 32 * mib, StripeCount: 1},
		},
		"stripes": {
			ceph.Layout{Size: 20 * mib, StripeUnit: 64 << 10, StripeCount: 16},
			ceph.Layout{Size: 20 * mib, ObjectSize: 4 * mib, StripeUnit: 64 << 10, StripeCount: 16, Features: []string{"striping"}},
		},
		"one stripe as long as the object is no striping": {
			ceph.Layout{Size: mib, StripeUnit: 4 * mib, StripeCount: 1},
			ceph.Layout{Size: mib, ObjectSize: 4 * mib, StripeUnit: 4 * mib, StripeCount: 1},
		},
	}
	n := 0
	for name, test := range tests {
		n++
		spec := in(fmt.Sprintf("layout-%d", n))
		t.Run(name, func(t *testing.T) {
			made, err := cluster.CreateImage(t.Context(), spec, test.given)
			wantError(t, err, nil)
			wantSame(t, made.Features, test.want.Features)
			wantSame(t, s.ImageLayout(t, spec), test.want)
			read, err := cluster.Image(t.Context(), spec)
			wantError(t, err, nil)
			wantSame(t, read, made)
		})
	}

	bad := map[string]ceph.Layout{
		"a feature that does not exist":            {Features: []string{"layering", "turbo"}},
		"a feature that only librbd sets":          {Features: []string{"data-pool"}},
		"object-map without exclusive-lock":        {Features: []string{"object-map"}},
		"fast-diff without object-map":             {Features: []string{"exclusive-lock", "fast-diff"}},
		"journaling without exclusive-lock":        {Features: []string{"journaling"}},
		"an object size that is no power of two":   {ObjectSize: 3 * mib},
		"an object size that is too small":         {ObjectSize: 2 << 10},
		"an object size that is too large":         {ObjectSize: 64 * mib},
		"a stripe unit without a stripe count":     {StripeUnit: 64 << 10},
		"a stripe count without a stripe unit":     {StripeCount: 2},
		"a stripe unit larger than the object":     {StripeUnit: 8 * mib, StripeCount: 2},
		"a stripe unit that divides it unevenly":   {StripeUnit: 3 << 10, StripeCount: 2},
		"more objects than an object map can hold": {Size: 1 << 60, Features: []string{"exclusive-lock", "object-map"}},
	}
	for name, layout := range bad {
		t.Run("refused: "+name, func(t *testing.T) {
			_, err := cluster.CreateImage(t.Context(), in("refused"), layout)
			wantError(t, err, ceph.ErrLayout)
			_, err = cluster.Image(t.Context(), in("refused"))
			wantError(t, err, ceph.ErrImageNotFound)
		})
	}
	t.Run("refused: a data pool that does not exist", func(t *testing.T) {
		_, err := cluster.CreateImage(t.Context(), in("refused"), ceph.Layout{Size: mib, DataPool: "no-such-pool"})
		wantError(t, err, ceph.ErrPoolNotFound)
		_, err = cluster.Image(t.Context(), in("refused"))
		wantError(t, err, ceph.ErrImageNotFound)
	})
}

func (s suite) namespaces(t *testing.T) {
	cluster := s.connect(t, Provisioner)

	t.Run("are listed", func(t *testing.T) {
		names, err := cluster.Namespaces(t.Context(), mainPool)
		wantError(t, err, nil)
		wantSame(t, names, []string{keyedSpace, keySpace, "north", registerSpace, "south", "survey"})
		names, err = cluster.Namespaces(t.Context(), dataPool)
		wantError(t, err, nil)
		wantSame(t, names, nil)
	})

	t.Run("keep images and records apart", func(t *testing.T) {
		images := map[string]ceph.Image{}
		for i, namespace := range []string{"", "north", "south"} {
			spec := ceph.ImageSpec{Pool: mainPool, Namespace: namespace, Name: "same"}
			_, err := cluster.Image(t.Context(), spec)
			wantError(t, err, ceph.ErrImageNotFound)
			images[namespace] = s.create(t, cluster, spec, uint64(i+1)*mib)
			// The same ID in every namespace: then only the namespace tells the
			// records apart.
			images[namespace] = ceph.Image{ImageSpec: spec, ID: images[""].ID}
			_, err = cluster.Record(t.Context(), images[namespace])
			wantError(t, err, ceph.ErrRecordNotFound)
			_, err = cluster.PutRecord(t.Context(), images[namespace], ceph.Record{ClaimSize: uint64(i + 1)})
			wantError(t, err, nil)
		}
		for i, namespace := range []string{"", "north", "south"} {
			image, err := cluster.Image(t.Context(), images[namespace].ImageSpec)
			wantError(t, err, nil)
			wantSame(t, image.Size, uint64(i+1)*mib)
			record, err := cluster.Record(t.Context(), images[namespace])
			wantError(t, err, nil)
			wantSame(t, record.ClaimSize, uint64(i+1))
		}
	})

	for _, m := range methods() {
		if m.name == "Namespaces" {
			continue
		}
		t.Run("one that does not exist, and "+m.name, func(t *testing.T) {
			image := ceph.Image{ImageSpec: ceph.ImageSpec{Pool: mainPool, Namespace: "west", Name: "image"}, ID: "1"}
			wantError(t, m.call(t.Context(), cluster, image), ceph.ErrNamespaceNotFound)
		})
	}
}

func (s suite) growth(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	size := func(t *testing.T, spec ceph.ImageSpec) uint64 {
		t.Helper()
		image, err := cluster.Image(t.Context(), spec)
		wantError(t, err, nil)
		return image.Size
	}

	t.Run("to more, and to what it is", func(t *testing.T) {
		spec := in("grows")
		s.create(t, cluster, spec, 2*mib)
		for range 2 {
			wantError(t, cluster.GrowImage(t.Context(), spec, 9*mib), nil)
			wantSame(t, size(t, spec), uint64(9*mib))
		}
	})

	t.Run("never to less", func(t *testing.T) {
		spec := in("shrinks")
		s.create(t, cluster, spec, 2*mib)
		wantError(t, cluster.GrowImage(t.Context(), spec, 2*mib-1), ceph.ErrImageShrinks)
		wantError(t, cluster.GrowImage(t.Context(), spec, 0), ceph.ErrImageShrinks)
		wantSame(t, size(t, spec), uint64(2*mib))
	})

	t.Run("of an image that does not exist", func(t *testing.T) {
		wantError(t, cluster.GrowImage(t.Context(), in("absent"), mib), ceph.ErrImageNotFound)
	})

	t.Run("by many at once: the largest size remains", func(t *testing.T) {
		other := s.connect(t, Provisioner)
		for round := range 10 {
			spec := in(fmt.Sprintf("race-%d", round))
			layout := ceph.Layout{Size: mib, Features: []string{"layering"}}
			if round%2 == 0 {
				layout.Features = append(layout.Features, "exclusive-lock")
			}
			_, err := cluster.CreateImage(t.Context(), spec, layout)
			wantError(t, err, nil)
			parallel(6, func(i int) {
				by := []ceph.Cluster{cluster, other}[i%2]
				err := by.GrowImage(t.Context(), spec, uint64(i+2)*mib)
				largest := i == 5
				if largest || !errors.Is(err, ceph.ErrImageShrinks) {
					wantError(t, err, nil)
				}
			})
			wantSame(t, size(t, spec), uint64(7*mib))
		}
	})

	t.Run("of an image that is mapped exclusively", func(t *testing.T) {
		spec := in("locked")
		s.create(t, cluster, spec, 2*mib)
		_, unmap := s.MapImage(t, spec)
		wantError(t, cluster.GrowImage(t.Context(), spec, 3*mib), ceph.ErrImageLocked)
		wantError(t, cluster.GrowImage(t.Context(), spec, mib), ceph.ErrImageShrinks)
		wantError(t, cluster.GrowImage(t.Context(), spec, 2*mib), nil)
		wantSame(t, size(t, spec), uint64(2*mib))
		unmap()
		wantError(t, cluster.GrowImage(t.Context(), spec, 3*mib), nil)
		wantSame(t, size(t, spec), uint64(3*mib))
	})
}

func (s suite) close(t *testing.T) {
	cluster, err := s.Dial(t, Provisioner)
	wantError(t, err, nil)
	image := s.create(t, cluster, in("close"), mib)
	for range 2 {
		wantError(t, cluster.Close(), nil)
	}
	for _, m := range methods() {
		t.Run(m.name+" afterwards", func(t *testing.T) {
			wantError(t, m.call(t.Context(), cluster, image), fs.ErrClosed)
		})
	}
}

// parallel calls f(0) to f(n-1) at the same moment and waits for all of them.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// onlyWinner writes from one revision eight times at once, and returns what was written by
// the only one that nobody was faster than: the others get the error.
func onlyWinner[T any](t *testing.T, overtaken error, write func(i int) (T, error)) T {
	t.Helper()
	var mu sync.Mutex
	var winners []T
	parallel(8, func(i int) {
		put, err := write(i)
		if errors.Is(err, overtaken) {
			return
		}
		wantError(t, err, nil)
		mu.Lock()
		defer mu.Unlock()
		winners = append(winners, put)
	})
	if len(winners) != 1 {
		t.Fatalf("there are %d winners; want 1", len(winners))
	}
	return winners[0]
}

// wantError checks an error; nil means none.
func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v; want %v", got, want)
	}
}

// wantSame compares; an empty slice is the same as none.
func wantSame[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
