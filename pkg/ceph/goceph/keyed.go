//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"slices"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// seek calls look for the names that may lead to the image of spec, each with the id that
// it leads to, until one does: look returns ENOENT when the id is none of an image. It
// returns ENOENT when no name leads to one.
//
// A rename makes the new name before it removes the old one, so there always is one. Its
// reader can still miss both: the new one before it is made, the old one after it is
// gone. Whence the second pass.
//
// A rename that was only slow can remove a name that was given again meanwhile. The
// directory has it yet, and look gets an empty one: whoever renames the image makes it anew.
func seek(ioctx *rados.IOContext, spec ceph.ImageSpec, look func(name, id string) error) error {
	by := func(name string) error {
		id, err := readID(ioctx, name)
		if err != nil {
			return err
		}
		return look(name, id)
	}
	if spec.Key == "" {
		return by(spec.Name)
	}
	own := []string{spec.Own(), spec.Name}
	var others []string
	for range 2 {
		if err := first(own, by); errno(err) != enoent {
			return err
		}
		keys, err := readKeys(ioctx)
		if err != nil {
			return err
		}
		others = nil
		for _, key := range keys {
			if key.Name != spec.Key {
				others = append(others, ceph.JoinName(spec.Name, key.Name))
			}
		}
		if err := first(others, by); errno(err) != enoent {
			return err
		}
	}
	return first(slices.Concat(own, others), func(name string) error {
		id, err := readDirectory(ioctx, name)
		if err != nil {
			return err
		}
		return look("", id)
	})
}

// first calls look for the names until it does not return ENOENT, and returns that.
func first(names []string, look func(name string) error) error {
	for _, name := range names {
		if err := look(name); errno(err) != enoent {
			return err
		}
	}
	return rados.ErrNotFound
}

// createKeyed makes the image with its base name, unless one of its names leads to an
// image.
//
// Between that look and the creation another cluster can make the image and rename it:
// the base name is free again then. So it looks once more. The image that it has made
// remains, empty, under the base name.
func (c *connection) createKeyed(ioctx *rados.IOContext, spec ceph.ImageSpec, layout ceph.Layout) error {
	ids, err := idsOf(ioctx, spec)
	if err != nil {
		return err
	}
	if len(ids) != 0 {
		return ceph.ErrImageExists
	}
	if err := c.create(ioctx, spec.Base(), layout); err != nil {
		return err
	}
	if ids, err = idsOf(ioctx, spec); err != nil {
		return err
	}
	if len(ids) > 1 {
		return ceph.ErrImageExists
	}
	return nil
}

// idsOf are the ids of all images that have one of the names of spec, by an id object or
// only in the pool's directory.
func idsOf(ioctx *rados.IOContext, spec ceph.ImageSpec) ([]string, error) {
	var ids []string
	for range 2 { // an image may be renamed meanwhile, see seek
		keys, err := readKeys(ioctx)
		if err != nil {
			return nil, err
		}
		names := []string{spec.Name, spec.Own()}
		for _, key := range keys {
			names = append(names, ceph.JoinName(spec.Name, key.Name))
		}
		for _, name := range names {
			for _, read := range []func(*rados.IOContext, string) (string, error){readID, readDirectory} {
				id, err := read(ioctx, name)
				if err == nil && !slices.Contains(ids, id) {
					if _, err = readHeader(ioctx, id); err == nil {
						ids = append(ids, id)
					}
				}
				if err != nil && errno(err) != enoent {
					return nil, translate(err, nil)
				}
			}
		}
	}
	return ids, nil
}
