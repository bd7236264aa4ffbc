//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"errors"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const creationPoll = 20 * time.Millisecond

// clearRemains makes the name of spec free for another creation when an earlier
// one died half-way, and returns ErrImageExists when there is an image.
//
// librbd makes an image in three steps, each in an object of its own, and undoes
// them backwards when one fails:
//
//	rbd_directory     name -> id      the name is listed by `rbd ls`
//	rbd_id.NAME       id              created exclusively
//	rbd_header.ID     size, features  created exclusively; now it is an image
//
// When an OSD does not answer in time, the undoing fails as well, and the step
// that timed out may still be carried out once the OSD returns. A killed process
// undoes nothing. The first or the first two steps remain: creating says that
// the image exists, opening says that it does not, for ever.
//
// What remains has neither header nor data. Still, an id object must not simply
// be removed: its creator may be slow and not dead, and would end up with an image
// that no name leads to. So clearRemains first creates the header itself, empty:
// then nobody can complete that id any more, and a creator that tries gets EBADF.
// The empty header object stays behind.
func (c *connection) clearRemains(ioctx *rados.IOContext, spec ceph.ImageSpec) error {
	ids, err := c.awaitCreation(ioctx, spec)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := takeHeader(ioctx, id); err != nil {
			return err
		}
		if err := removeID(ioctx, spec.Name, id); err != nil {
			return err
		}
		if err := removeFromDirectory(ioctx, spec.Name, id); err != nil {
			return err
		}
	}
	return nil
}

// awaitCreation returns the ids that the name leads to, when these do not change
// and do not become an image while a creation could be under way.
func (c *connection) awaitCreation(ioctx *rados.IOContext, spec ceph.ImageSpec) ([]string, error) {
	var before [2]string
	since := time.Now()
	for {
		_, err := c.lookup(ioctx, spec)
		if err == nil {
			return nil, ceph.ErrImageExists
		}
		if !errors.Is(err, ceph.ErrImageNotFound) {
			return nil, err
		}
		var now [2]string
		for i, read := range []func(*rados.IOContext, string) (string, error){readID, readDirectory} {
			id, err := read(ioctx, spec.Name)
			if err != nil && errno(err) != enoent {
				return nil, translate(err, nil)
			}
			now[i] = id
		}
		if now == [2]string{} {
			return nil, nil
		}
		if now != before {
			before, since = now, time.Now()
		}
		// A creation takes milliseconds. Nothing breaks when a slow one is taken for
		// dead, only it has to start again.
		if time.Since(since) >= c.patience() {
			var ids []string
			for _, id := range now {
				if id != "" {
					ids = append(ids, id)
				}
			}
			return ids, nil
		}
		time.Sleep(creationPoll)
	}
}

// takeHeader makes sure that no image with that id can come to be, or returns
// ErrImageExists when there is one.
func takeHeader(ioctx *rados.IOContext, id string) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Create(rados.CreateExclusive)
	err := op.Operate(ioctx, headerObject(id), rados.OperationNoFlag)
	if errno(err) != eexist {
		return translate(err, nil)
	}
	if _, err := readHeader(ioctx, id); err == nil {
		return ceph.ErrImageExists
	} else if errno(err) != enoent {
		return translate(err, nil)
	}
	return nil
}

// removeID removes the name's id object if it has that id.
func removeID(ioctx *rados.IOContext, name, id string) error {
	current, err := readID(ioctx, name)
	if errno(err) == enoent || err == nil && current != id {
		return nil
	}
	if err != nil {
		return translate(err, nil)
	}
	version, err := ioctx.GetLastVersion()
	if err != nil {
		return translate(err, nil)
	}
	op := rados.CreateWriteOp()
	defer op.Release()
	op.AssertVersion(version)
	op.Remove()
	err = op.Operate(ioctx, idObject(name), rados.OperationNoFlag)
	switch errno(err) {
	case erange, eoverflow, enoent: // somebody else was here
		return nil
	}
	return translate(err, nil)
}

// removeFromDirectory removes the name from the pool's directory if it has that
// id there.
func removeFromDirectory(ioctx *rados.IOContext, name, id string) error {
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Exec("rbd", "dir_remove_image", append(encodeString(name), encodeString(id)...))
	err := op.Operate(ioctx, directoryObject, rados.OperationNoFlag)
	switch errno(err) {
	case enoent, estale: // somebody else was here
		return nil
	}
	return translate(err, nil)
}
