//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"crypto/rand"
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
	if err := checkLock(ioctx, image, c.patience()); err != nil {
		return err
	}
	return translate(resize(ioctx, image.ID, size), meanings{
		enoent: ceph.ErrImageNotFound,
		erofs:  ceph.ErrImageLocked,
		// librbd was told not to shrink, and the size was right a moment ago: so
		// somebody else resized it just now.
		einval: ceph.ErrImageShrinks,
	})
}

// turnLock has its name from when only growing took it.
const turnLock = "cephferry.grow"

// takeTurn waits until no other client of this package grows or renames the image,
// and keeps it so until done.
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
	for since := time.Now(); ; {
		// go-ceph returns these two as results and not as errors.
		result, err := ioctx.LockExclusive(header, turnLock, cookie, "", c.calls.wait, nil)
		if err != nil {
			return nil, translate(err, meanings{enoent: ceph.ErrImageNotFound})
		}
		if result == 0 {
			return func() { _, _ = ioctx.Unlock(header, turnLock, cookie) }, nil
		}
		// Its caller must hear this, and not that nobody answers.
		if time.Since(since) > c.calls.wait*2/3 {
			return nil, fmt.Errorf("%w: another client is growing or renaming it", ceph.ErrImageLocked)
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

// resize goes by the id: the image may get another name meanwhile.
func resize(ioctx *rados.IOContext, id string, size uint64) error {
	image, err := rbd.OpenImageById(ioctx, id, rbd.NoSnapshot)
	if err != nil {
		return err
	}
	goOn := func(_, _ uint64, _ any) int { return 0 }
	const allowShrink = false
	return errors.Join(image.Resize2(size, allowShrink, goOn, nil), image.Close())
}
