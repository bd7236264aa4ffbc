//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ceph/go-ceph/rados"
	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// namesAtOnce is how many names are asked for their ids at a time.
const namesAtOnce = 8

// imageNames is what leads to an image.
type imageNames struct {
	// listed is the directory's name.
	listed string
	// leading are the names whose id object has the image's id, sorted.
	leading []string
}

// only says whether that name leads to the image and no other does.
func (n imageNames) only(name string) bool { return n.settled() && n.listed == name }

// settled says whether no rename is half done.
func (n imageNames) settled() bool { return slices.Equal(n.leading, []string{n.listed}) }

func (n imageNames) equal(other imageNames) bool {
	return n.listed == other.listed && slices.Equal(n.leading, other.leading)
}

// surplus are the names that lead to the image behind the directory's back.
func (n imageNames) surplus() []string {
	return slices.DeleteFunc(slices.Clone(n.leading), func(name string) bool { return name == n.listed })
}

func (c *connection) ImageNames(ctx context.Context, image ceph.Image, others ...string) ([]string, error) {
	found, err := do(ctx, c, image.ImageSpec, func(ioctx *rados.IOContext) (imageNames, error) {
		return c.findNames(ioctx, image, others)
	})
	if err != nil {
		return nil, fmt.Errorf("look for the names of image %q: %w", image.ImageSpec, err)
	}
	return found.leading, nil
}

// findNames asks the directory for the image's name, and then, at once, every name that may
// be one for its id.
func (c *connection) findNames(ioctx *rados.IOContext, image ceph.Image, others []string) (imageNames, error) {
	listed, err := readListed(ioctx, image.ID)
	if errno(err) == enoent {
		return imageNames{}, c.absent(image.ImageSpec, ceph.ErrImageNotFound)
	}
	if err != nil {
		return imageNames{}, translate(err, nil)
	}
	all := append([]string{listed, image.Name, image.Named}, others...)
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(name string) bool { return name == "" })
	ids := make([]string, len(all))
	var group errgroup.Group
	group.SetLimit(namesAtOnce)
	for i, name := range all {
		group.Go(func() (err error) {
			if ids[i], err = readID(ioctx, name); errno(err) == enoent {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return imageNames{}, translate(err, nil)
	}
	found := imageNames{listed: listed}
	for i, name := range all {
		if ids[i] == image.ID {
			found.leading = append(found.leading, name)
		}
	}
	return found, nil
}

// mendNames undoes or completes a rename that died half-way, of an image that has just been
// found with these names: what the directory says holds. librbd renames in three steps, each in an object of its own:
//
//	rbd_id.NEW        id            created exclusively
//	rbd_directory     NEW -> id     instead of OLD -> id
//	rbd_id.OLD                      removed
//
// The name that the directory does not have is removed, as an object and only while
// that has the image's id: `rbd rm` would open the image by it and remove that.
//
// A rename that was only slow and goes on where it was can then remove the last name,
// so one that is missing is made again. It can also make its new name after that, and
// leave it when the directory refuses: a name that only callers find who ask for it.
func (c *connection) mendNames(ioctx *rados.IOContext, image ceph.Image, found imageNames, others []string) (imageNames, error) {
	found, err := c.awaitRename(ioctx, image, found, others)
	if err != nil || found.settled() {
		return found, err
	}
	if !slices.Contains(found.leading, found.listed) {
		if err := restoreID(ioctx, image, found.listed); err != nil {
			return imageNames{}, err
		}
	}
	for _, name := range found.surplus() {
		if err := removeID(ioctx, name, image.ID); err != nil {
			return imageNames{}, err
		}
	}
	return c.findNames(ioctx, image, others)
}

// awaitRename returns the image's names when these do not change while a rename
// could be under way.
func (c *connection) awaitRename(ioctx *rados.IOContext, image ceph.Image, found imageNames, others []string) (imageNames, error) {
	// A rename takes milliseconds.
	for since := time.Now(); !found.settled() && time.Since(since) < c.patience(); {
		time.Sleep(creationPoll)
		now, err := c.findNames(ioctx, image, others)
		if err != nil {
			return now, err
		}
		if !now.equal(found) {
			found, since = now, time.Now()
		}
	}
	return found, nil
}

// restoreID makes the id object of the name that the directory has for the image. It
// leaves alone what is on its way to the trash or is being removed.
func restoreID(ioctx *rados.IOContext, image ceph.Image, name string) error {
	trashed, err := ioctx.GetOmapValues(trashObject, "", "id_"+image.ID, 1)
	if err != nil && errno(err) != enoent {
		return translate(err, nil)
	}
	if len(trashed) != 0 {
		return fmt.Errorf("%w: it is in the trash", ceph.ErrImageNotFound)
	}
	if _, err := readHeader(ioctx, image.ID); err != nil {
		return translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Create(rados.CreateExclusive)
	op.WriteFull(encodeString(image.ID))
	return translate(op.Operate(ioctx, idObject(name), rados.OperationNoFlag), meanings{eexist: ceph.ErrImageRenamed})
}
