package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// rig is a Ceph with images a, b and c, and one connection.
type rig struct {
	*testing.T
	ceph   *cephtest.Ceph
	client ceph.Cluster
}

func newRig(t *testing.T) *rig {
	t.Helper()
	pool := cephtest.Pool{Name: "pool"}
	for _, name := range []string{"a", "b", "c"} {
		pool.Images = append(pool.Images, cephtest.Image{Name: name, Layout: ceph.Layout{Size: 1 << 20}})
	}
	r := &rig{T: t, ceph: cephtest.New(pool)}
	var err error
	if r.client, err = r.ceph.Dial(t.Context(), cephtest.Provisioner); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) image(name string) ceph.Image {
	r.Helper()
	image, err := r.client.Image(r.Context(), ceph.ImageSpec{Pool: "pool", Name: name})
	if err != nil {
		r.Fatal(err)
	}
	return image
}

func (r *rig) record(name string) ceph.Record {
	r.Helper()
	record, err := ownership.Read(r.Context(), r.client, r.image(name))
	if err != nil {
		r.Fatal(err)
	}
	return record
}

// owner is the name of who owns the image, or empty.
func (r *rig) owner(name string) string {
	r.Helper()
	if owner := r.record(name).Owner; owner != nil {
		return owner.Name
	}
	return ""
}

// targets are images as somebody sees them who has looked just now.
func (r *rig) targets(by ceph.Party, pod string, names ...string) []ownership.Target {
	r.Helper()
	var all []ownership.Target
	for _, name := range names {
		target := ownership.Target{Records: r.client, Request: asks(by, pod), Look: func(ctx context.Context) (ceph.Image, ceph.Record, error) {
			image, err := r.client.Image(ctx, ceph.ImageSpec{Pool: "pool", Name: name})
			if err != nil {
				return ceph.Image{}, ceph.Record{}, err
			}
			record, err := ownership.Read(ctx, r.client, image)
			return image, record, err
		}}
		var err error
		if target.Image, target.Seen, err = target.Look(r.Context()); err != nil {
			r.Fatal(err)
		}
		all = append(all, target)
	}
	return all
}

// acquire is AcquireAll with what is seen now.
func (r *rig) acquire(by ceph.Party, pod string, names ...string) (acquired, failed int, err error) {
	r.Helper()
	return ownership.AcquireAll(r.Context(), r.targets(by, pod, names...))
}

func TestAcquireAll(t *testing.T) {
	r := newRig(t)
	acquired, _, err := r.acquire(east, "p", "c", "a")
	if err != nil || acquired != 2 || r.owner("a") != "east" || r.owner("c") != "east" {
		t.Fatalf("got %d, %v, owners %q and %q; want both for east", acquired, err, r.owner("a"), r.owner("c"))
	}
	// Again, as at a restart.
	acquired, _, err = r.acquire(east, "q", "a", "b")
	if err != nil || acquired != 1 || r.record("a").Admissions != 2 {
		t.Fatalf("got %d, %v, and %d admissions of a", acquired, err, r.record("a").Admissions)
	}
	same(t, []string{"p", "q"}, r.record("a").Pending)
}

// A pod that cannot have all its volumes leaves those alone that nobody had.
func TestAcquireAllOrNone(t *testing.T) {
	r := newRig(t)
	if _, _, err := r.acquire(east, "p", "c"); err != nil {
		t.Fatal(err)
	}
	_, failed, err := r.acquire(west, "q", "b", "c", "a")
	if !errors.Is(err, ownership.OwnedElsewhere) || failed != 1 {
		t.Fatalf("got target %d, %v; want 1, %v", failed, err, ownership.OwnedElsewhere)
	}
	for name, owner := range map[string]string{"a": "", "b": "", "c": "east"} {
		if got := r.owner(name); got != owner {
			t.Errorf("%s is owned by %q, want %q", name, got, owner)
		}
	}
	if got := r.record("a"); got.Epoch != 1 || got.Admissions != 1 || len(got.History) != 0 {
		t.Errorf("a was given back as %+v", got)
	}
}

// What it took and another pod of the cluster asked for meanwhile is not given back.
func TestUndoIsForItsOwnWriteOnly(t *testing.T) {
	r := newRig(t)
	targets := r.targets(west, "p", "a", "b")
	if _, _, err := r.acquire(east, "q", "b"); err != nil {
		t.Fatal(err)
	}
	look := targets[1].Look
	targets[1].Look = func(ctx context.Context) (ceph.Image, ceph.Record, error) {
		if _, _, err := r.acquire(west, "other", "a"); err != nil {
			t.Error(err)
		}
		return look(ctx)
	}
	if _, _, err := ownership.AcquireAll(t.Context(), targets); !errors.Is(err, ownership.OwnedElsewhere) {
		t.Fatal(err)
	}
	if r.owner("a") != "west" {
		t.Errorf("a is owned by %q, want west, where another pod was admitted", r.owner("a"))
	}
}

// What is not known is not retried and not guessed.
func TestAcquireAllFails(t *testing.T) {
	r := newRig(t)
	puts := 0
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && call.Image.Name == "b" {
			puts++
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	_, failed, err := r.acquire(west, "p", "a", "b", "c")
	if !errors.Is(err, ceph.ErrUnreachable) || failed != 1 || puts != 1 {
		t.Errorf("got target %d, %v after %d writes", failed, err, puts)
	}
	if r.owner("a") != "" || r.owner("c") != "" {
		t.Errorf("a and c are owned by %q and %q", r.owner("a"), r.owner("c"))
	}
}

// Giving back must not depend on time that is over.
func TestUndoAfterTheEndOfTheCaller(t *testing.T) {
	r := newRig(t)
	targets := r.targets(west, "p", "a", "b")
	ctx, cancel := context.WithCancel(t.Context())
	r.ceph.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && call.Image.Name == "b" {
			cancel()
			return ctx.Err()
		}
		return proceed()
	})
	if _, _, err := ownership.AcquireAll(ctx, targets); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r.owner("a") != "" {
		t.Errorf("a is still owned by %q", r.owner("a"))
	}
}

// It ends although somebody else is always faster.
func TestAttemptsAreBounded(t *testing.T) {
	r := newRig(t)
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" {
			return ceph.ErrRecordChanged
		}
		return proceed()
	})
	if _, _, err := r.acquire(west, "p", "a"); !errors.Is(err, ceph.ErrRecordChanged) {
		t.Errorf("acquire: %v", err)
	}
	_, err := ownership.Change(t.Context(), r.client, r.image("a"), func(stored ceph.Record) (ceph.Record, error) {
		return ownership.Acquire(stored, asks(west, "p"))
	})
	if !errors.Is(err, ceph.ErrRecordChanged) {
		t.Errorf("change: %v", err)
	}
}

func TestChange(t *testing.T) {
	r := newRig(t)
	image := r.image("a")
	for range 2 {
		record, err := ownership.Change(t.Context(), r.client, image, func(stored ceph.Record) (ceph.Record, error) {
			if stored.State != ceph.Free {
				return stored, nil
			}
			return ownership.Acquire(stored, asks(east, ""))
		})
		if err != nil || !ownership.Owns(record, east) {
			t.Fatalf("got %+v, %v", record, err)
		}
	}
	writes := 0
	for _, call := range r.ceph.Calls() {
		if call.Method == "PutRecord" {
			writes++
		}
	}
	if writes != 1 {
		t.Errorf("%d writes; what does not change is not written", writes)
	}
	_, err := ownership.Change(t.Context(), r.client, image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.Release(stored, west, "", now)
	})
	if !errors.Is(err, ownership.OwnedElsewhere) {
		t.Errorf("got %v", err)
	}
	r.ceph.WriteRecord(image, []byte(`{"version":9}`))
	if _, err := ownership.Read(t.Context(), r.client, image); !errors.Is(err, ceph.ErrRecordUnknown) {
		t.Errorf("a record of a later version: %v", err)
	}
}

// Two people at once: one wins, and the other is told.
func TestTwoPeopleFailOver(t *testing.T) {
	r := newRig(t)
	for round := range 200 {
		name := []string{"a", "b", "c"}[round%3]
		image := r.image(name)
		_, err := ownership.Change(t.Context(), r.client, image, func(ceph.Record) (ceph.Record, error) {
			record := held(east)
			record.Revision = r.record(name).Revision
			return record, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		third := ceph.Party{UID: "u-3", Name: "north"}
		var won atomic.Int32
		var group sync.WaitGroup
		for _, taker := range []ownership.Taker{takes(west, "ann"), takes(west, "bob"), takes(third, "cid")} {
			group.Go(func() {
				_, err := ownership.Change(t.Context(), r.client, image, func(stored ceph.Record) (ceph.Record, error) {
					return ownership.BeginFence(stored, taker)
				})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, ownership.BeingFenced):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of three people began a takeover", round, won.Load())
		}
	}
}

// Clusters race for one image, hold it for a moment and release it: there is never
// more than one that was let in. Some ask for another image beside it, in both
// orders.
func TestClustersRace(t *testing.T) {
	for clusters := 2; clusters <= 5; clusters++ {
		t.Run(fmt.Sprint(clusters, " clusters"), func(t *testing.T) {
			r := newRig(t)
			var inside, admitted atomic.Int32
			var group sync.WaitGroup
			for i := range clusters {
				self := ceph.Party{UID: fmt.Sprint("u-", i), Name: fmt.Sprint("cluster-", i)}
				names := [][]string{{"a"}, {"a", "b"}, {"b", "a"}}[i%3]
				group.Go(func() {
					for round := range 500 {
						_, _, err := r.acquire(self, fmt.Sprint("pod-", i, "-", round), names...)
						if errors.Is(err, ownership.OwnedElsewhere) || errors.Is(err, ceph.ErrRecordChanged) {
							continue
						}
						if err != nil {
							t.Error(err)
							return
						}
						if inside.Add(1) != 1 {
							t.Error("two clusters were let in")
						}
						admitted.Add(1)
						inside.Add(-1)
						for _, name := range names {
							if _, err := ownership.Change(t.Context(), r.client, r.image(name), func(stored ceph.Record) (ceph.Record, error) {
								next, _, _ := ownership.Keep(stored, ownership.Request{Cluster: self, Now: now}, ownership.Seen{Quiet: true})
								return next, nil
							}); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			group.Wait()
			if admitted.Load() == 0 {
				t.Error("nobody was ever let in")
			}
		})
	}
}
