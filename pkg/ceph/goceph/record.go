//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// maxRecord bounds a record in bytes: more is not read, so more is not written. It
// is enough for an image that was taken from a cluster of 3,000 nodes, all of them fenced.
const maxRecord = 1 << 20

func (c *connection) Record(ctx context.Context, image ceph.Image) (ceph.Record, error) {
	record, err := do(ctx, c, image.ImageSpec, func(ioctx *rados.IOContext) (ceph.Record, error) {
		record, err := readRecord(ioctx, ceph.RecordObject(image.ID))
		if errors.Is(err, ceph.ErrRecordNotFound) {
			err = c.absent(image.ImageSpec, err)
		}
		return record, err
	})
	if err != nil {
		return ceph.Record{}, fmt.Errorf("read record of image %q: %w", image.ImageSpec, err)
	}
	return record, nil
}

func readRecord(ioctx *rados.IOContext, object string) (ceph.Record, error) {
	data, version, err := readObject(ioctx, object, maxRecord, ceph.ErrRecordNotFound)
	if err != nil {
		return ceph.Record{}, err
	}
	record, err := ceph.DecodeRecord(data)
	if err != nil {
		return ceph.Record{}, err
	}
	record.Revision = version
	return record, nil
}

func (c *connection) PutRecord(ctx context.Context, image ceph.Image, record ceph.Record) (ceph.Record, error) {
	put, err := do(ctx, c, image.ImageSpec, func(ioctx *rados.IOContext) (ceph.Record, error) {
		if err := c.checkNamespace(image.ImageSpec); err != nil {
			return ceph.Record{}, err
		}
		return writeRecord(ioctx, ceph.RecordObject(image.ID), record)
	})
	if err != nil {
		return ceph.Record{}, fmt.Errorf("write record of image %q: %w", image.ImageSpec, err)
	}
	return put, nil
}

func (c *connection) SubvolumeRecord(ctx context.Context, subvolume ceph.Subvolume) (ceph.Record, error) {
	record, err := doMetadata(ctx, c, subvolume.Filesystem, func(ioctx *rados.IOContext) (ceph.Record, error) {
		return readRecord(ioctx, ceph.SubvolumeRecordObject(subvolume.Path))
	})
	if err != nil {
		return ceph.Record{}, fmt.Errorf("read record of subvolume %q: %w", subvolume.SubvolumeSpec, err)
	}
	return record, nil
}

func (c *connection) PutSubvolumeRecord(ctx context.Context, subvolume ceph.Subvolume, record ceph.Record) (ceph.Record, error) {
	put, err := doMetadata(ctx, c, subvolume.Filesystem, func(ioctx *rados.IOContext) (ceph.Record, error) {
		return writeRecord(ioctx, ceph.SubvolumeRecordObject(subvolume.Path), record)
	})
	if err != nil {
		return ceph.Record{}, fmt.Errorf("write record of subvolume %q: %w", subvolume.SubvolumeSpec, err)
	}
	return put, nil
}

func writeRecord(ioctx *rados.IOContext, object string, record ceph.Record) (ceph.Record, error) {
	record.Token = rand.Text()
	data := record.Encode()
	if len(data) > maxRecord {
		return ceph.Record{}, fmt.Errorf("a record of %d bytes; at most %d are read", len(data), maxRecord)
	}
	var err error
	record.Revision, err = swapObject(ioctx, object, data, record.Revision, ceph.ErrRecordChanged)
	if err != nil {
		return ceph.Record{}, err
	}
	return record, nil
}
