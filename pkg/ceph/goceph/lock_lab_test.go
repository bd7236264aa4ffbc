//go:build lab && cgo

package goceph

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab"
)

// Growing must never do what librbd does to a lock holder that does not answer:
// break its lock and put it on the blocklist.
func TestGrowImageOfALockHolder(t *testing.T) {
	t.Parallel()
	h := startHarness(t, nil)
	cluster := h.connect(t)
	tests := map[string]struct {
		hold func(t *testing.T, spec ceph.ImageSpec)
		want error
		says string
	}{
		"that uses librbd in the default mode": {
			func(t *testing.T, spec ceph.ImageSpec) {
				image, err := rbd.OpenImage(h.ioctx(t, spec), spec.Name, rbd.NoSnapshot)
				must(t, err)
				t.Cleanup(func() { must(t, image.Close()) })
				_, err = image.WriteAt([]byte("data"), 0)
				must(t, err)
			}, nil, "",
		},
		"that refuses": {
			func(t *testing.T, spec ceph.ImageSpec) { h.mapExclusively(t, spec, answers) },
			ceph.ErrImageLocked, "",
		},
		"that is connected and does not answer": {
			func(t *testing.T, spec ceph.ImageSpec) { h.mapExclusively(t, spec, silent) },
			ceph.ErrImageLocked, "does not answer",
		},
		"that is gone": {
			func(t *testing.T, spec ceph.ImageSpec) { h.mapExclusively(t, spec, answers).die(t) },
			ceph.ErrImageLocked, "does not answer",
		},
		"that is a person": {
			func(t *testing.T, spec ceph.ImageSpec) { h.rbd(t, "lock", "add", spec.String(), "maintenance") },
			ceph.ErrImageLocked, "`rbd lock ls`",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spec := ceph.ImageSpec{Pool: lab.Pool, Name: strings.ReplaceAll(name, " ", "-")}
			_, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock"}})
			must(t, err)
			test.hold(t, spec)
			lock := h.rbd(t, "lock", "ls", spec.String())
			start := time.Now()
			err = cluster.GrowImage(t.Context(), spec, 2<<20)
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v; want %v with %q", err, test.want, test.says)
			}
			if took := time.Since(start); took > h.Bound() {
				t.Errorf("took %v; want at most %v", took, h.Bound())
			}
			if test.want == nil {
				return
			}
			if now := h.rbd(t, "lock", "ls", spec.String()); lock == "" || now != lock {
				t.Errorf("the lock was %q and is %q", lock, now)
			}
			image, err := cluster.Image(t.Context(), spec)
			must(t, err)
			if image.Size != 1<<20 {
				t.Errorf("the image has %d bytes", image.Size)
			}
		})
	}
	if list := string(h.mon(t, command{"prefix": "osd blocklist ls", "format": "json"})); strings.Contains(list, "127.0.0.1") {
		t.Errorf("on the blocklist: %s", list)
	}
}
