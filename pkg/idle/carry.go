package idle

import (
	"context"
	"errors"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Carry writes the next record of a look. Before the image gets free, those that may be
// renaming it for this cluster are fenced: one that was only slow would give it a name of
// this cluster when it is another's. An error that is ceph.ErrRecordChanged says that
// somebody was faster.
func (p *Prover) Carry(ctx context.Context, storage Ceph, look Look) (ceph.Record, error) {
	if look.Step == ownership.LetGo && look.Record.Keyed {
		if err := imagename.CutOff(ctx, storage, look.Image.ImageSpec, look.Record.Renamers); err != nil {
			return ceph.Record{}, err
		}
		if err := cutDead(ctx, storage, look); err != nil {
			return ceph.Record{}, err
		}
	}
	return storage.PutRecord(ctx, look.Image, look.Next)
}

// cutDead fences a client of this cluster that has the image's lock although nothing of it
// has the image open any more, as of a node that lost power. Nobody could rename the image:
// only a client that is on the blocklist loses its lock to a rename. What is fenced has to be
// this one mapping, which is over.
func cutDead(ctx context.Context, storage Ceph, look Look) error {
	if !look.Record.Private || look.Record.Owner == nil {
		return nil
	}
	holder, err := storage.LockHolder(ctx, look.Image.ImageSpec)
	switch {
	case errors.Is(err, ceph.ErrLockPasses):
		return err // somebody uses it, and the proof that nobody does is out of date
	case errors.Is(err, ceph.ErrImageLocked):
		return nil // by hand: no mapping has the lock beside it, and nobody is admitted before a person unlocks it
	case err != nil || holder == nil:
		return err
	case holder.Answers || !slices.Contains(look.Record.Owner.Instances(), holder.Addr):
		return nil // whose it is, the next admission finds out
	}
	err = imagename.CutOff(ctx, storage, look.Image.ImageSpec, []string{holder.Addr})
	if errors.Is(err, ceph.ErrFenceShort) {
		return nil // Ceph has done so by itself
	}
	return err
}
