//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// RenameImage reads a few objects when the image has that name and no other, and
// opens nothing.
func (c *connection) RenameImage(ctx context.Context, image ceph.Image, name string, others ...string) (ceph.Image, error) {
	return c.RenameImageFrom(ctx, image, anyName, name, others...)
}

// anyName is where an image is renamed from whatever its name is.
const anyName = ""

func (c *connection) RenameImageFrom(ctx context.Context, image ceph.Image, from, name string, others ...string) (ceph.Image, error) {
	renamed, err := do(ctx, c, image.ImageSpec, func(ioctx *rados.IOContext) (ceph.Image, error) {
		return c.rename(ioctx, image, from, name, append(slices.Clone(others), from, name))
	})
	if err != nil {
		return ceph.Image{}, fmt.Errorf("rename image %q to %q: %w", image.ImageSpec, name, err)
	}
	return renamed, nil
}

func (c *connection) rename(ioctx *rados.IOContext, image ceph.Image, from, name string, others []string) (ceph.Image, error) {
	if err := ceph.CheckImageName(name); err != nil {
		return ceph.Image{}, err
	}
	found, err := c.findNames(ioctx, image, others)
	if err == nil && !found.only(name) {
		found, err = c.renameInTurn(ioctx, image, from, name, others)
	}
	switch {
	case err != nil:
		return ceph.Image{}, err
	case !found.only(name):
		return ceph.Image{}, ceph.ErrImageRenamed
	}
	has, err := readHeader(ioctx, image.ID)
	return has.describe(image.Renamed(name), name, image.ID), translate(err, meanings{enoent: ceph.ErrImageNotFound})
}

// bearing is the spec of what has exactly that name, beside the image.
func bearing(image ceph.Image, name string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: image.Pool, Namespace: image.Namespace, Name: name}
}

// renameInTurn mends the image's names, and renames it if that was not all there was
// to do. It returns the names that lead to the image then.
func (c *connection) renameInTurn(ioctx *rados.IOContext, image ceph.Image, from, name string, others []string) (imageNames, error) {
	done, err := c.takeTurn(ioctx, image)
	if err != nil {
		return imageNames{}, err
	}
	defer done()
	found, err := c.findNames(ioctx, image, others)
	if err != nil {
		return imageNames{}, err
	}
	if from != anyName && found.listed != from {
		return imageNames{}, ceph.ErrImageRenamed
	}
	found, err = c.mendNames(ioctx, image, found, others)
	if err != nil || found.only(name) {
		return found, err
	}
	if !found.settled() || from != anyName && found.listed != from {
		return imageNames{}, ceph.ErrImageRenamed
	}
	// A creation that died has left something in the directory at times. librbd would
	// find that only after it has made the new name.
	if err := c.clearRemains(ioctx, bearing(image, name)); err != nil {
		return imageNames{}, err
	}
	former, err := c.checkRename(ioctx, image)
	if err != nil {
		return imageNames{}, err
	}
	err = rbd.GetImage(ioctx, found.listed).Rename(name)
	switch {
	case errno(err) == erofs && former != nil:
		// librbd says so when the monitors do.
		return imageNames{}, fmt.Errorf("%w: taking the lock over from %s puts that on the blocklist, which it may not (%w)", ceph.ErrPermission, former.Addr, err)
	case errno(err) == erofs:
		return imageNames{}, refusal(ioctx, image, err)
	}
	if err != nil {
		return imageNames{}, translate(err, meanings{
			// It had this name a moment ago, and nothing had the other.
			enoent: ceph.ErrImageRenamed,
			eexist: ceph.ErrImageExists,
		})
	}
	return c.findNames(ioctx, image, others)
}

// renamerAttribute of an image's header has the client that renamed it last.
const renamerAttribute = "cephferry.renamer"

// checkRename returns a LockedError when librbd would have to take the image's lock
// from a client that may write yet, and notes that we may have the lock from now on. It
// returns the former holder, if there is one to take it over from.
//
// librbd takes it from a holder that is no watcher, at once, and puts that on the
// blocklist for an hour. That is right for one that is on it already, and for one
// that only renamed. Of one that still watches it would wait for the end, longer than
// anybody waits for us, and then rename when nobody expects that any more.
func (c *connection) checkRename(ioctx *rados.IOContext, image ceph.Image) (former *ceph.LockedError, err error) {
	err = checkLock(ioctx, image, c.patience())
	if errors.As(err, &former) {
		over, lookErr := c.isOver(ioctx, image, former)
		if lookErr != nil {
			return nil, lookErr
		}
		if over {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	self := fmt.Sprintf("client.%d", c.rados.GetInstanceID())
	err = ioctx.SetXattr(headerObject(image.ID), renamerAttribute, []byte(self))
	return former, translate(err, meanings{enoent: ceph.ErrImageNotFound})
}

// isOver says whether the holder of the image's lock, which does not answer, cannot
// write and is no watcher any more.
func (c *connection) isOver(ioctx *rados.IOContext, image ceph.Image, holder *ceph.LockedError) (bool, error) {
	found, err := readHeader(ioctx, image.ID)
	if err != nil {
		return false, translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	if slices.ContainsFunc(found.watchers, func(w ceph.Watcher) bool { return w.Client == holder.Client }) {
		return false, nil
	}
	renamer := make([]byte, 64)
	n, err := ioctx.GetXattr(headerObject(image.ID), renamerAttribute, renamer)
	if err == nil && string(renamer[:n]) == holder.Client {
		return true, nil
	}
	answer, _, err := c.rados.MonCommand([]byte(`{"prefix":"osd blocklist ls","format":"json"}`))
	if err != nil {
		return false, translate(err, nil)
	}
	entries, err := parseBlocklist(answer)
	return slices.ContainsFunc(entries, func(e ceph.BlocklistEntry) bool { return e.Covers(holder.Addr) }), err
}
