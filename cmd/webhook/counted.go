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
	ceph    ceph.Cluster
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

func (c counted) ImageNames(ctx context.Context, image ceph.Image, others ...string) ([]string, error) {
	begin := time.Now()
	names, err := c.ceph.ImageNames(ctx, image, others...)
	c.metrics.CephCall("image-names", time.Since(begin), err)
	return names, err
}

// RenameImage does not count it as an error that the image is in use.
func (c counted) RenameImage(ctx context.Context, image ceph.Image, name string, others ...string) (ceph.Image, error) {
	begin := time.Now()
	renamed, err := c.ceph.RenameImage(ctx, image, name, others...)
	c.metrics.CephCall("rename-image", time.Since(begin), unless(err, ceph.ErrImageLocked))
	return renamed, err
}

func (c counted) LockHolder(ctx context.Context, spec ceph.ImageSpec) (*ceph.LockedError, error) {
	begin := time.Now()
	holder, err := c.ceph.LockHolder(ctx, spec)
	c.metrics.CephCall("lock-holder", time.Since(begin), err)
	return holder, err
}

func (c counted) Keys(ctx context.Context, pool, namespace string) ([]ceph.Key, error) {
	begin := time.Now()
	keys, err := c.ceph.Keys(ctx, pool, namespace)
	c.metrics.CephCall("keys", time.Since(begin), err)
	return keys, err
}

// ClaimKey does not count it as an error that another cluster has the key.
func (c counted) ClaimKey(ctx context.Context, pool, namespace string, cluster ceph.Party) (string, error) {
	begin := time.Now()
	key, err := c.ceph.ClaimKey(ctx, pool, namespace, cluster)
	c.metrics.CephCall("claim-key", time.Since(begin), unless(err, ceph.ErrKeyTaken))
	return key, err
}

// Self is not counted: it asks nobody.
func (c counted) Self(ctx context.Context) (string, error) { return c.ceph.Self(ctx) }

func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
