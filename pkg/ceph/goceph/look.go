//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Look takes one round trip for an image that was looked at before and that nobody watches: its
// name is asked for the id that it has now, and at the same time record and header of the id
// that it had. When these are two, what was read is of no use, and it takes three, one after
// the other, as for an image that was never looked at.
func (c *connection) Look(ctx context.Context, spec ceph.ImageSpec) (ceph.Look, error) {
	what := "look at"
	look, err := do(ctx, c, spec, func(ioctx *rados.IOContext) (ceph.Look, error) {
		look, unread, err := c.lookAtOnce(ioctx, spec)
		if errors.Is(err, errMoved) {
			look, unread, err = lookInTurn(ioctx, spec)
		}
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
		c.lasts.note(spec, look.Image)
		return look, nil
	})
	if err != nil {
		return ceph.Look{}, fmt.Errorf("%s image %q: %w", what, spec, err)
	}
	return look, nil
}

// lookInTurn reads the id object of the image's name, the record, and the header. unread is
// why the record cannot be read.
func lookInTurn(ioctx *rados.IOContext, spec ceph.ImageSpec) (look ceph.Look, unread, err error) {
	err = seek(ioctx, spec, func(name, id string) error {
		look.Record, unread = readRecord(ioctx, ceph.RecordObject(id))
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
	return look, unread, err
}

// errMoved: what is remembered of the image does not lead to it, if anything is.
var errMoved = errors.New("not where it was")

// lookAtOnce looks at an image by what is remembered of it, or returns errMoved.
//
// Watchers that were listed before the record was read may be gone by then, so where there are
// some, they are listed again. That there was none counts: whoever opens the image later has
// acquired it before that, and the record shows it. test/model has both orders.
func (c *connection) lookAtOnce(ioctx *rados.IOContext, spec ceph.ImageSpec) (look ceph.Look, unread, err error) {
	last := c.lasts.of(spec)
	if last.id == "" {
		return look, nil, errMoved
	}
	names := last.names(spec)
	seen, err := glance(ioctx, names, last.id)
	if err != nil {
		return look, nil, err
	}
	i := slices.IndexFunc(seen.ids, func(id got[string]) bool { return errno(id.err) != enoent })
	switch {
	case i < 0:
		return look, nil, errMoved
	case seen.ids[i].err != nil:
		return look, nil, seen.ids[i].err
	case seen.ids[i].value != last.id:
		return look, nil, errMoved
	}
	look.Record = seen.record.value
	if err := seen.record.err; err != nil && !errors.Is(err, ceph.ErrRecordNotFound) {
		return look, err, nil
	}
	found, err := seen.header, seen.headerErr
	if len(found.watchers) > 0 {
		found, err = readHeader(ioctx, last.id)
	}
	if errno(err) == enoent {
		return ceph.Look{}, nil, errMoved
	}
	look.Image, look.Watchers = found.describe(spec, names[i], last.id), found.watchers
	return look, nil, err
}

// maxImages bounds the images that are remembered; they take some 200 bytes each.
const maxImages = 20000

// lasts are the images as they were looked at last. The zero value is ready.
type lasts struct {
	mu  sync.Mutex
	all map[ceph.ImageSpec]last
}

// last is what is remembered of an image.
type last struct {
	id string
	// other is the name that led to it, empty if that was its own.
	other string
}

// names are those to ask, in the order of seek, until the one that led to the image.
func (l last) names(spec ceph.ImageSpec) []string {
	names := []string{spec.Own()}
	if l.other != "" && l.other != spec.Name {
		names = append(names, spec.Name)
	}
	if l.other != "" {
		names = append(names, l.other)
	}
	return names
}

// of is what is remembered, the zero one when it was not looked at.
func (l *lasts) of(spec ceph.ImageSpec) last {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[spec]
}

func (l *lasts) note(spec ceph.ImageSpec, image ceph.Image) {
	now := last{id: image.ID}
	switch image.Named {
	case "": // the directory alone leads to it
		now.id = ""
	case spec.Own():
	default:
		now.other = image.Named
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.all[spec]; l.all == nil || len(l.all) >= maxImages && !known {
		l.all = map[ceph.ImageSpec]last{}
	}
	l.all[spec] = now
}
