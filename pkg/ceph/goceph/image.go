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

// Image asks the OSDs and opens nothing: half a millisecond instead of eight.
func (c *connection) Image(ctx context.Context, spec ceph.ImageSpec) (ceph.Image, error) {
	image, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (ceph.Image, error) {
		return c.lookup(ioctx, spec)
	})
	if err != nil {
		return ceph.Image{}, fmt.Errorf("look at image %q: %w", spec, err)
	}
	return image, nil
}

func (c *connection) lookup(ioctx *rados.IOContext, spec ceph.ImageSpec) (ceph.Image, error) {
	image := ceph.Image{ImageSpec: spec}
	var features uint64
	err := seek(ioctx, spec, func(name, id string) (err error) {
		image.Named, image.ID = name, id
		image.Size, features, err = readHeader(ioctx, id)
		return err
	})
	if errno(err) == enoent {
		return ceph.Image{}, c.absent(spec, ceph.ErrImageNotFound)
	}
	if err != nil {
		return ceph.Image{}, translate(err, nil)
	}
	set := rbd.FeatureSet(features)
	image.Features = set.Names()
	slices.Sort(image.Features)
	c.spaces.Store(space{spec.Pool, spec.Namespace}, nil)
	return image, nil
}
