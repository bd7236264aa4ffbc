//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// checkLock returns ErrImageLocked when librbd could get the image's lock only by
// waiting or by force: a LockedError, if a client holds it.
//
// librbd asks the holder, and one that is alive gives the lock up, or does for us what we
// want, or refuses. But a holder that does not answer is declared dead after 30 s:
// librbd then breaks the lock and puts that client on the blocklist for an hour.
// That would cut off all volumes of a node that is only hard to reach, because somebody
// raised a size or gave another name. And a lock of `rbd lock add` lets librbd wait for
// ever.
func checkLock(ioctx *rados.IOContext, image ceph.Image, patience time.Duration) error {
	holder, err := lockHolder(ioctx, image.ID, patience)
	if err != nil {
		return translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	if holder != nil && !holder.Answers {
		return holder
	}
	return nil
}

// LockHolder asks the watchers of the image only when somebody has the lock.
func (c *connection) LockHolder(ctx context.Context, spec ceph.ImageSpec) (*ceph.LockedError, error) {
	holder, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (*ceph.LockedError, error) {
		var holder *ceph.LockedError
		err := seek(ioctx, spec, func(_, id string) (err error) {
			holder, err = lockHolder(ioctx, id, c.patience())
			return err
		})
		if errno(err) == enoent {
			return nil, c.absent(spec, ceph.ErrImageNotFound)
		}
		return holder, translate(err, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("look who has the lock of image %q: %w", spec, err)
	}
	return holder, nil
}

// lockHands is how many looks may find another holder.
const lockHands = 4

// lockHolder returns who has the lock of the image with that id, nil when nobody has. Its
// errors are not translated.
//
// A holder that closes the image gives up the lock first, then its watch. So one that
// does not answer is silent only if it still has the lock afterwards: the second look
// cannot be spared.
func lockHolder(ioctx *rados.IOContext, id string, patience time.Duration) (*ceph.LockedError, error) {
	var silent ceph.LockedError
	var cookie string
	for range lockHands {
		lock, err := listLock(ioctx, id)
		if err != nil || lock.NumLockers == 0 {
			return nil, err
		}
		holder := ceph.LockedError{Client: lock.Clients[0], Addr: plainAddr(lock.Addrs[0])}
		if holder == silent && lock.Cookies[0] == cookie {
			return &holder, nil
		}
		answers, err := asked(ioctx, id, holder.Client, patience)
		if err != nil {
			return nil, err
		}
		if answers {
			holder.Answers = true
			return &holder, nil
		}
		silent, cookie = holder, lock.Cookies[0]
	}
	return nil, ceph.ErrLockPasses
}

// listLock returns the image's lock, and ErrImageLocked for one that librbd does not
// manage. Its other errors are not translated.
func listLock(ioctx *rados.IOContext, id string) (*rados.LockInfo, error) {
	lock, err := ioctx.ListLockers(headerObject(id), imageLock)
	if err == nil && lock.NumLockers > 0 && lock.Tag != "internal" {
		return nil, fmt.Errorf("%w: `rbd lock ls` shows a lock of %s", ceph.ErrImageLocked, lock.Clients[0])
	}
	return lock, err
}

// asked notifies all watchers of the image, and says whether the client has answered in
// time. Its error is not translated.
func asked(ioctx *rados.IOContext, id, client string, patience time.Duration) (bool, error) {
	// Every watcher of the header answers any notification. This one has a number
	// that no version of Ceph knows, so that nobody does anything about it.
	acks, _, err := ioctx.NotifyWithTimeout(headerObject(id), notification(0x63656665), patience)
	if err != nil && errno(err) != etimedout {
		return false, err
	}
	return slices.ContainsFunc(acks, func(ack rados.NotifyAck) bool {
		return fmt.Sprintf("client.%d", ack.NotifierID) == client
	}), nil
}

// notification is a message for the watchers of an image's header without
// payload: encoding version and the oldest compatible one, length, kind.
func notification(kind uint32) []byte {
	data := binary.LittleEndian.AppendUint32([]byte{1, 1}, 4)
	return binary.LittleEndian.AppendUint32(data, kind)
}

// refusal is the LockedError for a client that has answered [checkLock] and then did not
// give the lock up: EROFS. It is another error if that has changed since.
func refusal(ioctx *rados.IOContext, image ceph.Image, err error) error {
	lock, listed := ioctx.ListLockers(headerObject(image.ID), imageLock)
	if listed != nil || lock.NumLockers == 0 {
		return translate(err, meanings{erofs: ceph.ErrImageLocked})
	}
	return &ceph.LockedError{Client: lock.Clients[0], Addr: plainAddr(lock.Addrs[0]), Answers: true}
}
