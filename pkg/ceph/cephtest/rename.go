package cephtest

import (
	"context"
	"maps"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *client) ImageNames(ctx context.Context, image ceph.Image, others ...string) ([]string, error) {
	return do(ctx, c, Call{Method: "ImageNames", Image: image.ImageSpec}, Observer, func() ([]string, error) {
		_, names, err := c.ceph.names(image, others)
		return names, err
	})
}

func (c *client) RenameImage(ctx context.Context, image ceph.Image, name string, others ...string) (ceph.Image, error) {
	return do(ctx, c, Call{Method: "RenameImage", Image: image.ImageSpec}, Provisioner, func() (ceph.Image, error) {
		return c.ceph.rename(image, name, others)
	})
}

func (c *client) RenameImageFrom(ctx context.Context, image ceph.Image, from, name string, others ...string) (ceph.Image, error) {
	return do(ctx, c, Call{Method: "RenameImageFrom", Image: image.ImageSpec}, Provisioner, func() (ceph.Image, error) {
		found, _, err := c.ceph.names(image, others)
		if err == nil && found.listed != from && found.listed != name {
			err = ceph.ErrImageRenamed
		}
		if err != nil {
			return ceph.Image{}, err
		}
		return c.ceph.rename(image, name, others)
	})
}

// names returns the image by its ID, and which of its listed name, its own and others
// lead to it.
func (c *Ceph) names(of ceph.Image, others []string) (*image, []string, error) {
	space, err := c.namespace(of.ImageSpec)
	if err != nil {
		return nil, nil, err
	}
	for _, found := range space.images {
		if found.id != of.ID {
			continue
		}
		var names []string
		for _, name := range append([]string{found.listed, of.Name, of.Named}, others...) {
			if space.images[name] == found {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return found, slices.Compact(names), nil
	}
	return nil, nil, ceph.ErrImageNotFound
}

func (c *Ceph) rename(of ceph.Image, name string, others []string) (ceph.Image, error) {
	if err := ceph.CheckImageName(name); err != nil {
		return ceph.Image{}, err
	}
	found, names, err := c.names(of, append(slices.Clone(others), name))
	if err != nil {
		return ceph.Image{}, err
	}
	images := c.pools[of.Pool].namespaces[of.Namespace].images
	// What an earlier rename has left goes first, as in Ceph: also when this one
	// cannot be done.
	maps.DeleteFunc(images, func(other string, led *image) bool {
		return led == found && other != found.listed && slices.Contains(names, other)
	})
	renamed := of.ImageSpec.Renamed(name)
	if found.listed == name {
		return found.describe(renamed, name), nil
	}
	if images[name] != nil {
		return ceph.Image{}, ceph.ErrImageExists
	}
	if err := c.lockOf(found); err != nil && !c.fenced(found.holder.Addr) {
		return ceph.Image{}, err
	}
	if c.pools[of.Pool].full {
		return ceph.Image{}, ceph.ErrPoolFull
	}
	if c.fenced(found.holder.Addr) {
		found.holder = ceph.Watcher{} // its lock is broken
	}
	delete(images, found.listed)
	images[name], found.listed = found, name
	return found.describe(renamed, name), nil
}

// lockOf is the error for what needs the image's lock and would have to take it from
// somebody: all who open an image here map it exclusively, see [Ceph.OpenImage].
func (c *Ceph) lockOf(locked *image) error {
	switch holder := locked.holder; {
	case locked.locked:
		return ceph.ErrImageLocked
	case holder != ceph.Watcher{}:
		return &ceph.LockedError{Client: holder.Client, Addr: holder.Addr, Answers: slices.Contains(locked.watchers, holder)}
	}
	return nil
}
