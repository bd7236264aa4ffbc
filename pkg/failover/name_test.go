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
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ownership"
)

var eastsData = ceph.ImageSpec{Pool: "rbd", Name: "shop.data", Key: "east"}

// timeless is f in a bubble whose time does not have to be waited for.
func timeless(f func(t *testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

// newKeyedDisaster is one whose image carries east's name; e1 and e2 are registered.
func newKeyedDisaster(t *testing.T) *disaster {
	t.Helper()
	d := &disaster{image: westsData, process: process{T: t, ceph: cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{
		{Name: data.Name, Layout: ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock", "layering"}}, ClaimSize: 1 << 20},
	}})}}
	d.dial()
	for _, party := range []ceph.Party{east, north} {
		if _, err := d.storage.ClaimKey(t.Context(), "rbd", "", party); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.storage.PutRegistration(t.Context(), "rbd", "", ceph.Registration{Party: east, Nodes: []ceph.Node{e1, e2}, Written: since}); err != nil {
		t.Fatal(err)
	}
	d.ceph.RenameImage(data, eastsData.Own())
	var err error
	if d.east, err = d.ceph.OpenImage(eastsData, ceph.Watcher{Addr: onE1, Client: "client.4", Cookie: 1}); err != nil {
		t.Fatal(err)
	}
	d.put(eastsData, keyed(held(east, []ceph.Node{e1}, onE1), ofEast))
	return d
}

// wests checks what a failover of a keyed image leaves behind: these clients are fenced,
// besides those of commands that died, and no machine.
func (d *disaster) wests(fenced ...string) {
	d.Helper()
	record := d.record()
	if record.State != ceph.Held || record.Owner.Party != west || record.Epoch != 2 || !record.Keyed || !record.Named || len(record.Renamers) > 0 || len(record.Fenced) > 0 {
		d.Errorf("the record is %+v, owner %+v", record, record.Owner)
	}
	d.carries(westsData.Own())
	entries := d.entries()
	for _, addr := range fenced {
		if !slices.Contains(entries, addr) {
			d.Errorf("%s is not on the blocklist", addr)
		}
	}
	for _, addr := range entries {
		if !slices.Contains(fenced, addr) && !strings.HasPrefix(addr, "203.0.113.7:0/") {
			d.Errorf("%s is on the blocklist", addr)
		}
		if strings.HasSuffix(addr, "/0") {
			d.Errorf("machine %s is on the blocklist", addr)
		}
	}
	d.safe()
	// Another client of the same machine, from now on.
	if _, err := d.ceph.OpenImage(eastsData, ceph.Watcher{Addr: "10.0.1.11:0/99", Client: "client.99"}); !errors.Is(err, ceph.ErrImageNotFound) {
		d.Errorf("east opens the image: %v", err)
	}
	if _, err := d.ceph.OpenImage(westsData, ceph.Watcher{Addr: onW1, Client: "client.5", Cookie: 1}); err != nil {
		d.Errorf("west cannot open the image: %v", err)
	}
}

// carries checks that the image has one name.
func (d *disaster) carries(name string) {
	d.Helper()
	names, err := d.storage.ImageNames(d.Context(), d.imageOf(d.image), data.Name, eastsData.Own(), westsData.Own(), "shop.data~north")
	if err != nil || !slices.Equal(names, []string{name}) {
		d.Errorf("the image has the names %q, %v; want %q", names, err, name)
	}
}

func TestTakeTheName(t *testing.T) {
	d := newKeyedDisaster(t)
	var did []Step
	if err := d.failover(wish(), func(s Step) { did = append(did, s) }); err != nil {
		t.Fatal(err)
	}
	if want := []Step{Begun, Instances, InForce, Renamed, NobodyLeft, TakenOver}; !slices.Equal(did, want) {
		t.Errorf("steps %q", did)
	}
	d.wests(onE1, ofEast)
	history := d.record().History
	if last := history[len(history)-1]; !slices.Equal(last.Fenced, []string{onE1, ofEast}) {
		t.Errorf("the history says %+v", last)
	}
	if err := d.failover(wish(), nil); err != nil {
		t.Errorf("again: %v", err)
	}
}

// While the image is renamed, who does so is in the record.
func TestWhoRenamesIsInTheRecord(t *testing.T) {
	d := newKeyedDisaster(t)
	self, err := d.storage.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "RenameImage" {
			seen = true
			record := d.recordMeanwhile()
			if record.State != ceph.Fencing || record.Named || !slices.Equal(record.Renamers, []string{ofEast, self}) {
				t.Errorf("the record is %+v", record)
			}
		}
		return proceed()
	})
	if err := d.failover(wish(), nil); err != nil || !seen {
		t.Fatalf("renamed: %v, %v", seen, err)
	}
}

// recordMeanwhile is for interceptors.
func (d *disaster) recordMeanwhile() ceph.Record {
	d.ceph.Intercept(nil)
	return d.record()
}

// The process dies at each of its calls: before Ceph has carried it out, or after; and at
// a rename also in between. The same command, run again as another process, ends right.
func TestKilledAnywhereAndRunAgainWithKeys(t *testing.T) {
	died := errors.New("the process was killed")
	var calls []cephtest.Call
	synctest.Test(t, func(t *testing.T) {
		whole := newKeyedDisaster(t)
		before := len(whole.ceph.Calls())
		if err := whole.failover(wish(), nil); err != nil {
			t.Fatal(err)
		}
		calls = whole.ceph.Calls()[before:]
	})
	for at, killed := range calls {
		deaths := map[string]func(d *disaster, proceed func() error){
			"before": func(*disaster, func() error) {},
			"after":  func(_ *disaster, proceed func() error) { _ = proceed() },
		}
		if killed.Method == "RenameImage" {
			deaths["two names, the old one listed"] = func(d *disaster, _ func() error) { d.ceph.HalfRenameImage(westsData, westsData.Own(), false) }
			deaths["two names, the new one listed"] = func(d *disaster, _ func() error) { d.ceph.HalfRenameImage(westsData, westsData.Own(), true) }
		}
		for name, dies := range deaths {
			for _, drops := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " call ", at+1, " ", killed.Method, ", dropped: ", drops), timeless(func(t *testing.T) {
					d := newKeyedDisaster(t)
					first, err := d.storage.Self(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					count := -1
					d.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
						if count++; count < at {
							return proceed()
						}
						if count == at {
							dies(d, proceed)
						}
						return died
					})
					err = d.failover(wish(), nil)
					d.ceph.Intercept(nil)
					if !errors.Is(err, died) {
						t.Fatalf("it ended with %v", err)
					}
					d.safe()
					d.dial()
					if record := d.record(); drops && record.State == ceph.Fencing {
						d.dropped(first)
						return
					}
					if err := d.failover(wish(), nil); err != nil {
						t.Fatal(err)
					}
					d.wests(onE1, ofEast)
					// What the dead process may have on its way comes to nothing.
					if fenced := slices.Contains(d.entries(), first); fenced != killedWhileTaking(calls, at, name) {
						t.Errorf("the dead process is fenced: %v", fenced)
					}
				}))
			}
		}
	}
}

// killedWhileTaking: the record said that the image was being taken, and not yet that it is
// west's.
func killedWhileTaking(calls []cephtest.Call, at int, death string) bool {
	writes := 0
	for _, call := range calls[:at] {
		if call.Method == "PutRecord" {
			writes++
		}
	}
	if calls[at].Method == "PutRecord" && death == "after" {
		writes++
	}
	return writes == 1
}

// dropped gives the image back to east, whose record has what it needs to repair the name.
func (d *disaster) dropped(renamer string) {
	d.Helper()
	record, err := Drop(d.Context(), d.storage, westsData, wish().Taker)
	if err != nil {
		d.Fatal(err)
	}
	if record.State != ceph.Held || record.Owner.Party != east || record.Named || !slices.Equal(record.Renamers, []string{ofEast, renamer}) {
		d.Errorf("the record is %+v", record)
	}
	image, err := d.storage.Image(d.Context(), eastsData)
	if err != nil {
		d.Fatal(err)
	}
	// What east's leader does.
	if err := d.storage.Blocklist(d.Context(), record.Renamers, ceph.MaxFence); err != nil {
		d.Fatal(err)
	}
	if _, err := d.storage.RenameImage(d.Context(), image, eastsData.Own(), data.Name, westsData.Own()); err != nil {
		var locked *ceph.LockedError
		if !errors.As(err, &locked) || locked.Addr != onE1 {
			d.Fatal(err)
		}
		return // it was not renamed: east has it open
	}
	d.carries(eastsData.Own())
}

// Nothing has to be lifted or rebooted before the image is east's again.
func TestFailbackAfterAnExactFence(t *testing.T) {
	d := newKeyedDisaster(t)
	if err := d.failover(wish(), nil); err != nil {
		t.Fatal(err)
	}
	records, err := Records(t.Context(), d.storage, spaces)
	if err != nil {
		t.Fatal(err)
	}
	if fenced, err := Find(records, []string{"e1", "10.0.1.11"}); len(fenced) > 0 || err == nil {
		t.Errorf("fenced are %+v, %v", fenced, err)
	}
	// West has let it go, and east acquires it.
	image, err := d.storage.Image(t.Context(), eastsData)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.storage.RenameImage(t.Context(), image, eastsData.Own(), westsData.Own()); err != nil {
		t.Fatal(err)
	}
	d.put(eastsData, keyed(held(east, []ceph.Node{e1})))
	// The machine has not booted; its mapping of then is of no use, another one is.
	if err := d.east.Write("from before"); !errors.Is(err, ceph.ErrBlocklisted) {
		t.Errorf("the old client writes: %v", err)
	}
	again, err := d.ceph.OpenImage(eastsData, ceph.Watcher{Addr: "10.0.1.11:0/7", Client: "client.7"})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Write("from the same boot"); err != nil {
		t.Errorf("the new client does not write: %v", err)
	}
}

// opens is a client that has the image open, by a name that it resolved before.
func (d *disaster) opens(addr string) *cephtest.Writer {
	d.Helper()
	writer, err := d.ceph.OpenImage(d.present(), ceph.Watcher{Addr: addr, Client: "client.8", Cookie: 2})
	if err != nil {
		d.Errorf("%s cannot open the image: %v", addr, err)
	}
	return writer
}

// present is the image by the name that it has now.
func (d *disaster) present() ceph.ImageSpec {
	d.Helper()
	image, err := d.storage.Image(context.Background(), d.image)
	if err != nil {
		d.Fatal(err)
	}
	return ceph.ImageSpec{Pool: "rbd", Name: image.Named}
}

func TestWhoComesWhileTheNameIsTaken(t *testing.T) {
	tests := map[string]struct {
		after string
		// times is how often the method was called before.
		times   int
		happens func(*disaster) *cephtest.Writer
		// fenced besides, or why it is refused.
		fenced string
		want   string
	}{
		"another client of the holder's node takes the lock": {
			after: "Barrier", happens: func(d *disaster) *cephtest.Writer { return d.opens("10.0.1.11:0/8") }, fenced: "10.0.1.11:0/8",
		},
		"a client of a node that is registered only takes the lock": {
			after: "Barrier", happens: func(d *disaster) *cephtest.Writer { return d.opens("10.0.1.12:0/8") }, fenced: "10.0.1.12:0/8",
		},
		"it takes the lock and falls silent": {
			after: "Barrier", happens: func(d *disaster) *cephtest.Writer {
				writer := d.opens("10.0.1.12:0/8")
				d.ceph.RemoveWatcher(d.present(), writer.Watcher())
				return writer
			}, fenced: "10.0.1.12:0/8",
		},
		"a map that was in flight comes after the rename": {
			after: "RenameImage", happens: func(d *disaster) *cephtest.Writer { return d.opens("10.0.1.12:0/8") }, fenced: "10.0.1.12:0/8",
		},
		"it comes after the rename and falls silent": {
			after: "RenameImage", happens: func(d *disaster) *cephtest.Writer {
				writer := d.opens("10.0.1.12:0/8")
				d.ceph.RemoveWatcher(d.present(), writer.Watcher())
				return writer
			}, fenced: "10.0.1.12:0/8",
		},
		"it comes after the first look": {
			after: "LockHolder", times: 1, happens: func(d *disaster) *cephtest.Writer { return d.opens("10.0.1.12:0/8") }, fenced: "10.0.1.12:0/8",
		},
		"a stranger takes the lock": {
			after: "Barrier", happens: func(d *disaster) *cephtest.Writer { return d.opens("10.0.7.7:0/8") },
			want: "image rbd/shop.data: client 10.0.7.7:0/8 (client.8) has its lock, and is not one of the fenced clients\n  do this   find out who that is; then run the same command again, with --also-fence 10.0.7.7:0/8 if it is a client of the dead cluster, or with --direct and --drop to give up",
		},
		"a stranger comes after the rename": {
			after: "RenameImage", happens: func(d *disaster) *cephtest.Writer { return d.opens("10.0.7.7:0/8") },
			want: "client 10.0.7.7:0/8 (client.8) has opened it in the meantime, and is not one of the fenced clients",
		},
		"a stranger comes after the rename and falls silent": {
			after: "RenameImage", happens: func(d *disaster) *cephtest.Writer {
				writer := d.opens("10.0.7.7:0/8")
				d.ceph.RemoveWatcher(d.present(), writer.Watcher())
				return writer
			},
			want: "client 10.0.7.7:0/8 (client.8) has opened it in the meantime, and is not one of the fenced clients",
		},
		"somebody locks it by hand": {
			after: "Barrier", happens: func(d *disaster) *cephtest.Writer {
				d.ceph.LockImage(d.present())
				return nil
			},
			want: ceph.ErrImageLocked.Error(),
		},
		"somebody clears the blocklist": {
			after: "RenameImage", happens: func(d *disaster) *cephtest.Writer {
				_ = d.storage.Unblocklist(context.Background(), []string{onE1, ofEast})
				return nil
			},
			want: "somebody took 10.0.1.11:0/1, 10.0.1.12:0/41 off the blocklist in the meantime",
		},
		"another process of the same person begins": {
			after: "Self", happens: func(d *disaster) *cephtest.Writer {
				image, _ := d.storage.Image(context.Background(), d.image)
				other := wish().Taker
				other.Self = "203.0.113.7:0/4711"
				_, err := ownership.Change(context.Background(), d.storage, image, func(stored ceph.Record) (ceph.Record, error) {
					return ownership.BeginFence(stored, other)
				})
				if err != nil {
					d.Error(err)
				}
				return nil
			},
			want: "image rbd/shop.data: client 203.0.113.7:0/4711 has begun to rename it in the meantime",
		},
	}
	for name, test := range tests {
		t.Run(name, timeless(func(t *testing.T) {
			d := newKeyedDisaster(t)
			var late *cephtest.Writer
			var once sync.Once
			times := 0
			d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				err := proceed()
				if call.Method == test.after {
					if times++; times > test.times {
						once.Do(func() { late = test.happens(d) })
					}
				}
				return err
			})
			err := d.failover(wish(), nil)
			d.ceph.Intercept(nil)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v; want %s", err, test.want)
				}
				if record := d.record(); record.State != ceph.Fencing || record.Owner.Party != east {
					t.Errorf("the record says %s, %+v", record.State, record.Owner)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := late.Write("too late"); !errors.Is(err, ceph.ErrBlocklisted) {
				t.Errorf("who came late writes: %v", err)
			}
			want := []string{onE1, test.fenced, ofEast}
			slices.Sort(want)
			history := d.record().History
			if diff := cmp.Diff(want, history[len(history)-1].Fenced); diff != "" {
				t.Errorf("the history's fence -want +got:\n%s", diff)
			}
			d.wests(onE1, test.fenced, ofEast)
		}))
	}
}

// Somebody comes late, and somebody else when a look has found nobody.
func TestTwoLooksAfterTheLastWhoCameLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newKeyedDisaster(t)
		looks := 0
		d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
			err := proceed()
			switch call.Method {
			case "RenameImage":
				d.opens("10.0.1.12:0/8")
				looks = 0
			case "LockHolder":
				if looks++; looks == 2 {
					d.opens("10.0.1.12:0/9")
				}
			}
			return err
		})
		if err := d.failover(wish(), nil); err != nil {
			t.Fatal(err)
		}
		d.ceph.Intercept(nil)
		d.wests(onE1, ofEast, "10.0.1.12:0/8", "10.0.1.12:0/9")
	})
}

func TestTheKeyIsClaimedMeanwhile(t *testing.T) {
	for name, claims := range map[string]ceph.Party{
		"by this cluster, under another name": {UID: west.UID, Name: "occident"},
		"by another cluster of this name":     {UID: "u-another", Name: west.Name},
	} {
		t.Run(name, func(t *testing.T) {
			d := newKeyedDisaster(t)
			d.meanwhile("Self", func() {
				if _, err := d.storage.ClaimKey(context.Background(), "rbd", "", claims); err != nil {
					t.Error(err)
				}
			})
			err := d.failover(wish(), nil)
			var refusal *Refusal
			if !errors.As(err, &refusal) && !errors.Is(err, ceph.ErrKeyTaken) {
				t.Errorf("got %v", err)
			}
			if record := d.record(); record.State != ceph.Held || len(d.entries()) > 0 {
				t.Errorf("the record says %s, the blocklist has %v", record.State, d.entries())
			}
		})
	}
}

func TestSeeAKeyedImage(t *testing.T) {
	d := newKeyedDisaster(t)
	seen, err := See(t.Context(), d.storage, []ceph.ImageSpec{westsData}, spaces)
	if err != nil || seen[0].Err != nil {
		t.Fatal(err, seen)
	}
	s := seen[0].Situation
	if len(s.Others) != 1 || s.Holder == nil || s.Holder.Addr != onE1 || s.Self == "" || len(s.Keys) != 2 {
		t.Errorf("seen: %+v", s)
	}
	if plan, err := Decide(s, wish()); err != nil || !plan.OnlyThis() {
		t.Errorf("the plan is %+v, %v", plan, err)
	}
}

// A client that is silent and in no record has the lock before anything begins. It may
// have an entry of an hour already.
func TestASilentHolderThatNobodyRecorded(t *testing.T) {
	for name, hour := range map[string]bool{"not fenced": false, "fenced by Ceph for an hour": true} {
		t.Run(name, timeless(func(t *testing.T) {
			d := newKeyedDisaster(t)
			d.east.Close()
			silent := d.opens("10.0.1.12:0/8")
			d.ceph.RemoveWatcher(d.present(), silent.Watcher())
			if hour {
				if err := d.storage.Blocklist(t.Context(), []string{"10.0.1.12:0/8"}, time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.failover(wish(), nil); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(d.entries(), "10.0.1.12:0/8") {
				t.Errorf("it is not fenced for good: %v", d.entries())
			}
			if want := map[bool]int{false: 0, true: 1}[hour]; len(d.record().Fenced) != want {
				t.Errorf("the record names the machines %+v", d.record().Fenced)
			}
			if err := silent.Write("when it is back"); !errors.Is(err, ceph.ErrBlocklisted) {
				t.Errorf("it writes: %v", err)
			}
			d.carries(westsData.Own())
		}))
	}
}

// The record is not certain: machines are fenced, and the image gets its name all the same.
func TestTakeTheNameWithMachines(t *testing.T) {
	d := newKeyedDisaster(t)
	record := keyed(held(east, []ceph.Node{e1}, onE1), ofEast)
	record.Pending = []string{"p"}
	d.put(eastsData, record)
	var did []Step
	if err := d.failover(wish(), func(s Step) { did = append(did, s) }); err != nil {
		t.Fatal(err)
	}
	if want := []Step{Begun, Machines, Instances, InForce, Renamed, NobodyLeft, TakenOver}; !slices.Equal(did, want) {
		t.Errorf("steps %q", did)
	}
	d.carries(westsData.Own())
	if diff := cmp.Diff([]ceph.FencedNode{{Cluster: east, Node: e1}}, d.record().Fenced); diff != "" {
		t.Errorf("fenced nodes -want +got:\n%s", diff)
	}
	d.safe()
}

func TestTwoProcessesAtOnceWithKeys(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			d := newKeyedDisaster(t)
			var group sync.WaitGroup
			for range 2 {
				one := *d
				one.dial()
				group.Go(func() { _ = one.failover(wish(), nil) })
			}
			group.Wait()
			d.safe()
			d.dial()
			if err := d.failover(wish(), nil); err != nil {
				t.Fatal(err)
			}
			record := d.record()
			if record.State != ceph.Held || record.Owner.Party != west || !record.Named {
				t.Errorf("the record is %+v", record)
			}
			d.carries(westsData.Own())
			d.safe()
		})
	}
}

// A command that has stopped in the middle of its rename would give the image west's name
// although it is east's again.
func TestDropFencesWhoRenames(t *testing.T) {
	d := newKeyedDisaster(t)
	died := errors.New("died")
	d.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "RenameImage" {
			return died
		}
		return proceed()
	})
	if err := d.failover(wish(), nil); !errors.Is(err, died) {
		t.Fatal(err)
	}
	d.ceph.Intercept(nil)
	before := d.storage
	stopped, err := before.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.dial()
	record, err := Drop(t.Context(), d.storage, d.image, wish().Taker)
	if err != nil || record.State != ceph.Held || record.Owner.Party != east || record.Named {
		t.Fatalf("got %+v, %v", record, err)
	}
	if !slices.Contains(d.entries(), stopped) {
		t.Errorf("who may be renaming it is not on the blocklist: %q", d.entries())
	}
	image, err := d.storage.Image(t.Context(), d.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.RenameImage(t.Context(), image, westsData.Own()); !errors.Is(err, ceph.ErrBlocklisted) {
		t.Errorf("it goes on: %v", err)
	}
	d.carries(eastsData.Own())
}
