//go:build lab && cgo

package ownership_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
)

const (
	// raceRounds is how often clusters of one number race for each of raceImages.
	raceRounds = 60
	raceImages = 8
)

// racer is a cluster, with a connection of its own.
type racer struct {
	ceph.Cluster
	party ceph.Party
}

// dialRacers are five clusters, on a Ceph of their own.
func dialRacers(t *testing.T) []racer {
	t.Helper()
	storage := labtest.RBD(t)
	var racers []racer
	for i := range 5 {
		connected, err := goceph.Dial(t.Context(), goceph.Config{ConfFile: storage.ConfFile})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := connected.Close(); err != nil {
				t.Error(err)
			}
		})
		racers = append(racers, racer{connected, ceph.Party{UID: fmt.Sprint("u-", i), Name: fmt.Sprint("cluster-", i)}})
	}
	return racers
}

// Clusters admit pods for one image at the same moment, on a real Ceph: exactly one
// of them may, every time. Beside it is counted how often the watchers alone would
// have let in more than one.
func TestClustersRaceOnCeph(t *testing.T) {
	racers := dialRacers(t)
	for n := 2; n <= len(racers); n++ {
		t.Run(fmt.Sprint(n, " clusters"), func(t *testing.T) {
			var byWatchers atomic.Int64
			var group sync.WaitGroup
			for i := range raceImages {
				image, err := racers[0].CreateImage(t.Context(), ceph.ImageSpec{Pool: lab.Pool, Name: fmt.Sprint("race-", n, "-", i)}, ceph.Layout{Size: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				group.Go(func() {
					for round := 0; round < raceRounds && !t.Failed(); round++ {
						if race(t, image, racers[:n], round) > 1 {
							byWatchers.Add(1)
						}
					}
				})
			}
			group.Wait()
			if byWatchers.Load() == 0 {
				t.Error("there was no race")
			}
			if !t.Failed() {
				t.Logf("%d rounds, never two clusters; by watchers alone there would have been two or more in %d", raceImages*raceRounds, byWatchers.Load())
			}
		})
	}
}

// race is one round. It returns how many clusters the watchers would have let in.
func race(t *testing.T, image ceph.Image, racers []racer, round int) int {
	var seenFree, admitted atomic.Int64
	var winner atomic.Pointer[racer]
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range racers {
		r := &racers[i]
		group.Go(func() {
			<-start
			target := ownership.Target{
				Records: r, Image: image,
				Request: ownership.Request{Cluster: r.party, Namespace: "shop", Claim: "data", Pod: fmt.Sprint(round, "-", i), Now: time.Now()},
				Look: func(ctx context.Context) (ceph.Image, ceph.Record, error) {
					record, err := ownership.Read(ctx, r, image)
					return image, record, err
				},
			}
			var err error
			if _, target.Seen, err = target.Look(t.Context()); err != nil {
				t.Error(err)
				return
			}
			watchers, err := r.Watchers(t.Context(), image.ImageSpec)
			if err != nil || len(watchers) != 0 {
				t.Errorf("watchers %v, %v", watchers, err)
				return
			}
			seenFree.Add(1)
			switch _, _, err := ownership.AcquireAll(t.Context(), []ownership.Target{target}); {
			case err == nil:
				admitted.Add(1)
				winner.Store(r)
			case !errors.Is(err, ownership.OwnedElsewhere):
				t.Error(err)
			}
		})
	}
	close(start)
	group.Wait()
	if admitted.Load() != 1 {
		t.Errorf("round %d of %s: %d of %d clusters were let in", round, image.Name, admitted.Load(), len(racers))
		return 0
	}
	// The winner's leader proves idleness while the winner admits one more pod: one of
	// the two writes first, and the image is never free with a pod let in.
	w := winner.Load()
	record, err := ownership.Read(t.Context(), w, image)
	if err != nil || !ownership.Owns(record, w.party) {
		t.Errorf("after round %d: %+v, %v", round, record, err)
		return 0
	}
	request := ownership.Request{Cluster: w.party, Namespace: "shop", Claim: "data", Pod: "late", Now: time.Now()}
	var released, late error
	group.Go(func() {
		next, _, _ := ownership.Keep(record, request, ownership.Seen{Quiet: true})
		_, released = w.PutRecord(t.Context(), image, next)
	})
	group.Go(func() {
		next, err := ownership.Acquire(record, request)
		if err == nil {
			_, err = w.PutRecord(t.Context(), image, next)
		}
		late = err
	})
	group.Wait()
	if (released == nil) == (late == nil) {
		t.Errorf("round %d: the release: %v, the late pod: %v; want one of them", round, released, late)
	}
	if _, err := ownership.Change(t.Context(), w, image, func(stored ceph.Record) (ceph.Record, error) {
		if stored.State == ceph.Free {
			return stored, nil
		}
		return ownership.Release(stored, w.party, "", time.Now())
	}); err != nil {
		t.Error(err)
	}
	return int(seenFree.Load())
}
