//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// maxNote bounds a note in bytes: more is not written, and not read.
const maxNote = 16 << 10

// errNoNote never leaves this package.
var errNoNote = errors.New("there is no note")

func (c *connection) Note(ctx context.Context, image ceph.Image) (ceph.Note, error) {
	note, err := do(ctx, c, image.ImageSpec, func(ioctx *rados.IOContext) (ceph.Note, error) {
		data, _, err := readObject(ioctx, ceph.NoteObject(image.ID), maxNote, errNoNote)
		if errors.Is(err, errNoNote) {
			return ceph.Note{}, c.absent(image.ImageSpec, nil)
		}
		return ceph.DecodeNote(data), err
	})
	if err != nil {
		return ceph.Note{}, fmt.Errorf("read note of image %q: %w", image.ImageSpec, err)
	}
	return note, nil
}

func (c *connection) PutNote(ctx context.Context, image ceph.Image, note ceph.Note) error {
	_, err := do(ctx, c, image.ImageSpec, func(ioctx *rados.IOContext) (struct{}, error) {
		data := note.Encode()
		if err := c.checkNamespace(image.ImageSpec); err != nil || len(data) > maxNote {
			return struct{}{}, errors.Join(err, tooLong(len(data)))
		}
		return struct{}{}, translate(ioctx.WriteFull(ceph.NoteObject(image.ID), data), nil)
	})
	if err != nil {
		return fmt.Errorf("write note of image %q: %w", image.ImageSpec, err)
	}
	return nil
}

func tooLong(bytes int) error {
	if bytes <= maxNote {
		return nil
	}
	return fmt.Errorf("a note of %d bytes; at most %d are read", bytes, maxNote)
}
