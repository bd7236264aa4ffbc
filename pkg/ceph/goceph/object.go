//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"bytes"

	"github.com/ceph/go-ceph/rados"
)

// firstRead is how many bytes of an object are read at first: enough for nearly all.
const firstRead = 16 << 10

// readObject returns the bytes of a RADOS object, at most limit of them, and the version
// that has them, or absent when there is no such object.
func readObject(ioctx *rados.IOContext, object string, limit int, absent error) ([]byte, uint64, error) {
	for size := min(firstRead, limit); ; size = limit {
		data := make([]byte, size)
		n, err := ioctx.Read(object, data, 0)
		if err != nil {
			return nil, 0, translate(err, meanings{enoent: absent})
		}
		if n == size && size < limit {
			continue
		}
		// The version came with the answer to the read: it is the one of data.
		version, err := ioctx.GetLastVersion()
		return data[:n], version, translate(err, nil)
	}
}

// swapObject stores data, which no other write has, if the object still has that version;
// with zero, if there is none yet. It returns the new version. Otherwise it changes nothing
// and returns changed.
func swapObject(ioctx *rados.IOContext, object string, data []byte, version uint64, changed error) (uint64, error) {
	op := rados.CreateWriteOp()
	defer op.Release()
	if version == 0 {
		op.Create(rados.CreateExclusive)
	} else {
		op.AssertVersion(version)
	}
	op.WriteFull(data)
	err := op.Operate(ioctx, object, rados.OperationNoFlag)
	if errno(err) == etimedout {
		// The OSD may have carried it out, or may do so yet. When it answers
		// again, it has handled what this client sent before.
		if stored, at, err := readObject(ioctx, object, len(data)+1, err); err == nil && bytes.Equal(stored, data) {
			return at, nil
		}
	}
	if err != nil {
		return 0, translate(err, meanings{
			eexist: changed,
			// AssertVersion: the object is newer; it is older, or absent.
			erange:    changed,
			eoverflow: changed,
		})
	}
	next, err := ioctx.GetLastVersion()
	return next, translate(err, nil)
}
