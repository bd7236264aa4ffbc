//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// maxCreations is how often one call tries to make an image, of which remains
// and others who clear them can be in the way.
const maxCreations = 3

func (c *connection) CreateImage(ctx context.Context, spec ceph.ImageSpec, layout ceph.Layout) (ceph.Image, error) {
	image, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (ceph.Image, error) {
		create := c.create
		if spec.Key != "" {
			create = c.createKeyed
		}
		if err := create(ioctx, spec, layout); err != nil {
			return ceph.Image{}, err
		}
		return c.lookup(ioctx, spec)
	})
	if err != nil {
		return ceph.Image{}, fmt.Errorf("create image %q: %w", spec, err)
	}
	return image, nil
}

func (c *connection) create(ioctx *rados.IOContext, spec ceph.ImageSpec, layout ceph.Layout) error {
	if err := layout.Validate(); err != nil {
		return err
	}
	options, err := imageOptions(layout)
	if err != nil {
		return err
	}
	defer options.Destroy()
	for range maxCreations {
		err := rbd.CreateImage(ioctx, spec.Name, layout.Size, options)
		switch errno(err) {
		case success:
			return nil
		case enoent:
			if layout.DataPool != "" {
				return c.absent(spec, fmt.Errorf("data pool %q: %w", layout.DataPool, ceph.ErrPoolNotFound))
			}
			return c.absent(spec, translate(err, nil))
		case eexist, ebadf:
			// EBADF: somebody took this attempt for dead, see clearRemains.
			if err := c.clearRemains(ioctx, spec); err != nil {
				return err
			}
		default:
			return translate(err, meanings{einval: ceph.ErrLayout, edom: ceph.ErrLayout, enosys: ceph.ErrLayout})
		}
	}
	// An image of the old format, which has neither id nor entry in the directory.
	return ceph.ErrImageExists
}

// imageOptions is the layout as librbd takes it. The caller destroys it.
func imageOptions(layout ceph.Layout) (*rbd.ImageOptions, error) {
	options := rbd.NewRbdImageOptions()
	errs := []error{options.SetUint64(rbd.ImageOptionFeatures, uint64(rbd.FeatureSetFromNames(layout.Features)))}
	if layout.ObjectSize != 0 {
		order := uint64(bits.TrailingZeros64(layout.ObjectSize))
		errs = append(errs, options.SetUint64(rbd.ImageOptionOrder, order))
	}
	if layout.StripeUnit != 0 {
		errs = append(errs,
			options.SetUint64(rbd.ImageOptionStripeUnit, layout.StripeUnit),
			options.SetUint64(rbd.ImageOptionStripeCount, layout.StripeCount))
	}
	if layout.DataPool != "" {
		errs = append(errs, options.SetString(rbd.ImageOptionDataPool, layout.DataPool))
	}
	if err := errors.Join(errs...); err != nil {
		options.Destroy()
		return nil, err
	}
	return options, nil
}
