package cephtest

import (
	"context"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *client) Note(ctx context.Context, image ceph.Image) (ceph.Note, error) {
	return do(ctx, c, Call{Method: "Note", Image: image.ImageSpec}, Observer, func() (ceph.Note, error) {
		space, err := c.ceph.namespace(image.ImageSpec)
		if err != nil {
			return ceph.Note{}, err
		}
		return ceph.DecodeNote(space.records[ceph.NoteObject(image.ID)].data), nil
	})
}

func (c *client) PutNote(ctx context.Context, image ceph.Image, note ceph.Note) error {
	_, err := do(ctx, c, Call{Method: "PutNote", Image: image.ImageSpec}, Operator, func() (struct{}, error) {
		space, err := c.ceph.namespace(image.ImageSpec)
		if err != nil {
			return struct{}{}, err
		}
		name := ceph.NoteObject(image.ID)
		if _, exists := space.records[name]; !exists && c.ceph.pools[image.Pool].full {
			return struct{}{}, ceph.ErrPoolFull
		}
		space.records[name] = object{note.Encode(), c.ceph.next()}
		return struct{}{}, nil
	})
	return err
}
