//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"fmt"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Watchers opens nothing: a read-write open is a watcher itself, and a read-only one takes
// milliseconds.
func (c *connection) Watchers(ctx context.Context, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	watchers, err := do(ctx, c, spec, func(ioctx *rados.IOContext) ([]ceph.Watcher, error) {
		watchers, err := listWatchers(ioctx, spec)
		if errno(err) == enoent && spec.Key == "" {
			// It was removed meanwhile, and perhaps made again.
			watchers, err = listWatchers(ioctx, spec)
		}
		if errno(err) == enoent {
			return nil, c.absent(spec, ceph.ErrImageNotFound)
		}
		return watchers, translate(err, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("list watchers of image %q: %w", spec, err)
	}
	return watchers, nil
}

func listWatchers(ioctx *rados.IOContext, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	var watchers []ceph.Watcher
	err := seek(ioctx, spec, func(_, id string) error {
		found, err := readHeader(ioctx, id)
		watchers = found.watchers
		return err
	})
	return watchers, err
}
