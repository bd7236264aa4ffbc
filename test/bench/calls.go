package main

import (
	"context"
	"sync"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// calls notes the calls of a Ceph that ask something, with the time that each took.
// [ceph.Identified] asks nobody.
type calls struct {
	ceph.Cluster
	mu    *sync.Mutex
	noted *[]call
}

type call struct {
	method string
	took   time.Duration
}

func noting(storage ceph.Cluster) calls { return calls{storage, new(sync.Mutex), new([]call)} }

// begin notes a call until what it returns is called.
func (c calls) begin(method string) func() {
	begin := time.Now()
	return func() {
		took := time.Since(begin)
		c.mu.Lock()
		defer c.mu.Unlock()
		*c.noted = append(*c.noted, call{method, took})
	}
}

// take returns what was noted, and forgets it.
func (c calls) take() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	noted := *c.noted
	*c.noted = nil
	return noted
}

// methods are the names of the calls.
func methods(noted []call) []string {
	var names []string
	for _, one := range noted {
		names = append(names, one.method)
	}
	return names
}

func (c calls) Image(ctx context.Context, spec ceph.ImageSpec) (ceph.Image, error) {
	defer c.begin("Image")()
	return c.Cluster.Image(ctx, spec)
}

func (c calls) Look(ctx context.Context, spec ceph.ImageSpec) (ceph.Look, error) {
	defer c.begin("Look")()
	return c.Cluster.Look(ctx, spec)
}

func (c calls) GrowImage(ctx context.Context, spec ceph.ImageSpec, size uint64) error {
	defer c.begin("GrowImage")()
	return c.Cluster.GrowImage(ctx, spec, size)
}

func (c calls) Watchers(ctx context.Context, spec ceph.ImageSpec) ([]ceph.Watcher, error) {
	defer c.begin("Watchers")()
	return c.Cluster.Watchers(ctx, spec)
}

func (c calls) Record(ctx context.Context, image ceph.Image) (ceph.Record, error) {
	defer c.begin("Record")()
	return c.Cluster.Record(ctx, image)
}

func (c calls) PutRecord(ctx context.Context, image ceph.Image, record ceph.Record) (ceph.Record, error) {
	defer c.begin("PutRecord")()
	return c.Cluster.PutRecord(ctx, image, record)
}

func (c calls) ImageNames(ctx context.Context, image ceph.Image, others ...string) ([]string, error) {
	defer c.begin("ImageNames")()
	return c.Cluster.ImageNames(ctx, image, others...)
}

func (c calls) RenameImage(ctx context.Context, image ceph.Image, name string, others ...string) (ceph.Image, error) {
	defer c.begin("RenameImage")()
	return c.Cluster.RenameImage(ctx, image, name, others...)
}

func (c calls) RenameImageFrom(ctx context.Context, image ceph.Image, from, name string, others ...string) (ceph.Image, error) {
	defer c.begin("RenameImageFrom")()
	return c.Cluster.RenameImageFrom(ctx, image, from, name, others...)
}

func (c calls) LockHolder(ctx context.Context, spec ceph.ImageSpec) (*ceph.LockedError, error) {
	defer c.begin("LockHolder")()
	return c.Cluster.LockHolder(ctx, spec)
}

func (c calls) Keys(ctx context.Context, pool, namespace string) ([]ceph.Key, error) {
	defer c.begin("Keys")()
	return c.Cluster.Keys(ctx, pool, namespace)
}

func (c calls) ClaimKey(ctx context.Context, pool, namespace string, cluster ceph.Party) (string, error) {
	defer c.begin("ClaimKey")()
	return c.Cluster.ClaimKey(ctx, pool, namespace, cluster)
}

func (c calls) Blocklist(ctx context.Context, addrs []string, lasting time.Duration) error {
	defer c.begin("Blocklist")()
	return c.Cluster.Blocklist(ctx, addrs, lasting)
}

func (c calls) Blocklisted(ctx context.Context) ([]ceph.BlocklistEntry, error) {
	defer c.begin("Blocklisted")()
	return c.Cluster.Blocklisted(ctx)
}

func (c calls) Barrier(ctx context.Context, spec ceph.ImageSpec) error {
	defer c.begin("Barrier")()
	return c.Cluster.Barrier(ctx, spec)
}
