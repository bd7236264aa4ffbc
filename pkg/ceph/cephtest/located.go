package cephtest

import (
	"context"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *client) FSID(ctx context.Context) (string, error) {
	return do(ctx, c, Call{Method: "FSID"}, Impostor, func() (string, error) { return c.ceph.fsid, nil })
}

func (c *client) PoolID(ctx context.Context, pool string) (int64, error) {
	return do(ctx, c, Call{Method: "PoolID", Image: ceph.ImageSpec{Pool: pool}}, Impostor, func() (int64, error) {
		return c.ceph.pools[pool].id, nil
	})
}
