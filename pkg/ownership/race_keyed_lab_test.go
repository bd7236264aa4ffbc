//go:build lab && cgo

package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
)

const (
	// keyedRounds is how often clusters of one number race for each of keyedImages.
	keyedRounds = 6
	keyedImages = 4
)

// keyedRacer renames by a connection of its own.
type keyedRacer struct {
	racer
	self string
}

// Clusters admit pods for one keyed image at the same moment, while the one that had it last
// gives it its base name back: at most one of them may, it has the image under its own
// name and no other, and at the end each image has one name.
func TestClustersRaceForNamesOnCeph(t *testing.T) {
	var racers []keyedRacer
	for _, one := range dialRacers(t) {
		self, err := one.Self(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if key, err := one.ClaimKey(t.Context(), lab.Pool, "", one.party); err != nil || key != one.party.Name {
			t.Fatalf("key %q, %v", key, err)
		}
		racers = append(racers, keyedRacer{one, self})
	}
	for n := 2; n <= len(racers); n++ {
		t.Run(fmt.Sprint(n, " clusters"), func(t *testing.T) {
			var rounds, won atomic.Int64
			var group sync.WaitGroup
			for i := range keyedImages {
				spec := ceph.ImageSpec{Pool: lab.Pool, Name: fmt.Sprint("keyed-race-", n, "-", i)}
				made, err := racers[0].CreateImage(t.Context(), spec, ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock"}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := racers[0].PutRecord(t.Context(), made, ceph.Record{ClaimSize: 1 << 20, Keyed: true, Exclusive: true, Private: true}); err != nil {
					t.Fatal(err)
				}
				group.Go(func() {
					givingBack := make([]sync.WaitGroup, n)
					for round := 0; round < keyedRounds && !t.Failed(); round++ {
						rounds.Add(1)
						if keyedRace(t, made, racers[:n], round, givingBack) {
							won.Add(1)
						}
					}
					for i := range givingBack {
						givingBack[i].Wait()
					}
					if names := leading(t, racers[0], made); len(names) != 1 {
						t.Errorf("image %s has the names %q at the end", spec, names)
					}
				})
			}
			group.Wait()
			t.Logf("%d rounds, never two clusters; one of them in %d", rounds.Load(), won.Load())
			if won.Load() == 0 {
				t.Error("nobody ever got an image")
			}
		})
	}
}

// leading are all names that lead to the image.
func leading(t *testing.T, r keyedRacer, image ceph.Image) []string {
	t.Helper()
	all, err := imagename.All(t.Context(), r, image.ImageSpec)
	if err != nil {
		t.Error(err)
		return nil
	}
	names, err := r.ImageNames(t.Context(), image, all...)
	if err != nil {
		t.Error(err)
	}
	return names
}

// own is the image as the cluster's volume leads to it.
func (r keyedRacer) own(image ceph.Image) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: image.Pool, Name: image.Name, Key: r.party.Name}
}

func (r keyedRacer) request(round int) ownership.Request {
	return ownership.Request{Cluster: r.party, Namespace: "shop", Claim: "data", Pod: fmt.Sprint(round, "-", r.party.Name), Renamer: r.self, Now: time.Now()}
}

// keyedRace is one round. It reports whether somebody got the image, and has let it go again
// when it returns; but for the name, which its leader gives back while the others race on. It
// does not itself: its leader would give the name away that it has got anew, and find that
// out later.
func keyedRace(t *testing.T, made ceph.Image, racers []keyedRacer, round int, givingBack []sync.WaitGroup) bool {
	var mu sync.Mutex
	var winners []keyedRacer
	start := make(chan struct{})
	var group sync.WaitGroup
	for i, r := range racers {
		group.Go(func() {
			<-start
			givingBack[i].Wait()
			target := ownership.Target{
				Records: r, Request: r.request(round),
				Look: func(ctx context.Context) (ceph.Image, ceph.Record, error) {
					image, err := r.Image(ctx, r.own(made))
					if err != nil {
						return image, ceph.Record{}, err
					}
					record, err := ownership.Read(ctx, r, image)
					return image, record, err
				},
				Name: func(ctx context.Context, image ceph.Image, written ceph.Record) error {
					_, holder, err := imagename.Take(ctx, r, image, r.party, written.Renamers, r.self)
					if err == nil && holder != nil {
						err = holder
					}
					return err
				},
			}
			var err error
			if target.Image, target.Seen, err = target.Look(t.Context()); err == nil {
				_, _, err = ownership.AcquireAll(t.Context(), []ownership.Target{target})
			}
			switch {
			case err == nil:
				mu.Lock()
				winners = append(winners, r)
				mu.Unlock()
			case errors.Is(err, ownership.OwnedElsewhere):
			default:
				// Somebody is at the name: nothing is started, and the next round tries again.
				t.Logf("round %d of %s: %s: %v", round, made.Name, r.party.Name, err)
			}
		})
	}
	close(start)
	group.Wait()
	if len(winners) > 1 {
		t.Errorf("round %d of %s: %d of %d clusters were let in", round, made.Name, len(winners), len(racers))
		return false
	}
	if len(winners) == 1 {
		w := winners[0]
		if names, want := leading(t, w, made), w.own(made).Own(); !slices.Equal(names, []string{want}) {
			t.Errorf("round %d: %s was let in, and the names that lead to the image are %q; want %s alone", round, w.party.Name, names, want)
		}
	}
	record, err := ownership.Read(t.Context(), racers[0], made)
	if err != nil {
		t.Error(err)
		return false
	}
	if record.State != ceph.Held {
		return len(winners) == 1
	}
	i := slices.IndexFunc(racers, func(r keyedRacer) bool { return ownership.Owns(record, r.party) })
	if i < 0 || len(winners) == 1 && racers[i].party != winners[0].party {
		t.Errorf("round %d of %s: the record says %+v, and %d were let in", round, made.Name, record, len(winners))
		return false
	}
	owner := racers[i]
	if _, err := ownership.Change(t.Context(), owner, made, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.Release(stored, owner.party, "", time.Now())
	}); err != nil {
		t.Error(err)
		return false
	}
	givingBack[i].Go(func() {
		image, err := owner.Image(t.Context(), owner.own(made))
		if err == nil {
			err = imagename.GiveBack(t.Context(), owner, image)
		}
		if err != nil {
			t.Logf("%s gives %s back: %v", owner.party.Name, made.Name, err)
		}
	})
	return len(winners) == 1
}
