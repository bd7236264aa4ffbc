package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

var spaces = []Space{{Pool: "rbd"}}

// disaster is a Ceph with an image that east has mapped on e1, for the last time
// before its end.
type disaster struct {
	process
	// image is how west's volume leads to it.
	image ceph.ImageSpec
	east  *cephtest.Writer
}

func newDisaster(t *testing.T) *disaster {
	t.Helper()
	d := &disaster{image: data, process: process{T: t, ceph: cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{
		{Name: data.Name, Layout: ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock", "layering"}}, ClaimSize: 1 << 20},
	}})}}
	var err error
	if d.storage, err = d.ceph.Dial(t.Context(), cephtest.Operator); err != nil {
		t.Fatal(err)
	}
	if d.east, err = d.ceph.OpenImage(data, ceph.Watcher{Addr: onE1, Client: "client.4", Cookie: 1}); err != nil {
		t.Fatal(err)
	}
	d.put(data, held(east, []ceph.Node{e1}, onE1))
	return d
}

func (d *disaster) record() ceph.Record {
	d.Helper()
	return d.recordOf(d.image)
}

// failover is what the command does.
func (d *disaster) failover(wish Wish, did func(Step)) error {
	seen, err := See(d.Context(), d.storage, []ceph.ImageSpec{d.image}, spaces)
	if err == nil {
		err = seen[0].Err
	}
	if err != nil {
		return err
	}
	situation := seen[0].Situation
	situation.Explained = []string{onW1}
	plan, err := Decide(situation, wish)
	if err != nil {
		return err
	}
	if did == nil {
		did = func(Step) {}
	}
	return Take(d.Context(), d.storage, plan, nil, did)
}

func (d *disaster) entries() []string {
	d.Helper()
	entries, err := d.storage.Blocklisted(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		if time.Until(entry.Until) > ceph.MaxFence-time.Hour {
			all = append(all, entry.Addr)
		}
	}
	return all
}

// safe checks what has to hold at any time: when the record says west, east cannot
// write, whatever becomes of the entries of its machines.
func (d *disaster) safe() {
	d.Helper()
	if record := d.record(); record.Owner == nil || record.Owner.UID != west.UID {
		return
	}
	if err := d.east.Write("after the hand-over"); !errors.Is(err, ceph.ErrBlocklisted) {
		d.Errorf("west owns the image, and east wrote: %v", err)
	}
}

// ours checks what a failover leaves behind.
func (d *disaster) ours() {
	d.Helper()
	record := d.record()
	if record.State != ceph.Held || record.Owner.Party != west || record.Epoch != 2 {
		d.Errorf("the record says %s, %+v, epoch %d", record.State, record.Owner, record.Epoch)
	}
	var events []ceph.Event
	for _, change := range record.History {
		events = append(events, change.Event)
	}
	if want := []ceph.Event{ceph.FenceBegun, ceph.TakenOver}; !slices.Equal(events, want) {
		d.Errorf("history %v, want %v", events, want)
	}
	if diff := cmp.Diff([]ceph.FencedNode{{Cluster: east, Node: e1}}, record.Fenced); diff != "" {
		d.Errorf("fenced nodes -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"10.0.1.11:0/0", onE1, "[fd00::11]:0/0"}, d.entries()); diff != "" {
		d.Errorf("blocklist -want +got:\n%s", diff)
	}
	d.safe()
	if _, err := d.ceph.OpenImage(data, ceph.Watcher{Addr: onW1, Client: "client.5", Cookie: 1}); err != nil {
		d.Errorf("west cannot open the image: %v", err)
	}
}

func TestTake(t *testing.T) {
	d := newDisaster(t)
	var did []Step
	if err := d.failover(wish(), func(s Step) { did = append(did, s) }); err != nil {
		t.Fatal(err)
	}
	if want := []Step{Begun, Machines, Instances, InForce, NobodyLeft, TakenOver}; !slices.Equal(did, want) {
		t.Errorf("steps %q", did)
	}
	d.ours()
	if err := d.failover(wish(), nil); err != nil {
		t.Errorf("again: %v", err)
	}
}

// The process dies at each of its calls: before Ceph has carried it out, or after,
// with the answer lost. The same command, run again, ends right.
func TestKilledAnywhereAndRunAgain(t *testing.T) {
	died := errors.New("the process was killed")
	whole := newDisaster(t)
	before := len(whole.ceph.Calls())
	if err := whole.failover(wish(), nil); err != nil {
		t.Fatal(err)
	}
	calls := len(whole.ceph.Calls()) - before
	for at := 1; at <= calls; at++ {
		for name, carriedOut := range map[string]bool{"before": false, "after": true} {
			t.Run(fmt.Sprint(name, " call ", at), func(t *testing.T) {
				d := newDisaster(t)
				count := 0
				d.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
					count++
					if count < at {
						return proceed()
					}
					if count == at && carriedOut {
						_ = proceed()
					}
					return died
				})
				err := d.failover(wish(), nil)
				d.ceph.Intercept(nil)
				if !errors.Is(err, died) {
					t.Fatalf("it ended with %v", err)
				}
				d.safe()
				if err := d.failover(wish(), nil); err != nil {
					t.Fatal(err)
				}
				d.ours()
			})
		}
	}
}

func TestTwoPeopleAtOnce(t *testing.T) {
	for range 100 {
		d := newDisaster(t)
		bob := wish()
		bob.By = "bob"
		var group sync.WaitGroup
		results := make([]error, 2)
		for i, w := range []Wish{wish(), bob} {
			group.Go(func() { results[i] = d.failover(w, nil) })
		}
		group.Wait()
		lost := slices.DeleteFunc(slices.Clone(results), func(err error) bool { return err == nil })
		if len(lost) == 2 {
			t.Fatalf("both lost: %v", results)
		}
		if len(lost) == 1 {
			var refusal *Refusal
			if !errors.As(lost[0], &refusal) {
				t.Fatalf("the other one is told %v", lost[0])
			}
		}
		d.ours()
		if t.Failed() {
			return
		}
	}
}

func TestTwoClustersAtOnce(t *testing.T) {
	for range 100 {
		d := newDisaster(t)
		ours, theirs := wish(), wish()
		theirs.Cluster = north
		ours.From, theirs.From = east.Name, east.Name
		var group sync.WaitGroup
		results := make([]error, 2)
		for i, w := range []Wish{ours, theirs} {
			group.Go(func() { results[i] = d.failover(w, nil) })
		}
		group.Wait()
		record := d.record()
		switch {
		case results[0] == nil && results[1] != nil && record.Owner.Party == west:
		case results[1] == nil && results[0] != nil && record.Owner.Party == north:
		default:
			t.Fatalf("west: %v; north: %v; the record says %+v", results[0], results[1], record.Owner)
		}
	}
}

// The entry of an hour, which Ceph makes when a lock is taken over, becomes one of
// years while the machine's covers the client.
func TestAnAutomaticEntryIsExtended(t *testing.T) {
	d := newDisaster(t)
	if err := d.storage.Blocklist(t.Context(), []string{onE1}, time.Hour); err != nil {
		t.Fatal(err)
	}
	d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		err := proceed()
		if call.Method == "Blocklist" {
			if err := d.east.Write("in between"); !errors.Is(err, ceph.ErrBlocklisted) {
				t.Errorf("east wrote in between: %v", err)
			}
		}
		return err
	})
	if err := d.failover(wish(), nil); err != nil {
		t.Fatal(err)
	}
	d.ours()
}

// meanwhile lets something happen right after a method was called.
func (d *disaster) meanwhile(method string, happens func()) {
	var once sync.Once
	d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		err := proceed()
		if call.Method == method {
			once.Do(happens)
		}
		return err
	})
}

func TestWhatHappensMeanwhile(t *testing.T) {
	tests := map[string]struct {
		after   string
		happens func(*disaster)
		want    string
		state   ceph.State
	}{
		"the holder lives and moves its pod": {
			"Daemons", func(d *disaster) { d.put(data, held(east, []ceph.Node{e2}, onE2)) },
			"image rbd/shop.data: cluster east has changed its own entry in the meantime: is it really dead?", ceph.Held,
		},
		"the holder lives and releases it": {
			"Daemons", func(d *disaster) { d.put(data, ceph.Record{Epoch: 1}) },
			"image rbd/shop.data: nobody owns the image", ceph.Free,
		},
		"the record becomes one that is not understood": {
			"Daemons", func(d *disaster) {
				image, _ := d.storage.Image(context.Background(), data)
				d.ceph.WriteRecord(image, []byte(`{"version":9}`))
			}, ceph.ErrRecordUnknown.Error(), -1,
		},
		"a stranger opens it": {
			"Barrier", func(d *disaster) { d.ceph.AddWatcher(data, ceph.Watcher{Addr: onW1, Client: "client.7"}) },
			"client 10.0.2.11:0/5 (client.7) has opened it in the meantime, and is not one of the fenced clients", ceph.Fencing,
		},
		"somebody clears the blocklist": {
			"Barrier", func(d *disaster) {
				_ = d.storage.Unblocklist(context.Background(), []string{"10.0.1.11:0/0", onE1, "[fd00::11]:0/0"})
			}, "somebody took 10.0.1.11:0/0, [fd00::11]:0/0, 10.0.1.11:0/1 off the blocklist in the meantime", ceph.Fencing,
		},
		"it is dropped": {
			"Barrier", func(d *disaster) {
				if _, err := Drop(context.Background(), d.storage, data, wish().Taker); err != nil {
					d.Error(err)
				}
			}, "image rbd/shop.data: nobody is taking the image from its owner", ceph.Held,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDisaster(t)
			d.meanwhile(test.after, func() { test.happens(d) })
			err := d.failover(wish(), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want %s", err, test.want)
			}
			d.ceph.Intercept(nil)
			if test.state < 0 {
				return
			}
			if record := d.record(); record.State != test.state || record.Owner != nil && record.Owner.UID != east.UID {
				t.Errorf("the record says %s, %+v", record.State, record.Owner)
			}
		})
	}
}

func TestDrop(t *testing.T) {
	d := newDisaster(t)
	d.meanwhile("Barrier", func() { d.ceph.AddWatcher(data, ceph.Watcher{Addr: onW1, Client: "client.7"}) })
	if err := d.failover(wish(), nil); err == nil {
		t.Fatal("it is not refused")
	}
	record, err := Drop(t.Context(), d.storage, data, wish().Taker)
	if err != nil || record.State != ceph.Held || record.Owner.Party != east {
		t.Fatalf("got %+v, %v", record, err)
	}
	// The entries are there, and the record remembers them.
	if diff := cmp.Diff([]ceph.FencedNode{{Cluster: east, Node: e1}}, record.Fenced); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := Drop(t.Context(), d.storage, data, wish().Taker); !errors.Is(err, ownership.NotFencing) {
		t.Errorf("again: %v", err)
	}
}
