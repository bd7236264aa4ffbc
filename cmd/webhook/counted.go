package main

import (
	"context"
	"errors"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
)

// counted counts the calls of a Ceph cluster.
type counted struct {
	ceph    guard.Ceph
	metrics *guard.Metrics
}

func (c counted) Image(ctx context.Context, spec ceph.ImageSpec) (ceph.Image, error) {
	begin := time.Now()
	image, err := c.ceph.Image(ctx, spec)
	c.metrics.CephCall("image", time.Since(begin), err)
	return image, err
}

// GrowImage does not count it as an error that the image is in use.
func (c counted) GrowImage(ctx context.Context, spec ceph.ImageSpec, size uint64) error {
	begin := time.Now()
	err := c.ceph.GrowImage(ctx, spec, size)
	c.metrics.CephCall("grow-image", time.Since(begin), unless(err, ceph.ErrImageLocked))
	return err
}

func (c counted) Watchers(ctx context.Context, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	begin := time.Now()
	watchers, err := c.ceph.Watchers(ctx, spec)
	c.metrics.CephCall("watchers", time.Since(begin), err)
	return watchers, err
}

// Record does not count it as an error that there is none.
func (c counted) Record(ctx context.Context, image ceph.Image) (ceph.Record, error) {
	begin := time.Now()
	record, err := c.ceph.Record(ctx, image)
	c.metrics.CephCall("record", time.Since(begin), unless(err, ceph.ErrRecordNotFound))
	return record, err
}

// PutRecord does not count it as an error that somebody else was faster.
func (c counted) PutRecord(ctx context.Context, image ceph.Image, record ceph.Record) (ceph.Record, error) {
	begin := time.Now()
	put, err := c.ceph.PutRecord(ctx, image, record)
	c.metrics.CephCall("put-record", time.Since(begin), unless(err, ceph.ErrRecordChanged))
	return put, err
}

func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
