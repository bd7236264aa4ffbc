//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	// turnBeat is how often the owner of a turn writes its object.
	turnBeat = 200 * time.Millisecond
	// turnLimit is how long after the last beat a turn has no owner any more. Its
	// owner gives up in half that time.
	turnLimit = 2 * time.Second
)

// turn is the right to make or grow one subvolume, of which one client at a time
// has it.
//
// It is an object beside the subvolume's record, which its owner writes again and
// again. One that nobody wrote for turnLimit belonged to a client that died: the
// next one takes it over, by compare-and-swap. The OSDs could keep such locks
// themselves, and package goceph uses that for images, but the users that Rook
// makes for CephFS may not call methods of the OSDs.
//
// A turn lasts until the manager has answered, even when nobody waits for that
// any more: as long as a command may still be carried out, no other client looks
// at the subvolume and decides.
type turn struct {
	ioctx   *rados.IOContext
	object  string
	content []byte
	stop    chan struct{}
	stopped chan struct{}

	// version belongs to the goroutine that beats, and then to end.
	version uint64

	mu sync.Mutex
	// kept is when the last beat that succeeded was begun.
	kept time.Time
}

func turnObject(spec ceph.SubvolumeSpec) string { return "turn." + spec.Group + "/" + spec.Name }

// awaitTurn waits until no other client has the turn.
func (f filesystems) awaitTurn(ctx context.Context, pool string, spec ceph.SubvolumeSpec) (*turn, error) {
	ioctx, err := f.openMetadata(pool)
	if err != nil {
		return nil, err
	}
	t := &turn{
		ioctx:   ioctx,
		object:  turnObject(spec),
		content: []byte(rand.Text()),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if err := t.await(ctx); err != nil {
		ioctx.Destroy()
		return nil, err
	}
	go t.beat()
	return t, nil
}

func (t *turn) await(ctx context.Context) error {
	var other uint64 // the version of somebody else's turn
	var since time.Time
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("another client is making or growing it: %w", ended(ctx))
		}
		// Zero: there is no turn.
		var from uint64
		if other != 0 && time.Since(since) >= turnLimit {
			from = other
		}
		err := t.write(from)
		switch errno(err) {
		case success:
			return nil
		case eexist, erange, eoverflow: // somebody has it
		default:
			return translate(err, nil)
		}
		version, err := t.stat()
		if err != nil {
			return translate(err, nil)
		}
		if version != other {
			other, since = version, time.Now()
		}
		time.Sleep(turnPoll)
	}
}

// write writes the object if it is at that version, and makes it for zero.
func (t *turn) write(from uint64) error {
	begun := time.Now()
	op := rados.CreateWriteOp()
	defer op.Release()
	if from == 0 {
		op.Create(rados.CreateExclusive)
	} else {
		op.AssertVersion(from)
	}
	op.WriteFull(t.content)
	if err := op.Operate(t.ioctx, t.object, rados.OperationNoFlag); err != nil {
		return err
	}
	version, err := t.ioctx.GetLastVersion()
	if err != nil {
		return err
	}
	t.version = version
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = begun
	return nil
}

// stat returns the object's version, and zero when there is none.
func (t *turn) stat() (uint64, error) {
	_, err := t.ioctx.Stat(t.object)
	if errno(err) == enoent {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return t.ioctx.GetLastVersion()
}

// beat keeps the turn until stop. When it cannot, kept tells.
func (t *turn) beat() {
	defer close(t.stopped)
	ticker := time.NewTicker(turnBeat)
	defer ticker.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
			_ = t.write(t.version)
		}
	}
}

// change makes one change if the turn is still ours and somebody waits for it.
func (t *turn) change(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	t.mu.Lock()
	old := time.Since(t.kept)
	t.mu.Unlock()
	if old > turnLimit/2 {
		return fmt.Errorf("%w: the right to change it could not be kept", ceph.ErrUnreachable)
	}
	return f()
}

// end lets the next client have its turn.
func (t *turn) end() {
	close(t.stop)
	<-t.stopped
	op := rados.CreateWriteOp()
	defer op.Release()
	op.AssertVersion(t.version)
	op.Remove()
	// Without an answer the turn ends by itself.
	_ = op.Operate(t.ioctx, t.object, rados.OperationNoFlag)
	t.ioctx.Destroy()
}
