package failover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// ErrNotBegun is for an image whose failover did not begin because that of another one with
// it was refused. Nothing was changed.
var ErrNotBegun = errors.New("not begun, because another volume was refused")

// undoLimit bounds giving back what was begun.
const undoLimit = 20 * time.Second

// TakeAll carries out plans for images of one Ceph with one fence, and tells did after each
// step of each, one at a time. Where it broke off, it goes on when it is called again with
// plans of the situation then. The errors are those of the plans, in their order: a
// [*Refusal] when the situation is not the one that was decided about, [ErrNotBegun], and
// those of Ceph.
//
// Until the fence it is all or nothing: when one cannot begin, the records of the others are
// put back as they were. After that, one that breaks off keeps no other from being taken.
func TakeAll(ctx context.Context, storage Ceph, plans []Plan, exempt []netip.Prefix, did func(int, Step)) []error {
	b := &batch{storage: storage, failed: make([]error, len(plans)), did: did}
	entries := newLatest(func() ([]ceph.BlocklistEntry, error) { return storage.Blocklisted(ctx) })
	for i, plan := range plans {
		if !plan.Done {
			b.todo = append(b.todo, i)
		}
		b.all = append(b.all, &takeover{Plan: plan, storage: storage, exempt: exempt, fence: plan.Fence, entries: entries})
	}
	if len(b.todo) == 0 {
		return b.failed
	}
	if b.begin(ctx) && b.cutOff(ctx) {
		b.each(func(i int) error { return b.all[i].finish(ctx, func(step Step) { b.tell(i, step) }) })
	}
	return b.failed
}

// batch is several plans that are carried out together.
type batch struct {
	storage Ceph
	all     []*takeover
	// todo are those with something to do.
	todo   []int
	failed []error
	mu     sync.Mutex
	did    func(int, Step)
}

func (b *batch) tell(i int, step Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.did(i, step)
}

// each does something for all that is to be done, and reports whether none failed.
func (b *batch) each(do func(i int) error) bool {
	return b.some(b.todo, do)
}

func (b *batch) some(of []int, do func(i int) error) bool {
	each(len(of), func(n int) { b.failed[of[n]] = do(of[n]) })
	return !slices.ContainsFunc(of, func(i int) bool { return b.failed[i] != nil })
}

// begin writes into all records that the images are being taken, or into none. The first one
// by name goes before the others: of two people who take the same images, one gets it.
func (b *batch) begin(ctx context.Context) bool {
	found := b.each(func(i int) (err error) {
		b.all[i].image, err = b.storage.Image(ctx, b.all[i].Image)
		return err
	})
	if !found || !b.claimKeys(ctx) {
		b.undo(ctx, nil)
		return false
	}
	order := slices.SortedFunc(slices.Values(b.todo), func(i, j int) int { return cmp.Compare(b.all[i].Image.String(), b.all[j].Image.String()) })
	begin := func(i int) error { return b.all[i].begin(ctx) }
	if !b.some(order[:1], begin) {
		b.undo(ctx, nil)
		return false
	}
	if !b.some(order[1:], begin) {
		b.undo(ctx, order)
		return false
	}
	for _, i := range b.todo {
		if !b.all[i].Ours {
			b.tell(i, Begun)
		}
	}
	return true
}

// undo puts the records of those back that were begun, and says of all others that have no
// error that they were not. Nobody was fenced yet, and nothing renamed.
func (b *batch) undo(ctx context.Context, begun []int) {
	// Also after Ctrl-C.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	begun = slices.DeleteFunc(slices.Clone(begun), func(i int) bool { return b.failed[i] != nil })
	b.some(begun, func(i int) error { return b.all[i].undo(ctx) })
	for _, i := range b.todo {
		if b.failed[i] == nil {
			b.failed[i] = ErrNotBegun
		}
	}
}

// undo puts the record back, if it still is the one that this takeover has written. That one let
// nobody start anything, so for everybody else it is as if it had never been there.
func (t *takeover) undo(ctx context.Context) error {
	before := t.before
	before.Revision = t.begun.Revision
	if _, err := t.storage.PutRecord(ctx, t.image, before); err != nil {
		return fmt.Errorf("its record says that it is being taken, and nobody was fenced; run the same command again, or give it up with --direct and --drop: %w", err)
	}
	return nil
}

// claimKeys makes the key in the volumes' names this cluster's, if it is not yet.
func (b *batch) claimKeys(ctx context.Context) bool {
	type claimed struct {
		key string
		err error
	}
	known := map[Space]claimed{}
	ok := true
	for _, i := range b.todo {
		t := b.all[i]
		if !t.named() {
			continue
		}
		space := Space{t.Image.Pool, t.Image.Namespace}
		c, asked := known[space]
		if !asked {
			c.key, c.err = b.storage.ClaimKey(ctx, space.Pool, space.Namespace, t.Wish.Cluster)
			known[space] = c
		}
		b.failed[i] = c.err
		if c.err == nil && c.key != t.Image.Key {
			b.failed[i] = refuse("run the same command again", "image %s: the key of this cluster has changed to %q in the meantime", t.Image, c.key)
		}
		ok = ok && b.failed[i] == nil
	}
	return ok
}

// cutOff puts everybody on the blocklist whom one of the plans fences: the machines of all of
// them before any instance, because an entry of an instance can be renewed only while its
// machine is on it.
func (b *batch) cutOff(ctx context.Context) bool {
	for _, part := range []struct {
		of   func(Fence) []string
		done Step
	}{
		{func(f Fence) []string { return f.Machines }, Machines},
		{func(f Fence) []string { return f.Instances }, Instances},
	} {
		var addrs []string
		for _, i := range b.todo {
			addrs = append(addrs, part.of(b.all[i].Fence)...)
		}
		if len(addrs) == 0 {
			continue
		}
		if err := b.storage.Blocklist(ctx, unique(addrs), ceph.MaxFence); err != nil {
			for _, i := range b.todo {
				b.failed[i] = err
			}
			return false
		}
		for _, i := range b.todo {
			if len(part.of(b.all[i].Fence)) > 0 {
				b.tell(i, part.done)
			}
		}
	}
	return true
}

// finish is what comes after the fence.
func (t *takeover) finish(ctx context.Context, did func(Step)) error {
	if err := t.storage.Barrier(ctx, t.Image); err != nil {
		return err
	}
	did(InForce)
	if t.Wish.Lost != "" {
		return t.finishLost(ctx, did)
	}
	if t.named() {
		if err := t.rename(ctx); err != nil {
			return err
		}
		did(Renamed)
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	did(NobodyLeft)
	if t.Ours {
		return nil
	}
	_, err := ownership.Change(ctx, t.storage, t.image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.FinishFence(stored, t.begun, t.Wish.Taker, t.Wish.Namespace, t.Wish.Claim, t.fence.all())
	})
	if err != nil {
		return refused(err, t.Plan)
	}
	did(TakenOver)
	return nil
}

// latest reads something for several who ask at once: each gets what was read after it asked.
type latest[T any] struct {
	read func() (T, error)
	// turn has one place, for who reads.
	turn chan struct{}
	mu   sync.Mutex
	next *reading[T]
}

func newLatest[T any](read func() (T, error)) *latest[T] {
	return &latest[T]{read: read, turn: make(chan struct{}, 1)}
}

// reading is a read that has not begun, until somebody has his turn.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func (l *latest[T]) get() (T, error) {
	l.mu.Lock()
	r := l.next
	first := r == nil
	if first {
		r = &reading[T]{done: make(chan struct{})}
		l.next = r
	}
	l.mu.Unlock()
	if first {
		l.turn <- struct{}{}
		l.mu.Lock()
		l.next = nil // who asks from now on waits for another read
		l.mu.Unlock()
		r.value, r.err = l.read()
		<-l.turn
		close(r.done)
	}
	<-r.done
	return r.value, r.err
}
