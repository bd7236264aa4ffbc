package ceph

import "context"

// Located knows which Ceph cluster and which pool it is connected to. Two that are both the
// same hold the same images, however they are reached and whatever the pool is called.
type Located interface {
	// FSID returns the id of the Ceph cluster. It asks nobody: a client learns it when it
	// connects.
	FSID(ctx context.Context) (string, error)
	// PoolID returns the id that the pool keeps for ever.
	PoolID(ctx context.Context, pool string) (int64, error)
}
