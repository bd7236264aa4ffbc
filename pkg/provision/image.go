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
	// OldName is that of an image which is adopted, until it has the spec's. Empty: there
	// is none.
	OldName string
	// Layout of a new image; its Size is ignored.
	Layout ceph.Layout
}

// ImageCluster is the part of ceph.Cluster that images need.
type ImageCluster interface {
	ceph.ImageReader
	ceph.ImageCreator
	ceph.ImageGrower
	ceph.ImageRenamer
	ceph.WatcherLister
	ceph.RecordStore
	ceph.KeyStore
}

func (i Image) kind() string { return "image" }

// size is in whole MiB, as ceph-csi makes its images.
func (i Image) size(claim uint64) uint64 {
	const mib = 1 << 20
	return (claim + mib - 1) / mib * mib
}

func (i Image) absent() error { return ceph.ErrImageNotFound }

// anyName is the spec of an image that may be keyed, though who asks has no key: any key
// leads to all names. Where there is none, no image is keyed.
func (i Image) anyName(ctx context.Context) (ceph.ImageSpec, error) {
	spec := i.ImageSpec
	if spec.Key != "" {
		return spec, nil
	}
	keys, err := i.Cluster.Keys(ctx, i.Pool, i.Namespace)
	if err == nil && len(keys) > 0 {
		spec.Key = keys[0].Name
	}
	return spec, err
}

// find calls do with the image's spec. Nobody has to have a key to find a keyed image:
// who takes it for absent, because it carries its owner's name, would make a second one.
func (i Image) find(ctx context.Context, do func(ceph.ImageSpec) error) error {
	err := do(i.ImageSpec)
	if i.Key != "" || !errors.Is(err, ceph.ErrImageNotFound) {
		return err
	}
	spec, unknown := i.anyName(ctx)
	if unknown != nil {
		return unknown
	}
	if spec.Key == "" {
		return err
	}
	return do(spec)
}

func (i Image) look(ctx context.Context) (*found, error) {
	image, err := i.named(ctx)
	if i.OldName != "" {
		return i.lookForAdoption(ctx, image, err)
	}
	if errors.Is(err, ceph.ErrImageNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return i.recorded(ctx, image)
}

// named is the image with the name that it is to have.
func (i Image) named(ctx context.Context) (image ceph.Image, err error) {
	err = i.find(ctx, func(spec ceph.ImageSpec) (err error) {
		image, err = i.Cluster.Image(ctx, spec)
		return err
	})
	return image, err
}

func (i Image) recorded(ctx context.Context, image ceph.Image) (*found, error) {
	seen := i.found(image)
	var err error
	seen.record, err = recorded(i.Cluster.Record(ctx, image))
	return seen, err
}

func (i Image) create(ctx context.Context, size uint64) (*found, error) {
	layout := i.Layout
	layout.Size = size
	spec, err := i.anyName(ctx)
	if err != nil {
		return nil, err
	}
	image, err := i.Cluster.CreateImage(ctx, spec, layout)
	if err != nil {
		return nil, err
	}
	return i.found(image), nil
}

func (i Image) grow(ctx context.Context, size uint64) error {
	return i.find(ctx, func(spec ceph.ImageSpec) error { return i.Cluster.GrowImage(ctx, spec, size) })
}

func (i Image) found(image ceph.Image) *found {
	return &found{
		size:     image.Size,
		features: image.ChosenFeatures(),
		put: func(ctx context.Context, record ceph.Record) error {
			_, err := i.Cluster.PutRecord(ctx, image, record)
			return err
		},
		adopt: func(ctx context.Context, record ceph.Record) (*found, error) { return i.adopt(ctx, image, record) },
	}
}
