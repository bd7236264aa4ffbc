//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Look takes two round trips for an image that was looked at before, and three for another
// one: to the id object of its name, to its record, and to its header.
//
// An id that is remembered only tells which record to read while the name is asked for the
// id that it has now. When that is another one, what was read is of no use.
func (c *connection) Look(ctx context.Context, spec ceph.ImageSpec) (ceph.Look, error) {
	what := "look at"
	look, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (ceph.Look, error) {
		early := c.readEarly(spec)
		defer early.await() // nothing is inside the connection when the call leaves it
		var look ceph.Look
		var unread error // of the record
		err := seek(ioctx, spec, func(name, id string) error {
			if look.Record, unread = early.take(id); errors.Is(unread, errNotRead) {
				look.Record, unread = readRecord(ioctx, ceph.RecordObject(id))
			}
			if errors.Is(unread, ceph.ErrRecordNotFound) {
				unread = nil
			}
			if unread != nil {
				return nil
			}
			found, err := readHeader(ioctx, id)
			look.Image, look.Watchers = found.describe(spec, name, id), found.watchers
			return err
		})
		switch {
		case unread != nil:
			what = "read record of"
			return ceph.Look{}, unread
		case errno(err) == enoent:
			return ceph.Look{}, c.absent(spec, ceph.ErrImageNotFound)
		case err != nil:
			return ceph.Look{}, translate(err, nil)
		}
		c.exists(spec)
		c.ids.note(spec, look.Image.ID)
		return look, nil
	})
	if err != nil {
		return ceph.Look{}, fmt.Errorf("%s image %q: %w", what, spec, err)
	}
	return look, nil
}

// errNotRead: the record was not read early.
var errNotRead = errors.New("not read yet")

// earlyRecord is a record that is read before it is known to be the right one.
type earlyRecord struct {
	id     string
	done   chan struct{}
	record ceph.Record
	err    error
}

// readEarly begins to read the record of the image that spec led to the last time, if it
// did. It has an IOContext of its own, for the version of the object that it reads.
func (c *connection) readEarly(spec ceph.ImageSpec) *earlyRecord {
	early := &earlyRecord{id: c.ids.last(spec), done: make(chan struct{})}
	if early.id == "" {
		close(early.done)
		return early
	}
	go func() {
		defer close(early.done)
		ioctx, err := c.open(spec.Pool)
		if err != nil {
			early.err = err
			return
		}
		defer ioctx.Destroy()
		ioctx.SetNamespace(spec.Namespace)
		early.record, early.err = readRecord(ioctx, ceph.RecordObject(early.id))
	}()
	return early
}

// take returns the record of the image with that id, once, or errNotRead.
func (e *earlyRecord) take(id string) (ceph.Record, error) {
	if e.id != id {
		return ceph.Record{}, errNotRead
	}
	e.await()
	e.id = ""
	return e.record, e.err
}

func (e *earlyRecord) await() { <-e.done }

// maxIDs bounds the ids that are remembered; they take 200 bytes each.
const maxIDs = 20000

// lastIDs are the ids that images had when they were looked at.
type lastIDs struct {
	mu  sync.Mutex
	ids map[ceph.ImageSpec]string
}

// last returns the image's id, empty when it was not looked at.
func (l *lastIDs) last(spec ceph.ImageSpec) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[spec]
}

func (l *lastIDs) note(spec ceph.ImageSpec, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil || len(l.ids) >= maxIDs && l.ids[spec] == "" {
		l.ids = map[ceph.ImageSpec]string{}
	}
	l.ids[spec] = id
}
