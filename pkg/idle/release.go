package idle

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Person is who releases an image where no leader does.
type Person struct {
	// By is the name, for the record.
	By string
	// WithoutProof: the nodes that the record names, and that nothing proves to have let go,
	// are off.
	WithoutProof bool
}

// Refusal is why an image is not released. Nothing was changed.
type Refusal struct {
	What string
	// Do is the next step.
	Do string
}

func (r *Refusal) Error() string { return r.What + "\n  do this   " + r.Do }

// Release proves that nothing of this cluster uses the image, and swaps its record, until
// nobody was faster. It reports whether the image had an owner. When only the time since
// the last admission is missing, it calls wait with what is left of that. It returns a
// [*Refusal] when the image is used, an [*ownership.Refused] when it is not this
// cluster's, and the errors of wait, of the API server and of Ceph.
func (p *Prover) Release(ctx context.Context, storage Ceph, volume volumes.Volume, spec ceph.ImageSpec, person Person, wait func(context.Context, time.Duration) error) (bool, error) {
	for {
		look, err := p.Look(ctx, storage, volume, spec, p.Usage.Live())
		if err != nil {
			return false, err
		}
		if look.Record.State == ceph.Free {
			return false, nil
		}
		if person.WithoutProof {
			look.Evidence.WithoutProof = true
			p.decide(&look)
		}
		next, err := ownership.Release(look.Record, p.Self, person.By, p.Now())
		if err != nil {
			return false, err
		}
		if look.Step != ownership.LetGo {
			if err := p.mayWait(look); err != nil {
				return false, err
			}
			if err := wait(ctx, look.Rest); err != nil {
				return false, err
			}
			continue
		}
		look.Next = next
		_, err = p.Carry(ctx, storage, look)
		switch {
		case err == nil:
			// It matters to people only: the next owner renames it from any name.
			_ = imagename.GiveBack(ctx, storage, look.Image)
			return true, nil
		case !errors.Is(err, ceph.ErrRecordChanged):
			return false, err
		}
	}
}

// mayWait refuses unless everything else is proven.
func (p *Prover) mayWait(look Look) error {
	patient := look
	patient.Evidence.Quiet = true
	if p.decide(&patient); patient.Step == ownership.LetGo {
		return nil
	}
	// What stays when the time is over.
	reason, seen := look.Reason, look.Evidence
	var uses []string
	for _, use := range seen.Uses {
		uses = append(uses, use.What)
	}
	for _, stray := range seen.Strays {
		uses = append(uses, stray.What)
	}
	if len(seen.Uses) > 0 {
		reason += ": " + strings.Join(uses, ", ")
	}
	return &Refusal{"it is in use: " + reason, p.wayOut(look)}
}

// wayOut is what to do before the same command is run again. That a workload is to be scaled to
// zero is said only while it has a pod that nobody deletes.
func (p *Prover) wayOut(look Look) string {
	all := missing.Of(p.Facts(look, look.Record))
	switch {
	case len(all) == 0, all[0].Kind == missing.PodWithoutNode:
		return "scale the workload to zero, wait until its pods are gone, then run the same command again"
	case all[0].Kind == missing.NodeNotConfirmed:
		return all[0].WayOut
	}
	return all[0].WayOut + "; then run the same command again"
}
