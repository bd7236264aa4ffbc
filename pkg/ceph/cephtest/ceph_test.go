package cephtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// harness is the in-memory Ceph as the suite wants it.
type harness struct{ *Ceph }

func (h harness) Dial(t *testing.T, user User) (ceph.Cluster, error) {
	return h.Ceph.Dial(t.Context(), user)
}
func (h harness) RemoveImage(_ *testing.T, spec ceph.ImageSpec) { h.Ceph.RemoveImage(spec) }
func (h harness) HalfRenameImage(_ *testing.T, i ceph.Image, name string, listed bool) {
	h.Ceph.HalfRenameImage(i.ImageSpec, name, listed)
}
func (h harness) RenameImage(_ *testing.T, s ceph.ImageSpec, name string) {
	h.Ceph.RenameImage(s, name)
}
func (h harness) Bound() time.Duration                             { return time.Second }
func (h harness) WriteRecord(_ *testing.T, i ceph.Image, d []byte) { h.Ceph.WriteRecord(i, d) }
func (h harness) ImageLayout(_ *testing.T, spec ceph.ImageSpec) ceph.Layout {
	return h.Ceph.ImageLayout(spec)
}

// Watchers does not ask the code under test.
func (h harness) Watchers(_ *testing.T, spec ceph.ImageSpec) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pools[spec.Pool].namespaces[spec.Namespace].images[spec.Name].watchers)
}

func (h harness) Watch(_ *testing.T, spec ceph.ImageSpec) (ceph.Watcher, func()) {
	h.mu.Lock()
	n := h.next()
	// A removed image has no watcher to take away, a renamed one has another name.
	watched := h.pools[spec.Pool].namespaces[spec.Namespace].images[spec.Name]
	h.mu.Unlock()
	// Downwards, so that sorting has something to do.
	watcher := ceph.Watcher{Addr: fmt.Sprintf("10.0.0.%d:0/%d", 250-n%200, n), Client: fmt.Sprintf("client.%d", n), Cookie: n}
	h.AddWatcher(spec, watcher)
	return watcher, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		watched.watchers = slices.DeleteFunc(watched.watchers, func(w ceph.Watcher) bool { return w == watcher })
	}
}

func (h harness) OpenWith(_ *testing.T, cluster ceph.Cluster, spec ceph.ImageSpec) func() {
	watcher := ceph.Watcher{Addr: cluster.(*client).self, Client: "client.1", Cookie: 1}
	h.AddWatcher(spec, watcher)
	return func() { h.RemoveWatcher(spec, watcher) }
}

func (h harness) HalfClaimKey(_ *testing.T, pool, namespace, key, uid string) {
	h.Ceph.HalfClaimKey(pool, namespace, key, uid)
}

func (h harness) MapImage(t *testing.T, spec ceph.ImageSpec) (ceph.Watcher, func()) {
	t.Helper()
	writer, err := h.open(spec)
	if err != nil {
		t.Fatal(err)
	}
	return writer.Watcher(), writer.Close
}

// open opens the image on a machine of its own.
func (h harness) open(spec ceph.ImageSpec) (*Writer, error) {
	h.mu.Lock()
	n := h.next()
	h.mu.Unlock()
	return h.OpenImage(spec, ceph.Watcher{Addr: fmt.Sprintf("10.0.1.%d:0/%d", n%200, n), Client: fmt.Sprintf("client.%d", n), Cookie: n})
}

func (h harness) Open(t *testing.T, spec ceph.ImageSpec) (Writing, error) {
	writer, err := h.open(spec)
	if err != nil {
		return nil, err
	}
	t.Cleanup(writer.Close)
	return writing{writer}, nil
}

type writing struct{ *Writer }

func (w writing) Write() error { return w.Writer.Write("something") }

func (h harness) Cut(*testing.T) func() {
	h.Intercept(Unreachable)
	return func() { h.Intercept(nil) }
}

func (h harness) RemoveSubvolume(_ *testing.T, s ceph.SubvolumeSpec) { h.Ceph.RemoveSubvolume(s) }
func (h harness) SetSubvolumeQuota(_ *testing.T, s ceph.SubvolumeSpec, size uint64) {
	h.Ceph.SetSubvolumeQuota(s, size)
}
func (h harness) SubvolumeLayout(_ *testing.T, s ceph.SubvolumeSpec) ceph.SubvolumeLayout {
	return h.Ceph.SubvolumeLayout(s)
}
func (h harness) WriteSubvolumeRecord(_ *testing.T, s ceph.Subvolume, data []byte) {
	h.Ceph.WriteSubvolumeRecord(s, data)
}
func (h harness) CutManager(t *testing.T) func() { return h.Cut(t) }

func TestConformance(t *testing.T) {
	memory := New(Pools()...)
	Conformance(t, harness{memory})
	memory.AssertClosed(t)
	if memory.Opened() == 0 {
		t.Error("no connection was counted")
	}
}

func TestSubvolumeConformance(t *testing.T) {
	memory := New()
	memory.AddFilesystem(SubvolumeFilesystem())
	SubvolumeConformance(t, harness{memory})
	memory.AssertClosed(t)
}

func TestSubvolumesThatExistAlready(t *testing.T) {
	memory := New()
	memory.AddFilesystem(Filesystem{Name: "cephfs", Subvolumes: []Subvolume{
		{Group: "csi", Name: "plain", Size: 1},
		{Group: "team", Name: "recorded", Size: 2, ClaimSize: 3},
	}})
	cluster := dial(t, memory)
	for _, test := range []struct {
		group, name string
		size, claim uint64
		recorded    error
	}{
		{"csi", "plain", 1, 0, ceph.ErrRecordNotFound},
		{"team", "recorded", 2, 3, nil},
	} {
		read, err := cluster.Subvolume(t.Context(), ceph.SubvolumeSpec{Filesystem: "cephfs", Group: test.group, Name: test.name})
		wantError(t, err, nil)
		wantSame(t, read.Size, test.size)
		record, err := cluster.SubvolumeRecord(t.Context(), read)
		wantError(t, err, test.recorded)
		wantSame(t, record.ClaimSize, test.claim)
	}
}

func TestImagesThatExistAlready(t *testing.T) {
	memory := New(Pool{Name: "rbd", Namespaces: []string{"north"}, Images: []Image{
		{Name: "plain", Layout: ceph.Layout{Size: 1}},
		{Name: "recorded", Namespace: "north", Layout: ceph.Layout{Size: 2}, ClaimSize: 3},
	}})
	cluster := dial(t, memory)
	for _, test := range []struct {
		spec     ceph.ImageSpec
		size     uint64
		claim    uint64
		recorded error
	}{
		{ceph.ImageSpec{Pool: "rbd", Name: "plain"}, 1, 0, ceph.ErrRecordNotFound},
		{ceph.ImageSpec{Pool: "rbd", Namespace: "north", Name: "recorded"}, 2, 3, nil},
	} {
		image, err := cluster.Image(t.Context(), test.spec)
		wantError(t, err, nil)
		wantSame(t, image.Size, test.size)
		record, err := cluster.Record(t.Context(), image)
		wantError(t, err, test.recorded)
		wantSame(t, record.ClaimSize, test.claim)
	}
}

func TestInterceptor(t *testing.T) {
	spec := ceph.ImageSpec{Pool: "rbd", Name: "image"}
	layout := ceph.Layout{Size: mib}
	tests := map[string]struct {
		intercept Interceptor
		want      error
		made      bool
	}{
		"refuses": {
			func(context.Context, Call, func() error) error { return ceph.ErrPermission },
			ceph.ErrPermission, false,
		},
		"loses the answer": {
			func(_ context.Context, _ Call, proceed func() error) error {
				return errors.Join(ceph.ErrUnreachable, proceed())
			},
			ceph.ErrUnreachable, true,
		},
		"delays until nobody waits": {
			func(ctx context.Context, _ Call, _ func() error) error {
				<-ctx.Done()
				return ctx.Err()
			},
			context.DeadlineExceeded, false,
		},
		"lets pass": {
			func(_ context.Context, _ Call, proceed func() error) error { return proceed() },
			nil, true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			memory := New(Pool{Name: "rbd"})
			cluster := dial(t, memory)
			memory.Intercept(test.intercept)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := cluster.CreateImage(ctx, spec, layout)
			wantError(t, err, test.want)

			memory.Intercept(nil)
			_, err = cluster.Image(t.Context(), spec)
			if made := err == nil; made != test.made {
				t.Errorf("image made: %v; want %v", made, test.made)
			}
			want := []Call{{Method: "CreateImage", Image: spec}, {Method: "Image", Image: spec}}
			if diff := cmp.Diff(want, memory.Calls()); diff != "" {
				t.Errorf("calls -want +got:\n%s", diff)
			}
		})
	}
}

func TestSetFull(t *testing.T) {
	memory := New(Pool{Name: "rbd"})
	cluster := dial(t, memory)
	for i, full := range []bool{false, true, false} {
		memory.SetFull("rbd", full)
		_, err := cluster.CreateImage(t.Context(), ceph.ImageSpec{Pool: "rbd", Name: fmt.Sprint(i)}, ceph.Layout{})
		if got := errors.Is(err, ceph.ErrPoolFull); got != full {
			t.Errorf("full %v: error %v", full, err)
		}
	}
}

func TestAssertClosed(t *testing.T) {
	memory := New()
	cluster, err := memory.Dial(t.Context(), Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	failed := func() bool {
		recorder := &recorder{TB: t}
		memory.AssertClosed(recorder)
		return recorder.failed
	}
	if !failed() {
		t.Error("an open connection was not noticed")
	}
	cluster.Close()
	if failed() {
		t.Error("a closed connection counts as open")
	}
}

// recorder notes whether a test failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func dial(t *testing.T, memory *Ceph) ceph.Cluster {
	t.Helper()
	cluster, err := memory.Dial(t.Context(), Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster.Close()
		memory.AssertClosed(t)
	})
	return cluster
}
