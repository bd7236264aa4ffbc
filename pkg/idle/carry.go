package idle

import (
	"context"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Carry writes the next record of a look. Before the image gets free, those that may be
// renaming it for this cluster are fenced: one that was only slow would give it a name of
// this cluster when it is another's. An error that is ceph.ErrRecordChanged says that
// somebody was faster.
func (p *Prover) Carry(ctx context.Context, storage Ceph, look Look) (ceph.Record, error) {
	if look.Step == ownership.LetGo {
		if err := imagename.CutOff(ctx, storage, look.Image.ImageSpec, look.Record.Renamers); err != nil {
			return ceph.Record{}, err
		}
	}
	return storage.PutRecord(ctx, look.Image, look.Next)
}
