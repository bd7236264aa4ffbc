//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"encoding/binary"
	"fmt"
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

// lockHolder returns who has the lock of the image with that id, nil when nobody has. Its
// errors are not translated.
func lockHolder(ioctx *rados.IOContext, id string, patience time.Duration) (*ceph.LockedError, error) {
	header := headerObject(id)
	lock, err := ioctx.ListLockers(header, imageLock)
	if err != nil {
		return nil, err
	}
	if lock.NumLockers == 0 {
		return nil, nil
	}
	if lock.Tag != "internal" {
		return nil, fmt.Errorf("%w: `rbd lock ls` shows a lock of %s", ceph.ErrImageLocked, lock.Clients[0])
	}
	holder := &ceph.LockedError{Client: lock.Clients[0], Addr: plainAddr(lock.Addrs[0])}
	// Every watcher of the header answers any notification. This one has a number
	// that no version of Ceph knows, so that nobody does anything about it.
	acks, _, err := ioctx.NotifyWithTimeout(header, notification(0x63656665), patience)
	if err != nil && errno(err) != etimedout {
		return nil, err
	}
	for _, ack := range acks {
		if fmt.Sprintf("client.%d", ack.NotifierID) == holder.Client {
			holder.Answers = true
		}
	}
	return holder, nil
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
