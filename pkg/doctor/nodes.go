package doctor

import (
	"context"
	"errors"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// NodeUser connects as the Ceph user by whom nodes map the images of a class.
type NodeUser func(ctx context.Context, class storageclass.Class) (ceph.Fencer, error)

// Nodes checks that the nodes' Ceph user may blocklist: who takes the lock of an image over
// from a client that is dead has to. Nothing is put on the blocklist. Where the user's secret
// cannot be read, it is not known.
func Nodes(ctx context.Context, connect NodeUser, class storageclass.Class) Finding {
	const check = "nodes"
	secret := class.NodeStageSecret.Namespace + "/" + class.NodeStageSecret.Name
	user, err := connect(ctx, class)
	if err == nil {
		err = user.MayFence(ctx)
	}
	switch {
	case err == nil:
		return ok(check, "class %s: the Ceph user of secret %s may blocklist a node that has died", class.Name, secret)
	case errors.Is(err, ceph.ErrPermission):
		return problem(check, "give that user the capability mon 'profile rbd'; `ceph auth get client.<user>` shows what it has, and `ceph auth caps` sets all at once",
			"class %s: the Ceph user of secret %s, with which nodes map images, may not blocklist: no other node could take over the lock of an image from one that has died", class.Name, secret)
	default:
		return Skip(check, "class %s: whether the Ceph user of secret %s, with which nodes map images, may blocklist a node that has died is not known: %v", class.Name, secret, err)
	}
}
