package keeper

import (
	"context"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// name does for the image's name what the record asks for: this cluster's name for an image
// that is this cluster's, when the admission that should have given it died, or when
// somebody has taken it away by hand; and the base name for one that nobody owns.
func (k *Keeper) name(ctx context.Context, storage idle.Ceph, image ceph.Image, record ceph.Record) error {
	switch {
	case image.Key == "" || !record.Keyed:
		return nil
	case record.State == ceph.Free:
		return imagename.GiveBack(ctx, storage, image)
	case record.State != ceph.Held || !ownership.Owns(record, k.Self):
		return nil
	case record.Named:
		if lost, err := hasLostName(ctx, storage, image); err != nil || !lost {
			return err
		}
	}
	if err := imagename.CheckKey(ctx, storage, image.ImageSpec, k.Self); err != nil {
		return err
	}
	self, err := storage.Self(ctx)
	if err != nil {
		return err
	}
	// This is written even if the record already names this instance, so that an admission that
	// runs at the same time cannot give the image back.
	begun, err := ownership.Rewrite(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		stored.Named = false
		return ownership.BeginName(stored, k.Self, self)
	})
	if err != nil {
		return err
	}
	_, holder, err := imagename.Take(ctx, storage, image, k.Self, begun.Renamers, self)
	if err != nil {
		return err
	}
	if holder != nil && !holder.Answers {
		return holder // an admission finds out whose client it is
	}
	done := self
	if slices.Contains(record.Renamers, self) {
		done = "" // an earlier rename by this instance may still be running
	}
	_, err = ownership.Change(ctx, storage, image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.FinishName(stored, begun, done)
	})
	return err
}

// hasLostName reports whether the name of this cluster does not lead to the image any more. It
// looks again: the image may have been looked at before it was named.
func hasLostName(ctx context.Context, storage ceph.ImageReader, image ceph.Image) (bool, error) {
	if image.Named == image.Own() {
		return false, nil
	}
	again, err := storage.Image(ctx, image.ImageSpec)
	return again.Named != again.Own(), err
}
