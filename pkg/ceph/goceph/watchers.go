//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// openImage names an image for [kept]: an image that was renamed, or made again
// under its old name, is another one.
type openImage struct {
	pool      int64
	namespace string
	id        string
}

// Watchers reads the id that the name has now, and asks the OSD for the watchers
// by a handle that is kept: 0.1 ms, where opening the image takes several.
//
// The answer always comes from the OSD, so a handle does not age. Only the name
// may by now lead to another image, whence the id. The handle is read-only,
// because a read-write one is a watcher itself.
func (c *connection) Watchers(ctx context.Context, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	watchers, err := do(ctx, c, spec, func(ioctx *rados.IOContext) ([]ceph.Watcher, error) {
		watchers, err := c.listWatchers(ioctx, spec)
		if errno(err) == enoent && spec.Key == "" {
			// It was removed meanwhile, and perhaps made again.
			watchers, err = c.listWatchers(ioctx, spec)
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

func (c *connection) listWatchers(ioctx *rados.IOContext, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	var watchers []ceph.Watcher
	err := seek(ioctx, spec, func(_, id string) (err error) {
		watchers, err = c.watchersOf(ioctx, spec.Namespace, id)
		return err
	})
	return watchers, err
}

// watchersOf returns the watchers of the image with that id, sorted.
func (c *connection) watchersOf(ioctx *rados.IOContext, namespace, id string) ([]ceph.Watcher, error) {
	key := openImage{ioctx.GetPoolID(), namespace, id}
	image, err := c.images.borrow(key, func() (*rbd.Image, error) {
		return rbd.OpenImageByIdReadOnly(ioctx, id, rbd.NoSnapshot)
	})
	if err != nil {
		return nil, err
	}
	listed, err := image.handle.ListWatchers()
	// An OSD that did not answer says nothing about the handle.
	c.images.giveBack(image, err == nil || errno(err) == etimedout)
	if err != nil {
		return nil, err
	}
	watchers := make([]ceph.Watcher, len(listed))
	for i, w := range listed {
		watchers[i] = ceph.Watcher{Addr: w.Addr, Client: fmt.Sprintf("client.%d", w.Id), Cookie: w.Cookie}
	}
	slices.SortFunc(watchers, ceph.Watcher.Compare)
	return watchers, nil
}
