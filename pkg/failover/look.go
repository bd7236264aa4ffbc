package failover

import (
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// look returns when nobody has the image open and every entry is on the blocklist.
// What was put on it loses its watches within milliseconds.
//
// Who had resolved a name of the image before that was taken away may open it yet. So of an
// image that got another name, one look is not enough, and who comes late and is one of
// the dead cluster is fenced too.
func (t *takeover) look(ctx context.Context) error {
	var left []ceph.Watcher
	var late bool
	quiet, enough := 0, 1
	if t.named() {
		enough = 2
	}
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleLimit, true, func(ctx context.Context) (bool, error) {
		var err error
		if left, late, err = t.lookOnce(ctx); err != nil {
			return false, err
		}
		if quiet++; late || len(left) > 0 {
			quiet = 0
		}
		return quiet == enough, nil
	})
	const do = "look at `ceph osd blocklist ls` and at the image with `rbd status`, then run the same command again"
	switch timeout := wait.Interrupted(err) && ctx.Err() == nil; {
	case timeout && late:
		return refuse(do, "image %s: clients of cluster %s have kept opening it for %s", t.Image, t.From.Name, settleLimit)
	case timeout && len(left) > 0:
		return refuse(do, "image %s: client %s is on the blocklist, and still has the image open %s later", t.Image, left[0].Addr, settleLimit)
	case err != nil:
		return err
	}
	return t.checkEntries()
}

// checkEntries refuses when somebody has cleared the blocklist, or lifted one of the entries.
func (t *takeover) checkEntries() error {
	entries, err := t.entries.get()
	if err != nil {
		return err
	}
	missing, err := ceph.PlanFence(entries, t.fence.all(), time.Now(), ceph.MaxFence)
	if err != nil {
		return err
	}
	if lifted := slices.Concat(missing.Add, missing.Renew); len(lifted) > 0 {
		return refuse("find out who lifts entries at the same time, then run the same command again",
			"somebody took %s off the blocklist in the meantime", strings.Join(lifted, ", "))
	}
	return nil
}

// lookOnce returns who has the image open still, and whether somebody came late.
func (t *takeover) lookOnce(ctx context.Context) (left []ceph.Watcher, late bool, err error) {
	watchers, err := t.storage.Watchers(ctx, t.Image)
	if err != nil {
		return nil, false, err
	}
	watchers = notAmong(watchers, t.Own)
	strangers := uncovered(watchers, t.fence, t.exempt)
	if t.named() {
		holder, err := t.storage.LockHolder(ctx, t.Image)
		if err != nil {
			return nil, false, err
		}
		// One that has fallen silent is no watcher.
		if holder != nil && holder.Addr != t.Wish.Self && !t.fence.covers(holder.Addr) {
			strangers = append(strangers, ceph.Watcher{Addr: holder.Addr, Client: holder.Client})
		}
	}
	for _, stranger := range strangers {
		if err := t.cut(ctx, stranger.Addr, stranger.Client, "has opened it in the meantime"); err != nil {
			return nil, false, err
		}
	}
	return uncovered(watchers, Fence{}, t.exempt), len(strangers) > 0, nil
}
