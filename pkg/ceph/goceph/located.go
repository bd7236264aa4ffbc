//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"fmt"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *connection) FSID(ctx context.Context) (string, error) {
	fsid, err := call(ctx, c.calls, func() (string, error) {
		fsid, err := c.rados.GetFSID()
		return fsid, translate(err, nil)
	})
	if err != nil {
		return "", fmt.Errorf("look for the id of the ceph cluster: %w", err)
	}
	return fsid, nil
}

func (c *connection) PoolID(ctx context.Context, pool string) (int64, error) {
	id, err := do(ctx, c, ceph.ImageSpec{Pool: pool}, func(ioctx *rados.IOContext) (int64, error) {
		return ioctx.GetPoolID(), nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for the id of pool %q: %w", pool, err)
	}
	return id, nil
}
