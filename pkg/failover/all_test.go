package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// fleet is a Ceph with several images of east, which are keyed or not by turns, and mapped on
// e1 and e2 by turns.
type fleet struct {
	process
	// specs are how west's volumes lead to them.
	specs   []ceph.ImageSpec
	clients []string
	writers []*cephtest.Writer
}

func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	var images []cephtest.Image
	for i := range n {
		images = append(images, cephtest.Image{Name: fmt.Sprint("shop.data-", i), Layout: ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock", "layering"}}, ClaimSize: 1 << 20})
	}
	f := &fleet{process: process{T: t, ceph: cephtest.New(cephtest.Pool{Name: "rbd", Images: images})}}
	f.dial()
	if _, err := f.storage.ClaimKey(t.Context(), "rbd", "", east); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		node := []ceph.Node{e1, e2}[i/2%2]
		spec := ceph.ImageSpec{Pool: "rbd", Name: images[i].Name}
		client := fmt.Sprintf("%s:0/%d", node.Addresses[0], 100+i)
		record := held(east, []ceph.Node{node}, client)
		opened := spec
		if i%2 == 0 {
			opened.Name = ceph.JoinName(spec.Name, "east")
			f.ceph.RenameImage(spec, opened.Name)
			spec.Key = "west"
			record = keyed(record)
		}
		writer, err := f.ceph.OpenImage(opened, ceph.Watcher{Addr: client, Client: fmt.Sprint("client.", 100+i), Cookie: 1})
		if err != nil {
			t.Fatal(err)
		}
		f.specs, f.clients, f.writers = append(f.specs, spec), append(f.clients, client), append(f.writers, writer)
		f.put(i, record)
	}
	return f
}

func (f *fleet) image(i int) ceph.Image {
	f.Helper()
	return f.imageOf(f.specs[i])
}

func (f *fleet) put(i int, record ceph.Record) {
	f.Helper()
	f.process.put(f.specs[i], record)
}

func (f *fleet) record(i int) ceph.Record {
	f.Helper()
	return f.recordOf(f.specs[i])
}

func (f *fleet) records() []ceph.Record {
	f.Helper()
	var all []ceph.Record
	for i := range f.specs {
		all = append(all, f.record(i))
	}
	return all
}

// plans are what the command decides about all of them.
func (f *fleet) plans() ([]Plan, error) {
	seen, err := See(f.Context(), f.storage, f.specs, spaces)
	if err != nil {
		return nil, err
	}
	plans := make([]Plan, len(seen))
	for i, s := range seen {
		if s.Err != nil {
			return nil, s.Err
		}
		w := wish()
		w.Claim = fmt.Sprint("data-", i)
		if plans[i], err = Decide(s.Situation, w); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

// failover is what the command does.
func (f *fleet) failover(did func(int, Step)) []error {
	plans, err := f.plans()
	if err != nil {
		return []error{err}
	}
	if did == nil {
		did = func(int, Step) {}
	}
	return TakeAll(f.Context(), f.storage, plans, nil, did)
}

// safe checks what has to hold at any time: what the record says to be west's, east cannot
// write.
func (f *fleet) safe() {
	f.Helper()
	for i := range f.specs {
		if record := f.record(i); record.Owner.UID != west.UID {
			continue
		}
		if err := f.writers[i].Write("after the hand-over"); !errors.Is(err, ceph.ErrBlocklisted) {
			f.Errorf("west owns %s, and east wrote: %v", f.specs[i], err)
		}
	}
}

// wests checks what the failover leaves behind.
func (f *fleet) wests() {
	f.Helper()
	for i, record := range f.records() {
		if record.State != ceph.Held || record.Owner.Party != west || record.Owner.Claim != fmt.Sprint("data-", i) || record.Epoch != 2 {
			f.Errorf("the record of %s says %s, %+v, epoch %d", f.specs[i], record.State, record.Owner, record.Epoch)
		}
		if last := record.History[len(record.History)-1]; !slices.Contains(last.Fenced, f.clients[i]) || slices.Contains(last.Fenced, f.clients[(i+1)%len(f.clients)]) {
			f.Errorf("the history of %s has not its own client: %v", f.specs[i], last.Fenced)
		}
		if named := f.image(i).Named; named != f.specs[i].Own() {
			f.Errorf("image %s has the name %s", f.specs[i], named)
		}
	}
	f.safe()
}

func failed(errs []error) error { return errors.Join(errs...) }

func TestTakeAll(t *testing.T) {
	t.Run("", timeless(func(t *testing.T) {
		f := newFleet(t, 6)
		steps := map[int][]Step{}
		f.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
			if call.Method == "RenameImage" {
				for i, record := range f.meanwhile() {
					if record.State == ceph.Held && record.Owner.UID == east.UID {
						t.Errorf("an image is renamed, and the record of %s does not say yet that it is taken", f.specs[i])
					}
				}
			}
			return proceed()
		})
		if err := failed(f.failover(func(i int, s Step) { steps[i] = append(steps[i], s) })); err != nil {
			t.Fatal(err)
		}
		f.ceph.Intercept(nil)
		for i := range f.specs {
			want := []Step{Begun, Machines, Instances, InForce, NobodyLeft, TakenOver}
			if i%2 == 0 {
				want = []Step{Begun, Instances, InForce, Renamed, NobodyLeft, TakenOver}
			}
			if !slices.Equal(steps[i], want) {
				t.Errorf("image %d: steps %q", i, steps[i])
			}
		}
		f.wests()
		if err := failed(f.failover(func(i int, s Step) { t.Errorf("again: image %d: %s", i, s) })); err != nil {
			t.Errorf("again: %v", err)
		}
	}))
}

// meanwhile are the records, for interceptors.
func (f *fleet) meanwhile() []ceph.Record {
	f.ceph.Intercept(nil)
	return f.records()
}

// However many images there are, Ceph is surveyed once and the fence is made once, and what
// each image costs does not depend on the others.
func TestCallsForManyImages(t *testing.T) {
	count := func(n int) map[string]int {
		calls := map[string]int{}
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, n)
			before := len(f.ceph.Calls())
			if err := failed(f.failover(nil)); err != nil {
				t.Fatal(err)
			}
			for _, call := range f.ceph.Calls()[before:] {
				calls[call.Method]++
			}
		})
		return calls
	}
	few, many := count(4), count(40)
	for method, n := range many {
		switch method {
		case "Records", "Registrations", "Daemons", "Self", "ClaimKey", "Blocklist":
			if n != few[method] {
				t.Errorf("%s is called %d times for 4 images, and %d times for 40", method, few[method], n)
			}
		case "Blocklisted":
			if n > 40+1 { // at most once for each image, and for the survey
				t.Errorf("%s is called %d times", method, n)
			}
		default:
			if n > 10*few[method]+5 {
				t.Errorf("%s is called %d times for 4 images, and %d times for 40", method, few[method], n)
			}
		}
	}
}

// The process dies at each of its calls: before Ceph has carried it out, or after, with the
// answer lost. The same command, run again as another process, ends right.
func TestSeveralKilledAnywhereAndRunAgain(t *testing.T) {
	died := errors.New("the process was killed")
	calls := 0
	synctest.Test(t, func(t *testing.T) {
		whole := newFleet(t, 4)
		before := len(whole.ceph.Calls())
		if err := failed(whole.failover(nil)); err != nil {
			t.Fatal(err)
		}
		calls = len(whole.ceph.Calls()) - before
	})
	for at := 1; at <= calls; at++ {
		for name, carriedOut := range map[string]bool{"before": false, "after": true} {
			t.Run(fmt.Sprint(name, " call ", at), timeless(func(t *testing.T) {
				f := newFleet(t, 4)
				var mu sync.Mutex
				count := 0
				f.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
					mu.Lock()
					count++
					now := count
					mu.Unlock()
					if now < at {
						return proceed()
					}
					if now == at && carriedOut {
						_ = proceed()
					}
					return died
				})
				err := failed(f.failover(nil))
				f.ceph.Intercept(nil)
				if !errors.Is(err, died) {
					t.Fatalf("it ended with %v", err)
				}
				f.safe()
				f.dial()
				if err := failed(f.failover(nil)); err != nil {
					t.Fatal(err)
				}
				f.wests()
			}))
		}
	}
}

// One that cannot begin keeps all of them from being begun, and nobody is fenced.
func TestOneIsRefusedBeforeTheFence(t *testing.T) {
	for name, test := range map[string]struct {
		refused int
		happens func(f *fleet, i int)
		want    string
	}{
		"its owner lives": {2, func(f *fleet, i int) { f.put(i, keyed(held(east, []ceph.Node{e2}, onE2))) },
			"image rbd/shop.data-2: cluster east has changed its own entry in the meantime: is it really dead?"},
		"its owner lives, and it is the first": {0, func(f *fleet, i int) { f.put(i, keyed(held(east, []ceph.Node{e2}, onE2))) },
			"image rbd/shop.data-0: cluster east has changed its own entry in the meantime: is it really dead?"},
		"somebody else takes it": {3, func(f *fleet, i int) { f.put(i, taking(f.record(i), west, "bob")) },
			"image rbd/shop.data-3: bob has been taking it for cluster west since 2026-11-22T14:03:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, 6)
			plans, err := f.plans()
			if err != nil {
				t.Fatal(err)
			}
			test.happens(f, test.refused)
			before := f.records()
			errs := TakeAll(t.Context(), f.storage, plans, nil, func(i int, s Step) { t.Errorf("image %d: %s", i, s) })
			for i, err := range errs {
				var refusal *Refusal
				switch {
				case i == test.refused && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), test.want)):
					t.Errorf("image %d: %v; want %s", i, err, test.want)
				case i != test.refused && !errors.Is(err, ErrNotBegun):
					t.Errorf("image %d: %v", i, err)
				}
			}
			if diff := cmp.Diff(before, f.records(), cmpopts.IgnoreFields(ceph.Record{}, "Revision", "Token")); diff != "" {
				t.Errorf("records -before +after:\n%s", diff)
			}
			entries, err := f.storage.Blocklisted(t.Context())
			if err != nil || len(entries) > 0 {
				t.Errorf("on the blocklist are %v, %v", entries, err)
			}
		})
	}
}

// What was begun before stays begun when another image is refused.
func TestUndoLeavesWhatWasBegunBefore(t *testing.T) {
	f := newFleet(t, 4)
	plans, err := f.plans()
	if err != nil {
		t.Fatal(err)
	}
	// By a run of the same person that died.
	if _, err := ownership.Change(t.Context(), f.storage, f.image(1), plans[1].begin); err != nil {
		t.Fatal(err)
	}
	f.put(2, keyed(held(east, []ceph.Node{e2}, onE2)))
	before := f.records()
	if err := failed(TakeAll(t.Context(), f.storage, plans, nil, func(int, Step) {})); !strings.Contains(err.Error(), "shop.data-2") {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.records(), cmpopts.IgnoreFields(ceph.Record{}, "Revision", "Token")); diff != "" {
		t.Errorf("records -before +after:\n%s", diff)
	}
}

// A record that somebody writes while it is put back is not overwritten.
func TestUndoOverwritesNobody(t *testing.T) {
	f := newFleet(t, 4)
	plans, err := f.plans()
	if err != nil {
		t.Fatal(err)
	}
	f.put(3, taking(f.record(3), west, "bob"))
	first := f.image(0)
	writes := 0
	f.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && call.Image == first.ImageSpec {
			if writes++; writes == 2 {
				f.ceph.WriteRecord(first, taking(held(east, []ceph.Node{e1}), north, "eve").Encode())
			}
		}
		return proceed()
	})
	errs := TakeAll(t.Context(), f.storage, plans, nil, func(int, Step) {})
	f.ceph.Intercept(nil)
	if !errors.Is(errs[0], ceph.ErrRecordChanged) || !strings.Contains(errs[0].Error(), "give it up with --direct and --drop") {
		t.Errorf("got %v", errs[0])
	}
	if record := f.record(0); record.Takeover == nil || record.Takeover.By != "eve" {
		t.Errorf("the record is %+v", record)
	}
}

// Another run of the same person goes by a record that is about to be put back: its fence
// must not be forgotten.
func TestUndoLeavesWhatAnotherRunGoesBy(t *testing.T) {
	f := newFleet(t, 4)
	plans, err := f.plans()
	if err != nil {
		t.Fatal(err)
	}
	f.put(3, taking(f.record(3), west, "bob"))
	unkeyed := f.image(1)
	writes := 0
	f.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && call.Image == unkeyed.ImageSpec {
			if writes++; writes == 2 {
				f.ceph.Intercept(nil)
				if err := Take(context.Background(), f.storage, plans[1], nil, func(Step) {}); err != nil {
					t.Error(err)
				}
			}
		}
		return proceed()
	})
	errs := TakeAll(t.Context(), f.storage, plans, nil, func(int, Step) {})
	if !errors.Is(errs[1], ceph.ErrRecordChanged) {
		t.Errorf("got %v", errs[1])
	}
	if record := f.record(1); record.Owner.Party != west || len(record.Fenced) != 1 {
		t.Errorf("the record is %+v, %+v", record, record.Owner)
	}
	f.safe()
}

// After the fence, one that breaks off keeps no other from being taken.
func TestOneBreaksOffAfterTheFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 6)
		stranger := ceph.Watcher{Addr: "10.0.7.7:0/8", Client: "client.8"}
		var once sync.Once
		f.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
			err := proceed()
			if call.Method == "Blocklist" {
				once.Do(func() { f.ceph.AddWatcher(ceph.ImageSpec{Pool: "rbd", Name: "shop.data-3"}, stranger) })
			}
			return err
		})
		errs := f.failover(nil)
		f.ceph.Intercept(nil)
		for i, err := range errs {
			if i != 3 && err != nil {
				t.Errorf("image %d: %v", i, err)
			}
		}
		if errs[3] == nil || !strings.Contains(errs[3].Error(), "client 10.0.7.7:0/8 (client.8) has opened it in the meantime") {
			t.Errorf("got %v", errs[3])
		}
		if record := f.record(3); record.State != ceph.Fencing {
			t.Errorf("its record says %s", record.State)
		}
		f.safe()
		f.ceph.RemoveWatcher(ceph.ImageSpec{Pool: "rbd", Name: "shop.data-3"}, stranger)
		if err := failed(f.failover(nil)); err != nil {
			t.Fatal(err)
		}
		f.wests()
	})
}

// Two people who take the same images: one gets all of them, or both have to talk.
func TestTwoPeopleTakeTheSameImages(t *testing.T) {
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, 4)
			plans, err := f.plans()
			if err != nil {
				t.Fatal(err)
			}
			others := slices.Clone(plans)
			for i := range others {
				others[i].Wish.By = "bob"
			}
			slices.Reverse(others)
			var group sync.WaitGroup
			results := make([]error, 2)
			for n, p := range [][]Plan{plans, others} {
				group.Go(func() { results[n] = failed(TakeAll(t.Context(), f.storage, p, nil, func(int, Step) {})) })
			}
			group.Wait()
			if (results[0] == nil) == (results[1] == nil) {
				t.Fatalf("ann: %v; bob: %v", results[0], results[1])
			}
			f.safe()
			for i := range f.specs {
				if record := f.record(i); record.Owner.Party != west || record.State != ceph.Held {
					t.Errorf("the record of %s says %s, %+v", f.specs[i], record.State, record.Owner)
				}
			}
		})
	}
}

// Each asker gets what was read after it asked, and those who wait share one read.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, release := 0, make(chan struct{})
		l := newLatest(func() (int, error) {
			begun++
			mine := begun
			<-release
			return mine, nil
		})
		results := make([]int, 5)
		var group sync.WaitGroup
		ask := func(i int) { group.Go(func() { results[i], _ = l.get() }) }
		ask(0)
		synctest.Wait() // it reads
		for i := 1; i < 5; i++ {
			ask(i)
		}
		synctest.Wait()
		close(release)
		group.Wait()
		if diff := cmp.Diff([]int{1, 2, 2, 2, 2}, results); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
