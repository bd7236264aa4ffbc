package main

import (
	"context"
	"errors"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
)

// counted counts the calls of a Ceph cluster that answers wait for.
type counted struct {
	ceph.Cluster
	metrics *guard.Metrics
	// clusterID led to it.
	clusterID string
	// blocklisted hears that the connection's client is on the blocklist.
	blocklisted func()
}

// called notes a call that took from begin until now.
func (c counted) called(call string, begin time.Time, err error) {
	c.metrics.CephCall(call, time.Since(begin), err)
	c.metrics.CephAnswered(c.clusterID, err)
	if errors.Is(err, ceph.ErrBlocklisted) {
		c.blocklisted()
	}
}

func (c counted) Image(ctx context.Context, spec ceph.ImageSpec) (ceph.Image, error) {
	begin := time.Now()
	image, err := c.Cluster.Image(ctx, spec)
	c.called("image", begin, err)
	return image, err
}

func (c counted) Look(ctx context.Context, spec ceph.ImageSpec) (ceph.Look, error) {
	begin := time.Now()
	look, err := c.Cluster.Look(ctx, spec)
	c.called("look", begin, err)
	return look, err
}

// GrowImage does not count it as an error that the image is in use.
func (c counted) GrowImage(ctx context.Context, spec ceph.ImageSpec, size uint64) error {
	begin := time.Now()
	err := c.Cluster.GrowImage(ctx, spec, size)
	c.called("grow-image", begin, unless(err, ceph.ErrImageLocked))
	return err
}

func (c counted) Watchers(ctx context.Context, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	begin := time.Now()
	watchers, err := c.Cluster.Watchers(ctx, spec)
	c.called("watchers", begin, err)
	return watchers, err
}

// Record does not count it as an error that there is none.
func (c counted) Record(ctx context.Context, image ceph.Image) (ceph.Record, error) {
	begin := time.Now()
	record, err := c.Cluster.Record(ctx, image)
	c.called("record", begin, unless(err, ceph.ErrRecordNotFound))
	return record, err
}

func (c counted) Records(ctx context.Context, pool, namespace string) ([]ceph.RecordOf, error) {
	begin := time.Now()
	records, err := c.Cluster.Records(ctx, pool, namespace)
	c.called("records", begin, err)
	return records, err
}

// PutRecord does not count it as an error that somebody else was faster.
func (c counted) PutRecord(ctx context.Context, image ceph.Image, record ceph.Record) (ceph.Record, error) {
	begin := time.Now()
	put, err := c.Cluster.PutRecord(ctx, image, record)
	c.called("put-record", begin, unless(err, ceph.ErrRecordChanged))
	return put, err
}

func (c counted) ImageNames(ctx context.Context, image ceph.Image, others ...string) ([]string, error) {
	begin := time.Now()
	names, err := c.Cluster.ImageNames(ctx, image, others...)
	c.called("image-names", begin, err)
	return names, err
}

// RenameImageFrom does not count it as an error that somebody else has the image by now.
func (c counted) RenameImageFrom(ctx context.Context, image ceph.Image, from, name string, others ...string) (ceph.Image, error) {
	begin := time.Now()
	renamed, err := c.Cluster.RenameImageFrom(ctx, image, from, name, others...)
	c.called("rename-image", begin, unless(unless(err, ceph.ErrImageRenamed), ceph.ErrImageLocked))
	return renamed, err
}

// RenameImage does not count it as an error that the image is in use.
func (c counted) RenameImage(ctx context.Context, image ceph.Image, name string, others ...string) (ceph.Image, error) {
	begin := time.Now()
	renamed, err := c.Cluster.RenameImage(ctx, image, name, others...)
	c.called("rename-image", begin, unless(err, ceph.ErrImageLocked))
	return renamed, err
}

func (c counted) LockHolder(ctx context.Context, spec ceph.ImageSpec) (*ceph.LockedError, error) {
	begin := time.Now()
	holder, err := c.Cluster.LockHolder(ctx, spec)
	c.called("lock-holder", begin, err)
	return holder, err
}

func (c counted) Keys(ctx context.Context, pool, namespace string) ([]ceph.Key, error) {
	begin := time.Now()
	keys, err := c.Cluster.Keys(ctx, pool, namespace)
	c.called("keys", begin, err)
	return keys, err
}

// ClaimKey does not count it as an error that another cluster has the key.
func (c counted) ClaimKey(ctx context.Context, pool, namespace string, cluster ceph.Party) (string, error) {
	begin := time.Now()
	key, err := c.Cluster.ClaimKey(ctx, pool, namespace, cluster)
	c.called("claim-key", begin, unless(err, ceph.ErrKeyTaken))
	return key, err
}

func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
