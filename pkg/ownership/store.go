package ownership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// attempts bounds how often a record is decided about again because somebody else
// changed it meanwhile. Each loser of a race has one winner, who is done; but each
// replica of a webhook has its own queue of pods, and where those wait for one image, a
// pod may lose many times in a row.
const attempts = 40

// undoLimit bounds taking back what was acquired, when the caller's time is over.
const undoLimit = time.Second

// Change carries a transition out: it reads the record, and writes what transition
// makes of it unless that is the same, until nobody else was faster. An image without
// a record has the zero one. It returns the record as it is now, and the errors of
// transition and of the store.
func Change(ctx context.Context, records ceph.RecordStore, image ceph.Image, transition func(ceph.Record) (ceph.Record, error)) (ceph.Record, error) {
	return change(ctx, records, image, transition, equal)
}

// Rewrite is Change that writes what is the same, too: whoever still goes by the record as
// it was finds that somebody came in between.
func Rewrite(ctx context.Context, records ceph.RecordStore, image ceph.Image, transition func(ceph.Record) (ceph.Record, error)) (ceph.Record, error) {
	return change(ctx, records, image, transition, func(_, _ ceph.Record) bool { return false })
}

func change(ctx context.Context, records ceph.RecordStore, image ceph.Image, transition func(ceph.Record) (ceph.Record, error), done func(next, stored ceph.Record) bool) (ceph.Record, error) {
	for attempt := 1; ; attempt++ {
		stored, err := Read(ctx, records, image)
		if err != nil {
			return ceph.Record{}, err
		}
		next, err := transition(stored)
		if err != nil {
			return ceph.Record{}, err
		}
		if done(next, stored) {
			return stored, nil
		}
		written, err := records.PutRecord(ctx, image, next)
		if attempt == attempts || !errors.Is(err, ceph.ErrRecordChanged) {
			return written, err
		}
	}
}

// Read is the image's record, the zero one if there is none.
func Read(ctx context.Context, records ceph.RecordStore, image ceph.Image) (ceph.Record, error) {
	record, err := records.Record(ctx, image)
	if errors.Is(err, ceph.ErrRecordNotFound) {
		return ceph.Record{}, nil
	}
	return record, err
}

// equal is about what is stored.
func equal(a, b ceph.Record) bool { return bytes.Equal(a.Encode(), b.Encode()) }

// Target is one image that a pod needs.
type Target struct {
	Records ceph.RecordStore
	Request Request
	// Look reads the record and then looks at the watchers; with a foreign one, or
	// when something is not known, it returns an error.
	Look func(ctx context.Context) (ceph.Image, ceph.Record, error)
	// Turn, if there is one, makes callers in this process take turns, so that many
	// pods on one image do not overtake each other. It returns when this one may go
	// on, and how it ends, or the error of ctx.
	Turn func(ctx context.Context) (end func(), err error)
	// Name gives a keyed image the cluster's name, once the record says that it is the
	// cluster's, and then looks again who has it open. It returns an error as Look does;
	// one of [MayGoOn] says that the image may be renamed yet.
	Name func(ctx context.Context, image ceph.Image, written ceph.Record) error
	// Image and Seen are what Look returned the last time.
	Image ceph.Image
	Seen  ceph.Record
}

// namers is how many images get their names at a time. Giving one its name takes some
// fifty milliseconds, nearly all of which is waiting.
const namers = 8

// AcquireAll acquires every target or none. The records come first, in one order for all
// clusters, so that of two that want the same images one is refused at the first; then keyed
// images get the cluster's name, several at a time. What it took from free before it was
// refused it gives back, unless the image was asked for again meanwhile, or may be renamed
// yet: then the cluster's leader goes on. It returns how many were free, or which target
// failed, and why.
func AcquireAll(ctx context.Context, targets []Target) (acquired, failed int, err error) {
	order := make([]int, len(targets))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return strings.Compare(targets[a].Image.String(), targets[b].Image.String())
	})
	var all []*taken
	for _, i := range order {
		t := &taken{target: &targets[i], index: i, mine: true}
		if t.before, t.written, err = t.target.acquire(ctx); err != nil {
			giveBack(ctx, all)
			return 0, i, err
		}
		all = append(all, t)
	}
	var group errgroup.Group
	group.SetLimit(namers)
	for _, t := range all {
		if Unnamed(t.written) {
			group.Go(func() error {
				t.written, t.mine, t.err = t.target.name(ctx, t.before, t.written)
				return nil
			})
		}
	}
	_ = group.Wait() // each keeps its own error
	for _, t := range all {
		if t.err != nil {
			giveBack(ctx, all)
			return 0, t.index, t.err
		}
		if t.before.State == ceph.Free {
			acquired++
		}
	}
	return acquired, 0, nil
}

// taken is a target whose record says that it is the cluster's.
type taken struct {
	target          *Target
	index           int
	before, written ceph.Record
	// mine: nobody has changed the record since, and nobody may be renaming the image.
	mine bool
	err  error
}

// giveBack gives back what was free.
func giveBack(ctx context.Context, all []*taken) {
	for _, t := range slices.Backward(all) {
		if t.before.State == ceph.Free && t.mine {
			t.target.undo(ctx, t.before, t.written)
		}
	}
}

// acquire returns the record before and after.
func (t *Target) acquire(ctx context.Context) (before, written ceph.Record, err error) {
	if t.Turn != nil {
		end, err := t.Turn(ctx)
		if err != nil {
			return ceph.Record{}, ceph.Record{}, fmt.Errorf("wait for other pods on the image: %w", err)
		}
		defer end()
	}
	for attempt := 1; ; attempt++ {
		next, err := Acquire(t.Seen, t.Request)
		if err != nil {
			return ceph.Record{}, ceph.Record{}, err
		}
		written, err := t.Records.PutRecord(ctx, t.Image, next)
		if err == nil {
			return t.Seen, written, nil
		}
		if attempt == attempts || !errors.Is(err, ceph.ErrRecordChanged) {
			return ceph.Record{}, ceph.Record{}, fmt.Errorf("acquire: %w", err)
		}
		if t.Image, t.Seen, err = t.Look(ctx); err != nil {
			return ceph.Record{}, ceph.Record{}, err
		}
	}
}

// name gives the image the cluster's name. It returns the record as it is then, and whether
// nobody else has changed that since it was written, so that it may be taken back. It may
// not while the image may be renamed yet.
func (t *Target) name(ctx context.Context, before, written ceph.Record) (ceph.Record, bool, error) {
	if err := t.Name(ctx, t.Image, written); err != nil {
		return written, !MayGoOn(err), err
	}
	renamer := t.Request.Renamer
	if slices.Contains(before.Renamers, renamer) {
		renamer = "" // it began before, and may be at that yet
	}
	next, err := FinishName(written, written, renamer)
	if err != nil {
		return written, false, err
	}
	named, err := t.Records.PutRecord(ctx, t.Image, next)
	if err == nil {
		return named, true, nil
	}
	if !errors.Is(err, ceph.ErrRecordChanged) {
		return written, false, fmt.Errorf("note the name: %w", err)
	}
	named, err = Change(ctx, t.Records, t.Image, func(stored ceph.Record) (ceph.Record, error) {
		done := renamer
		if joined(stored, written) {
			done = ""
		}
		return FinishName(stored, written, done)
	})
	return named, false, err
}

// joined reports whether another pod of this process may be giving the image its name, too,
// since the record was written: its admission has brought no further client.
func joined(stored, written ceph.Record) bool {
	others := 0
	for _, renamer := range stored.Renamers {
		if !slices.Contains(written.Renamers, renamer) {
			others++
		}
	}
	return stored.Admissions > written.Admissions+uint64(others)
}

// undo gives one image back. When that fails, the image stays with this cluster,
// which releases it when it is proven idle.
func (t *Target) undo(ctx context.Context, before, written ceph.Record) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	_, _ = t.Records.PutRecord(ctx, t.Image, Undo(written, before))
}

// MayGoOn reports whether what the error is about may have been done, or may be done yet.
func MayGoOn(err error) bool {
	return errors.Is(err, ceph.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
