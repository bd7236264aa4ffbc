package idle

import (
	"bytes"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Ceph is the part of ceph.Cluster that this package uses.
type Ceph interface {
	ceph.Looker
	ceph.ImageReader
	ceph.WatcherLister
	ceph.RecordStore
	ceph.NoteStore
	ceph.Identified
	ceph.Registrar
	imagename.Ceph
}

// Prover looks at the images of one cluster.
type Prover struct {
	// Self is this cluster, as records name it.
	Self  ceph.Party
	Usage *usage.Gatherer
	Quiet *ownership.Quiet
	// Now is for the times in records, which people read, and for how long there was no
	// admission.
	Now func() time.Time
}

// Look is what was seen of an image, and what follows from it.
type Look struct {
	// Volume is the one that was asked about; of an orphan, for the claim that the record
	// names.
	Volume volumes.Volume
	Image  ceph.Image
	// Record is as it was read, Next what it should be.
	Record, Next ceph.Record
	Step         ownership.Step
	// Reason is why, for people.
	Reason   string
	Evidence usage.Evidence
	// Stray alone keeps the image from being released, unless it is nil.
	Stray *usage.Stray
	// Rest is after what time the admissions are quiet, if they stay the same.
	Rest time.Duration
}

// Look reads the record, gathers what this cluster does with the image, and decides. The
// sources are asked in their order until one of them leaves nothing to prove; so the last one
// has to be the API server.
func (p *Prover) Look(ctx context.Context, storage Ceph, volume volumes.Volume, spec ceph.ImageSpec, sources ...usage.Source) (Look, error) {
	look := Look{Volume: volume}
	begin := p.Now()
	// Its watchers are not the evidence: those are listed again, after pods and nodes.
	found, err := storage.Look(ctx, spec)
	if err != nil {
		return Look{}, err
	}
	look.Image, look.Record = found.Image, found.Record
	if volume.Orphan && look.Record.Owner != nil {
		look.Volume.Namespace, look.Volume.Claim = look.Record.Owner.Namespace, look.Record.Owner.Claim
	}
	quiet, rest := p.Quiet.Observe(volume.PV.Name, look.Image.ID, look.Record.Admissions, begin, p.Now())
	look.Rest = rest
	for _, source := range sources {
		if look.Evidence, err = p.Usage.Seen(ctx, source, storage, p.Self, look.Volume, spec, look.Record); err != nil {
			return Look{}, err
		}
		look.Evidence.Quiet = quiet
		p.decide(&look)
		if !p.toProve(look) {
			break
		}
	}
	return look, nil
}

// toProve reports whether the API server has to be asked: if it said the same as the cache,
// this cluster would release the image or take it, or something would leave the record.
func (p *Prover) toProve(look Look) bool {
	if look.Step == ownership.LetGo || look.Step == ownership.Adopt {
		return true
	}
	live := look
	live.Evidence.Cached = false
	p.decide(&live)
	return live.Step != look.Step || !bytes.Equal(live.Next.Encode(), look.Next.Encode())
}

// decide says what follows from the evidence.
func (p *Prover) decide(look *Look) {
	look.Next, look.Step, look.Reason = ownership.Keep(look.Record, p.request(look.Volume), look.Evidence.Seen)
	if look.Record.Revision == 0 && look.Image.Key != "" {
		// A record of ours would not say that it is keyed, and nothing else does.
		look.Next, look.Step, look.Reason = look.Record, ownership.Leave, "the volumeHandle has a key, and the image has no record"
		return
	}
	if strays := look.Evidence.Strays; look.Step == ownership.LetGo && len(strays) > 0 {
		look.Next, look.Step, look.Stray = look.Record, ownership.Leave, &strays[0]
		look.Reason = "a node may use it: " + look.Stray.What
	}
}

// Facts are those of a look for package missing, with the record as it is now.
func (p *Prover) Facts(look Look, record ceph.Record) missing.Facts {
	return missing.Facts{
		Self: p.Self, Claim: look.Volume.Namespace + "/" + look.Volume.Claim, Release: release(look), Record: record,
		Evidence: look.Evidence, Stray: look.Stray, Grace: p.Quiet.Grace, Now: p.Now(),
	}
}

// release is the command by which a person releases the image.
func release(look Look) string {
	if look.Volume.Orphan {
		return fmt.Sprintf("kubectl cephferry release --image %s --cluster-id %s", look.Image, look.Volume.Image.ClusterID)
	}
	return fmt.Sprintf("kubectl cephferry release %s/%s", look.Volume.Namespace, look.Volume.Claim)
}

// request is for what is adopted.
func (p *Prover) request(volume volumes.Volume) ownership.Request {
	capacity := volume.PV.Spec.Capacity[corev1.ResourceStorage]
	return ownership.Request{
		Cluster: p.Self, Namespace: volume.Namespace, Claim: volume.Claim,
		ClaimSize: uint64(max(0, capacity.Value())), Exclusive: staticpv.IsExclusive(volume.PV), Now: p.Now(),
	}
}
