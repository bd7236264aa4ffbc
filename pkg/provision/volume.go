package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Volume is what a request is about: an [Image].
type Volume interface {
	// String is the spec, for people; kind says of what.
	fmt.Stringer
	kind() string
	// size is the size of the volume for a claim of that size.
	size(claim uint64) uint64
	// absent is the error for a volume that has to exist and does not.
	absent() error
	// look returns nil if the volume does not exist.
	look(ctx context.Context) (*found, error)
	create(ctx context.Context, size uint64) (*found, error)
	grow(ctx context.Context, size uint64) error
}

// found is a volume that exists.
type found struct {
	// size is in bytes.
	size uint64
	// features of an image are those that somebody chose.
	features []string
	// record is nil when there is none.
	record *ceph.Record
	// put stores a record.
	put func(context.Context, ceph.Record) error
}

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
func (i Image) size(claim uint64) uint64 { return roundUp(claim, 1<<20) }

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

// recorded turns the absence of a record into nil.
func recorded(record ceph.Record, err error) (*ceph.Record, error) {
	if errors.Is(err, ceph.ErrRecordNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &record, nil
}

// roundUp returns the smallest multiple of unit that is not below bytes.
func roundUp(bytes, unit uint64) uint64 { return (bytes + unit - 1) / unit * unit }
