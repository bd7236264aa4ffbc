//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// turnPoll is how often a client looks whether it is its turn.
const turnPoll = 10 * time.Millisecond

// GrowImage opens the image read-write, for a moment, and only when it has to
// grow.
func (c *connection) GrowImage(ctx context.Context, spec ceph.ImageSpec, size uint64) error {
	_, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (struct{}, error) {
		return struct{}{}, c.grow(ioctx, spec, size)
	})
	if err != nil {
		return fmt.Errorf("grow image %q: %w", spec, err)
	}
	return nil
}

func (c *connection) grow(ioctx *rados.IOContext, spec ceph.ImageSpec, size uint64) error {
	image, err := c.lookup(ioctx, spec)
	if err != nil {
		return err
	}
	if done, err := compareSize(image, size); done {
		return err
	}
	if err := checkLock(ioctx, image, c.patience()); err != nil {
		return err
	}
	done, err := c.takeTurn(ioctx, image)
	if err != nil {
		return err
	}
	defer done()
	// Whoever had the turn before may have changed the size.
	if image, err = c.lookup(ioctx, spec); err != nil {
		return err
	}
	if done, err := compareSize(image, size); done {
		return err
	}
	return translate(resize(ioctx, spec.Name, size), meanings{
		enoent: ceph.ErrImageNotFound,
		erofs:  ceph.ErrImageLocked,
		// librbd was told not to shrink, and the size was right a moment ago: so
		// somebody else resized it just now.
		einval: ceph.ErrImageShrinks,
	})
}

const turnLock = "cephferry.grow"

// takeTurn waits until no other client of this package grows the image, and
// keeps it so until done.
//
// librbd checks that it does not shrink the image against the size that it knows,
// which may be older than the one in the header: of several clients that grow an
// image at once, the one that comes last sets its size, even if that is smaller.
// The image's own lock does not prevent that, and many images have none.
//
// This lock is an attribute of the header object that only this package looks at.
// It ends by itself when its owner died.
func (c *connection) takeTurn(ioctx *rados.IOContext, image ceph.Image) (done func(), err error) {
	header, cookie := headerObject(image.ID), rand.Text()
	for waited := time.Duration(0); ; waited += turnPoll {
		// go-ceph returns these two as results and not as errors.
		result, err := ioctx.LockExclusive(header, turnLock, cookie, "", c.calls.wait, nil)
		if err != nil {
			return nil, translate(err, meanings{enoent: ceph.ErrImageNotFound})
		}
		if result == 0 {
			return func() { _, _ = ioctx.Unlock(header, turnLock, cookie) }, nil
		}
		if waited > c.calls.wait {
			return nil, fmt.Errorf("%w: another client is growing it", ceph.ErrImageLocked)
		}
		time.Sleep(turnPoll)
	}
}

// compareSize reports whether there is nothing to do for an image that should
// have that size, and why.
func compareSize(image ceph.Image, size uint64) (done bool, err error) {
	switch {
	case image.Size > size:
		return true, fmt.Errorf("from %d to %d bytes: %w", image.Size, size, ceph.ErrImageShrinks)
	case image.Size == size:
		return true, nil
	}
	return false, nil
}

func resize(ioctx *rados.IOContext, name string, size uint64) error {
	image, err := rbd.OpenImage(ioctx, name, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	goOn := func(_, _ uint64, _ any) int { return 0 }
	const allowShrink = false
	return errors.Join(image.Resize2(size, allowShrink, goOn, nil), image.Close())
}

// checkLock returns ErrImageLocked when librbd could get the image's lock only by
// waiting or by force.
//
// librbd asks the holder, and one that is alive gives the lock up, or resizes for
// us, or refuses. But a holder that does not answer is declared dead after 30 s:
// librbd then breaks the lock and puts that client on the blocklist for an hour.
// That would cut off all volumes of a node that is only hard to reach, because
// somebody raised a size. And a lock of `rbd lock add` lets librbd wait for ever.
func checkLock(ioctx *rados.IOContext, image ceph.Image, patience time.Duration) error {
	header := headerObject(image.ID)
	lock, err := ioctx.ListLockers(header, imageLock)
	if err != nil {
		return translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	if lock.NumLockers == 0 {
		return nil
	}
	if lock.Tag != "internal" {
		return fmt.Errorf("%w: `rbd lock ls` shows a lock of %s", ceph.ErrImageLocked, lock.Clients[0])
	}
	// Every watcher of the header answers any notification. This one has a number
	// that no version of Ceph knows, so that nobody does anything about it.
	acks, _, err := ioctx.NotifyWithTimeout(header, notification(0x63656665), patience)
	if err != nil && errno(err) != etimedout {
		return translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	for _, ack := range acks {
		if fmt.Sprintf("client.%d", ack.NotifierID) == lock.Clients[0] {
			return nil
		}
	}
	return fmt.Errorf("%w: its lock is held by %s at %s, which does not answer", ceph.ErrImageLocked, lock.Clients[0], lock.Addrs[0])
}

// notification is a message for the watchers of an image's header without
// payload: encoding version and the oldest compatible one, length, kind.
func notification(kind uint32) []byte {
	data := binary.LittleEndian.AppendUint32([]byte{1, 1}, 4)
	return binary.LittleEndian.AppendUint32(data, kind)
}
