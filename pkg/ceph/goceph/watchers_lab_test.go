//go:build lab && cgo

package goceph

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/test/lab"
)

// wantWatchers checks the watchers of an image.
func wantWatchers(t *testing.T, cluster ceph.WatcherLister, spec ceph.ImageSpec, want ...ceph.Watcher) {
	t.Helper()
	got, err := cluster.Watchers(t.Context(), spec)
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("watchers of %s -want +got:\n%s", spec, diff)
	}
}

func (h *harness) image(t *testing.T, cluster ceph.ImageCreator, name string) ceph.Image {
	t.Helper()
	image, err := cluster.CreateImage(t.Context(), ceph.ImageSpec{Pool: lab.Pool, Name: name},
		ceph.Layout{Size: 1 << 20, Features: []string{"layering", "exclusive-lock"}})
	must(t, err)
	return image
}

// A watcher is there as soon as its client has opened the image, and gone as soon as it has
// closed it; a hundred times, because a moment of staleness would be enough.
func TestWatchersAreThoseOfNow(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	image := h.image(t, cluster, "now")
	wantWatchers(t, cluster, image.ImageSpec)
	ioctx := h.ioctx(t, image.ImageSpec)
	for range 100 {
		opened, err := rbd.OpenImage(ioctx, image.Name, rbd.NoSnapshot)
		must(t, err)
		if watchers, err := cluster.Watchers(t.Context(), image.ImageSpec); err != nil || len(watchers) != 1 {
			t.Fatalf("after opening: %v, %v; want one", watchers, err)
		}
		must(t, opened.Close())
		if watchers, err := cluster.Watchers(t.Context(), image.ImageSpec); err != nil || len(watchers) != 0 {
			t.Fatalf("after closing: %v, %v; want none", watchers, err)
		}
	}
}

// What librbd and the rbd command list is the same.
func TestWatchersAreThoseOfLibrbd(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	image := h.image(t, cluster, "both")
	for range 3 {
		h.Watch(t, image.ImageSpec)
	}
	listed, err := h.open(t, image.ImageSpec).ListWatchers()
	must(t, err)
	var want []ceph.Watcher
	for _, w := range listed {
		want = append(want, ceph.Watcher{Addr: w.Addr, Client: fmt.Sprintf("client.%d", w.Id), Cookie: w.Cookie})
	}
	if len(want) != 3 {
		t.Fatalf("librbd lists %v; want three", want)
	}
	slices.SortFunc(want, ceph.Watcher.Compare)
	wantWatchers(t, cluster, image.ImageSpec, want...)
}

func TestReadOnlyOpenersAreNoWatchers(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	image := h.image(t, cluster, "read-only")
	opened := h.open(t, image.ImageSpec)
	_, err := opened.ReadAt(make([]byte, 512), 0)
	must(t, err)
	wantWatchers(t, cluster, image.ImageSpec)
}

// The names lead to an image whose header is not there, as while an image is
// being removed, or for ever if that was cut short.
func TestWatchersOfAnImageWithoutHeader(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	image := h.image(t, cluster, "headless")
	wantWatchers(t, cluster, image.ImageSpec)
	must(t, h.ioctx(t, image.ImageSpec).Delete(headerObject(image.ID)))
	for range 2 {
		watchers, err := cluster.Watchers(t.Context(), image.ImageSpec)
		if !errors.Is(err, ceph.ErrImageNotFound) || watchers != nil {
			t.Errorf("got %v, %v; want %v", watchers, err, ceph.ErrImageNotFound)
		}
		if look, err := cluster.Look(t.Context(), image.ImageSpec); !errors.Is(err, ceph.ErrImageNotFound) {
			t.Errorf("got %v, %v; want %v", look, err, ceph.ErrImageNotFound)
		}
	}
}

func TestWatchersByManyAtOnce(t *testing.T) {
	const callers, images = 200, 12
	h := sharedHarness(t)
	cluster, err := dial(t.Context(), h.config(cephtest.Observer))
	must(t, err)
	defer cluster.Close()
	provisioner := h.connect(t)

	t.Run("of one image", func(t *testing.T) {
		image := h.image(t, provisioner, "one")
		watcher, stop := h.Watch(t, image.ImageSpec)
		defer stop()
		parallel(callers, func(int) { wantWatchers(t, cluster, image.ImageSpec, watcher) })
	})
	t.Run("of many images", func(t *testing.T) {
		watchers := map[ceph.ImageSpec][]ceph.Watcher{}
		var specs []ceph.ImageSpec
		for i := range images {
			image := h.image(t, provisioner, fmt.Sprintf("many-%d", i))
			specs = append(specs, image.ImageSpec)
			if i%2 == 0 {
				watcher, stop := h.Watch(t, image.ImageSpec)
				defer stop()
				watchers[image.ImageSpec] = []ceph.Watcher{watcher}
			}
		}
		parallel(callers, func(i int) {
			for j := range 5 {
				spec := specs[(i+j)%images]
				wantWatchers(t, cluster, spec, watchers[spec]...)
			}
		})
	})
}

func TestWatchersWhileTheOSDIsFrozen(t *testing.T) {
	h := startHarness(t, nil)
	cluster := h.connect(t)
	seen, other := h.image(t, cluster, "seen"), h.image(t, cluster, "other")
	watcher, _ := h.Watch(t, seen.ImageSpec)
	wantWatchers(t, cluster, seen.ImageSpec, watcher)
	goroutines := runtime.NumGoroutine()

	must(t, h.OSD.Freeze())
	// One bound for all of this together.
	frozen := time.Now()
	parallel(2, func(i int) {
		spec := []ceph.ImageSpec{seen.ImageSpec, other.ImageSpec}[i]
		watchers, err := cluster.Watchers(t.Context(), spec)
		if !errors.Is(err, ceph.ErrUnreachable) || watchers != nil {
			t.Errorf("%s: %v, %v; want %v", spec, watchers, err, ceph.ErrUnreachable)
		}
	})
	if took := time.Since(frozen); took > h.Bound() {
		t.Errorf("took %v; want at most %v", took, h.Bound())
	}
	// Callers with less patience than the bound, more than there are slots.
	start := time.Now()
	parallel(3*maxCalls, func(i int) {
		spec := []ceph.ImageSpec{seen.ImageSpec, other.ImageSpec}[i%2]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := cluster.Watchers(ctx, spec); !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("%s: %v; want %v", spec, err, ceph.ErrUnreachable)
		}
	})
	if took := time.Since(start); took > labTimeout {
		t.Errorf("with a deadline of 1 s it took %v", took)
	}
	if inside, abandoned := cluster.calls.counts(); inside != maxCalls || abandoned != maxCalls {
		t.Errorf("%d calls are inside, %d abandoned; want %d", inside, abandoned, maxCalls)
	}
	must(t, h.OSD.Thaw())

	awaitCounts(t, cluster.calls, 0, 0)
	wantWatchers(t, cluster, seen.ImageSpec, watcher)
	wantWatchers(t, cluster, other.ImageSpec)
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, before %d", n, goroutines)
	}
}

// Closing the connection under a call that is inside it is the end of the process.
func TestCloseWhileWatchersAreListed(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	provisioner := h.connect(t)
	images := []ceph.Image{h.image(t, provisioner, "a"), h.image(t, provisioner, "b"), h.image(t, provisioner, "c")}

	t.Run("with an OSD that answers", func(t *testing.T) {
		for range 10 {
			cluster, err := dial(t.Context(), h.config(cephtest.Observer))
			must(t, err)
			wantWatchers(t, cluster, images[0].ImageSpec)
			parallel(7, func(i int) {
				if i == 0 {
					must(t, cluster.Close())
					return
				}
				for j := 0; ; j++ {
					if _, err := cluster.Watchers(t.Context(), images[(i+j)%3].ImageSpec); err != nil {
						return
					}
				}
			})
			<-cluster.calls.released
		}
	})
	t.Run("with an OSD that is frozen", func(t *testing.T) {
		cluster, err := dial(t.Context(), h.config(cephtest.Observer))
		must(t, err)
		wantWatchers(t, cluster, images[0].ImageSpec)
		wantWatchers(t, cluster, images[1].ImageSpec)
		must(t, h.OSD.Freeze())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, image := range images {
			wg.Go(func() {
				if _, err := cluster.Watchers(ctx, image.ImageSpec); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v; want %v", err, context.Canceled)
				}
			})
		}
		for inside := 0; inside != len(images); inside, _ = cluster.calls.counts() {
			runtime.Gosched()
		}
		cancel()
		wg.Wait()
		start := time.Now()
		if err := cluster.Close(); err != nil && !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("close: %v; want none or %v", err, ceph.ErrUnreachable)
		}
		if took := time.Since(start); took > h.Bound() {
			t.Errorf("close took %v; want at most %v", took, h.Bound())
		}
		must(t, h.OSD.Thaw())
		<-cluster.calls.released
	})
}

// A client that was on the blocklist sees watchers again when it no longer is.
func TestWatchersForAClientOnTheBlocklist(t *testing.T) {
	t.Parallel()
	h := sharedHarness(t)
	cluster := h.connect(t)
	image := h.image(t, cluster, "blocked")
	watcher, _ := h.Watch(t, image.ImageSpec)
	wantWatchers(t, cluster, image.ImageSpec, watcher)
	address, err := cluster.rados.GetAddrs()
	must(t, err)
	for range 3 {
		// With the new map, the client's next operation makes the OSD get it as well.
		h.block(t, "add", address)
		must(t, cluster.rados.WaitForLatestOSDMap())
		for range 2 {
			if _, err := cluster.Watchers(t.Context(), image.ImageSpec); !errors.Is(err, ceph.ErrBlocklisted) {
				t.Errorf("got %v; want %v", err, ceph.ErrBlocklisted)
			}
		}
		h.block(t, "rm", address)
		must(t, cluster.rados.WaitForLatestOSDMap())
		wantWatchers(t, cluster, image.ImageSpec, watcher)
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
