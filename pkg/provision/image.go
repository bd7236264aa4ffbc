package provision

import (
	"context"
	"errors"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Image is an RBD image.
type Image struct {
	// Cluster is where the image is or will be.
	Cluster ImageCluster
	ceph.ImageSpec
	// Layout of a new image; its Size is ignored.
	Layout ceph.Layout
}

// ImageCluster is the part of ceph.Cluster that images need.
type ImageCluster interface {
	ceph.ImageReader
	ceph.ImageCreator
	ceph.ImageGrower
	ceph.RecordStore
}

func (i Image) kind() string { return "image" }

// size is in whole MiB, as ceph-csi makes its images.
func (i Image) size(claim uint64) uint64 {
	const mib = 1 << 20
	return (claim + mib - 1) / mib * mib
}

func (i Image) absent() error { return ceph.ErrImageNotFound }

func (i Image) look(ctx context.Context) (*found, error) {
	image, err := i.Cluster.Image(ctx, i.ImageSpec)
	if errors.Is(err, ceph.ErrImageNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	seen := i.found(image)
	seen.record, err = recorded(i.Cluster.Record(ctx, image))
	return seen, err
}

func (i Image) create(ctx context.Context, size uint64) (*found, error) {
	layout := i.Layout
	layout.Size = size
	image, err := i.Cluster.CreateImage(ctx, i.ImageSpec, layout)
	if err != nil {
		return nil, err
	}
	return i.found(image), nil
}

func (i Image) grow(ctx context.Context, size uint64) error {
	return i.Cluster.GrowImage(ctx, i.ImageSpec, size)
}

func (i Image) found(image ceph.Image) *found {
	return &found{
		size:     image.Size,
		features: image.ChosenFeatures(),
		put: func(ctx context.Context, record ceph.Record) error {
			_, err := i.Cluster.PutRecord(ctx, image, record)
			return err
		},
	}
}
