package failover

import (
	"context"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
)

// rename gives the image the name of this cluster, and takes away all others: from then on
// no other cluster finds it. Whom the plan fences is on the blocklist, so that librbd takes the
// lock over at once. It may be somebody else's: of a client that nobody recorded, or of one
// that took it from a fenced one.
func (t *takeover) rename(ctx context.Context) error {
	all, err := imagename.All(ctx, t.storage, t.Image)
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, settlePoll, settleLimit, true, func(context.Context) (bool, error) {
		// Not with the context of this wait: a rename that is given up may go on.
		_, last = t.storage.RenameImage(ctx, t.image, t.Image.Own(), all...)
		var locked *ceph.LockedError
		switch {
		case errors.As(last, &locked):
			return false, t.cut(ctx, locked.Addr, locked.Client, "has its lock")
		case errors.Is(last, ceph.ErrImageLocked), errors.Is(last, ceph.ErrImageRenamed):
			return false, nil // who began it before is fenced
		}
		return last == nil, last
	})
	if wait.Interrupted(err) && last != nil && ctx.Err() == nil {
		return last
	}
	return err
}

// cut puts a client of the dead cluster on the blocklist that is not there yet, for good: the
// entry of an hour, which Ceph makes when a lock is taken over, cannot be prolonged. It
// refuses when nothing says that the client is one of that cluster.
func (t *takeover) cut(ctx context.Context, addr, client, does string) error {
	if slices.Contains(t.fence.Instances, addr) {
		return nil // it takes a moment
	}
	if !t.named() || !t.fence.covers(addr) && !t.isTheirs(addr) {
		return refuse("find out who that is; then run the same command again, with --also-fence "+addr+" if it is a client of the dead cluster, or with --direct and --drop to give up",
			"image %s: client %s (%s) %s, and is not one of the fenced clients", t.Image, addr, client, does)
	}
	if err := t.storage.Blocklist(ctx, []string{addr}, ceph.MaxFence); err != nil {
		return err
	}
	t.fence.Instances = unique(append(slices.Clone(t.fence.Instances), addr))
	return t.storage.Barrier(ctx, t.Image)
}
