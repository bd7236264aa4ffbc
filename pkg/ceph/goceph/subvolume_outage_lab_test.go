//go:build lab && cgo

package goceph

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/test/lab"
)

// subvolumeSpec is a subvolume in the file system that every lab has.
func subvolumeSpec(name string) ceph.SubvolumeSpec {
	return ceph.SubvolumeSpec{Filesystem: lab.Filesystem, Group: "csi", Name: name}
}

func TestSubvolumeOutages(t *testing.T) {
	t.Parallel()
	h := startSubvolumeHarness(t)
	t.Run("the manager answers late", h.managerAnswersLate)
	t.Run("a server stops", h.serverStops)
	t.Run("the turn of a dead client", h.turnOfADeadClient)
	t.Run("a turn that was taken over", h.turnThatWasTakenOver)
}

// Answers that come after everybody has stopped waiting must find nobody's stack.
func (h *harness) managerAnswersLate(t *testing.T) {
	cluster := h.connect(t)
	spec := subvolumeSpec("late")
	_, err := cluster.CreateSubvolume(t.Context(), spec, ceph.SubvolumeLayout{Size: 1 << 20})
	must(t, err)
	manager, err := cluster.manager.connect(t.Context())
	must(t, err)
	for range 3 {
		must(t, h.Manager.Freeze())
		const callers = 20
		errs := make(chan error)
		for range callers {
			go func() {
				_, err := cluster.Subvolume(t.Context(), spec)
				errs <- err
			}()
		}
		for range callers {
			if err := <-errs; !errors.Is(err, ceph.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; want only %v", err, ceph.ErrUnreachable)
			}
		}
		if _, abandoned := manager.calls.counts(); abandoned != callers {
			t.Errorf("%d calls are abandoned; want %d", abandoned, callers)
		}
		must(t, h.Manager.Thaw())
		awaitCounts(t, manager.calls, 0, 0)
		_, err := cluster.Subvolume(t.Context(), spec)
		must(t, err)
	}

	// What goes on without its caller changes nothing any more.
	must(t, h.Manager.Freeze())
	other := subvolumeSpec("late-too")
	for _, change := range []func(context.Context) error{
		func(ctx context.Context) error { return cluster.GrowSubvolume(ctx, spec, 9<<20) },
		func(ctx context.Context) error {
			_, err := cluster.CreateSubvolume(ctx, other, ceph.SubvolumeLayout{Size: 1 << 20})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := change(ctx); !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("got %v; want %v", err, ceph.ErrUnreachable)
		}
		cancel()
	}
	must(t, h.Manager.Thaw())
	awaitCounts(t, manager.calls, 0, 0)
	found, err := cluster.Subvolume(t.Context(), spec)
	must(t, err)
	if found.Size != 1<<20 {
		t.Errorf("size is %d", found.Size)
	}
	if _, err := cluster.Subvolume(t.Context(), other); !errors.Is(err, ceph.ErrSubvolumeNotFound) {
		t.Errorf("got %v; want %v", err, ceph.ErrSubvolumeNotFound)
	}
}

// Whichever server stops, nobody waits for longer than the bound, and everything
// goes on afterwards.
func (h *harness) serverStops(t *testing.T) {
	for name, server := range map[string]*lab.Process{"monitor": h.Mon, "OSD": h.OSD, "manager": h.Manager, "metadata server": h.MDS} {
		t.Run(name, func(t *testing.T) {
			fresh, used := h.connect(t), h.connect(t)
			_, err := used.CreateSubvolume(t.Context(), subvolumeSpec(server.Name), ceph.SubvolumeLayout{Size: 1 << 20})
			must(t, err)
			must(t, server.Freeze())
			// One of each size, so that none has nothing to do.
			calls := []func(context.Context, *connection, int) error{
				func(ctx context.Context, c *connection, _ int) error {
					_, err := c.Subvolume(ctx, subvolumeSpec(server.Name))
					return err
				},
				func(ctx context.Context, c *connection, i int) error {
					_, err := c.CreateSubvolume(ctx, subvolumeSpec(fmt.Sprintf("%s-%d", server.Name, i)), ceph.SubvolumeLayout{Size: 1 << 20})
					return err
				},
				func(ctx context.Context, c *connection, i int) error {
					return c.GrowSubvolume(ctx, subvolumeSpec(server.Name), uint64(i+2)<<20)
				},
			}
			type outcome struct {
				err  error
				took time.Duration
			}
			outcomes := make(chan outcome)
			waiting := 0
			for i, c := range []*connection{fresh, used} {
				for _, do := range calls {
					waiting++
					go func() {
						start := time.Now()
						err := do(t.Context(), c, i)
						outcomes <- outcome{err, time.Since(start)}
					}()
				}
			}
			failed := 0
			for range waiting {
				o := <-outcomes
				if o.took > h.Bound() {
					t.Errorf("a call took %v; want at most %v", o.took, h.Bound())
				}
				switch {
				case o.err == nil, errors.Is(o.err, ceph.ErrSubvolumeShrinks):
				case errors.Is(o.err, ceph.ErrUnreachable):
					failed++
				default:
					t.Errorf("got %v; want %v", o.err, ceph.ErrUnreachable)
				}
			}
			if failed == 0 {
				t.Error("every call succeeded")
			}
			must(t, server.Thaw())
			deadline := time.Now().Add(10 * h.Bound())
			for {
				err := used.GrowSubvolume(t.Context(), subvolumeSpec(server.Name), 9<<20)
				if err == nil {
					break
				}
				if !errors.Is(err, ceph.ErrUnreachable) || time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			found, err := used.Subvolume(t.Context(), subvolumeSpec(server.Name))
			must(t, err)
			if found.Size != 9<<20 {
				t.Errorf("size is %d", found.Size)
			}
		})
	}
}

// A creator that died leaves its turn, and a subvolume without a quota.
func (h *harness) turnOfADeadClient(t *testing.T) {
	spec := subvolumeSpec("orphan")
	must(t, h.files().CreateSubVolumeGroup(spec.Filesystem, spec.Group, nil))
	must(t, h.files().CreateSubVolume(spec.Filesystem, spec.Group, spec.Name, nil))
	ioctx := h.ioctx(t, ceph.ImageSpec{Pool: lab.MetadataPool, Namespace: ceph.SubvolumeNamespace})
	must(t, ioctx.WriteFull(turnObject(spec), []byte("dead")))
	cluster := h.connect(t)
	must(t, cluster.GrowSubvolume(t.Context(), spec, 5<<20))
	found, err := cluster.Subvolume(t.Context(), spec)
	must(t, err)
	if found.Size != 5<<20 {
		t.Errorf("size is %d", found.Size)
	}
	if _, err := ioctx.Stat(turnObject(spec)); errno(err) != enoent {
		t.Errorf("the turn is still there: %v", err)
	}
}

// A client that was stopped while it had the turn, and goes on when another one
// has it, changes nothing.
func (h *harness) turnThatWasTakenOver(t *testing.T) {
	config := h.config(cephtest.Provisioner)
	in := func() filesystems {
		m, err := newManager(config).connect(t.Context())
		must(t, err)
		t.Cleanup(func() { must(t, m.Close()) })
		return filesystems{connection: m}
	}
	stopped, err := in().awaitTurn(t.Context(), lab.MetadataPool, subvolumeSpec("taken"))
	must(t, err)
	// Without beats, as if the process stood still.
	close(stopped.stop)
	<-stopped.stopped
	next, err := in().awaitTurn(t.Context(), lab.MetadataPool, subvolumeSpec("taken"))
	must(t, err)
	stopped.stop = make(chan struct{})
	if err := stopped.change(t.Context(), func() error { t.Error("a change was made"); return nil }); !errors.Is(err, ceph.ErrUnreachable) {
		t.Errorf("got %v; want %v", err, ceph.ErrUnreachable)
	}
	stopped.end() // and takes nothing away from the next
	changed := false
	must(t, next.change(t.Context(), func() error { changed = true; return nil }))
	if !changed {
		t.Error("the owner of the turn could not change anything")
	}
	next.end()
}
