package ownership

import (
	"context"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Growing is what [Grow] needs of a Ceph cluster.
type Growing interface {
	ceph.ImageGrower
	ceph.WatcherLister
	ceph.RecordStore
}

// Grow makes an image as large as its record says, and takes that out of the record.
// It returns ceph.ErrImageLocked if somebody has the image open, who could only
// refuse, and would be asked with an open of our own.
func Grow(ctx context.Context, storage Growing, image ceph.Image, record ceph.Record) error {
	size := record.GrowTo
	if size == 0 {
		return nil
	}
	if image.Size < size {
		watchers, err := storage.Watchers(ctx, image.ImageSpec)
		if err != nil {
			return err
		}
		if len(watchers) > 0 {
			return ceph.ErrImageLocked
		}
		if err := storage.GrowImage(ctx, image.ImageSpec, size); err != nil {
			return err
		}
	}
	_, err := Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		if stored.GrowTo <= size {
			stored.GrowTo = 0
		}
		return stored, nil
	})
	return err
}
