package guard

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/missing"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// tellLimit bounds what is asked for a refusal's text alone: it must not make the refusal late.
const tellLimit = 500 * time.Millisecond

// told is what another cluster's leader tells of an image that it owns.
type told struct {
	note ceph.Note
	// leader is when that leader last wrote its registration.
	leader time.Time
}

// tell adds to the refusals of volumes that another cluster owns what that cluster tells, for as
// many of them as anybody reads.
func (g *Guard) tell(ctx context.Context, sights []sight, answers []Answer) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	left := mostLines
	for i, s := range sights {
		if answers[i].Result != Denied || answers[i].Reason == OtherName || !isElsewhere(s.record, g.Self) || left == 0 {
			continue
		}
		left--
		answers[i].Message = g.refusal(s.volume, s.spec, s.foreign, s.record, g.told(ctx, s))
	}
}

func isElsewhere(record ceph.Record, self ceph.Party) bool {
	return record.State == ceph.Held && !ownership.Owns(record, self)
}

// told reads what the owner of an image tells. What cannot be read is left out: the refusal
// stands without it. Refusals share that look.
func (g *Guard) told(ctx context.Context, s sight) told {
	if !isElsewhere(s.record, g.Self) {
		return told{}
	}
	tells, err := g.tells.do(ctx, s.image.ID+" "+s.record.Token, func(ctx context.Context) (told, error) {
		note, err := s.ceph.Note(ctx, s.image)
		registered, registerErr := s.ceph.Registration(ctx, s.image.Pool, s.image.Namespace, s.record.Owner.UID)
		return told{note, registered.Written}, errors.Join(err, unlessUnregistered(registerErr))
	})
	if err != nil {
		return told{}
	}
	return tells
}

func unlessUnregistered(err error) error {
	if errors.Is(err, ceph.ErrRegistrationNotFound) || errors.Is(err, ceph.ErrRegistrationUnknown) {
		return nil
	}
	return err
}

// missing is what keeps the owner from releasing an image that this cluster waits for.
func (g *Guard) missing(record ceph.Record, tells told) []ceph.Missing {
	return missing.Of(missing.Facts{Self: g.Self, Record: record, Note: tells.note, Leader: tells.leader, Now: g.Now()})
}

// Missing returns what keeps another cluster from releasing the image of a volume, as far as it
// can be found out, for people.
func (g *Guard) Missing(ctx context.Context, volume volumes.Volume) []ceph.Missing {
	s := sight{volume: volume, spec: volume.Image.Spec("")}
	if _, err := g.ask(ctx, &s); err != nil {
		return nil
	}
	if !isElsewhere(s.record, g.Self) {
		return nil // the keeper finds what is missing in this cluster
	}
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	return g.missing(s.record, g.told(ctx, s))
}

// tellsOf are the lines of a refusal about what the owner tells.
//
//	pod there       shop/db-0 on node e1
//	missing         in cluster east, pod shop/db-0 was admitted and no node takes it, since …
//	way out         in east: …
func tellsOf(note ceph.Note, all []ceph.Missing) []string {
	var lines []string
	for _, pod := range note.Pods {
		lines = append(lines, "  pod there       "+pod.String())
	}
	for _, m := range all {
		lines = append(lines, "  missing         "+m.Clause(), "  way out         "+m.WayOut)
	}
	return lines
}

// isNeeded reports whether a workload of the owner may need the image, as far as is known: only
// then it is said to be scaled down. The note may be older than an admission, which leaves its
// pod in the record.
func isNeeded(note ceph.Note, record ceph.Record) bool {
	return !note.IsOf(record) || len(record.Pending)+len(record.Unbound) > 0 || slices.ContainsFunc(note.Pods, func(pod ceph.NotedPod) bool { return !pod.Ending })
}
