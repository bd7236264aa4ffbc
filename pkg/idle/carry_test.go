package idle

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// newKeyedRig is east with an image that carries its name.
func newKeyedRig(t *testing.T, change ...func(*ceph.Record)) *rig {
	t.Helper()
	pv := pvFor("shop.data", "data", "shop.data~east", static("rook-ceph", "rbd"))
	r := newRig(t, "shop.data", ceph.Record{}, pv)
	var err error
	if r.storage, err = r.ceph.Dial(t.Context(), cephtest.Provisioner); err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []ceph.Party{east, west} {
		if _, err := r.storage.ClaimKey(t.Context(), "rbd", "", cluster); err != nil {
			t.Fatal(err)
		}
	}
	r.ceph.RemoveImage(r.spec)
	if _, err := r.storage.CreateImage(t.Context(), r.spec, ceph.Layout{Size: 1, Features: []string{"exclusive-lock"}}); err != nil {
		t.Fatal(err)
	}
	r.spec.Key = "east"
	r.ceph.RenameImage(r.spec, "shop.data~east")
	keyed := func(record *ceph.Record) { record.Keyed, record.Private, record.Named = true, true, true }
	r.ceph.WriteRecord(r.image(), held(append([]func(*ceph.Record){keyed}, change...)...).Encode())
	return r
}

func (r *rig) releaseKeyed() error {
	r.Helper()
	_, err := r.release(r.volume(pvFor("shop.data", "data", "shop.data~east", static("rook-ceph", "rbd"))), Person{By: "eve"})
	return err
}

func (r *rig) carries(name string) {
	r.Helper()
	names, err := r.storage.ImageNames(r.Context(), r.image(), "shop.data", "shop.data~east", "shop.data~west")
	if err != nil || !slices.Equal(names, []string{name}) {
		r.Errorf("the image has the names %q, %v; want %q", names, err, name)
	}
}

func (r *rig) fenced() []string {
	r.Helper()
	entries, err := r.storage.Blocklisted(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	var addrs []string
	for _, entry := range entries {
		addrs = append(addrs, entry.Addr)
	}
	return addrs
}

// Who may be renaming the image is cut off, and the OSDs know, before it is anybody else's.
func TestReleaseFencesWhoRenames(t *testing.T) {
	const renamer = "203.0.113.9:0/9"
	r := newKeyedRig(t, func(record *ceph.Record) { record.Named, record.Renamers = false, []string{renamer} })
	before := len(r.ceph.Calls())
	if err := r.releaseKeyed(); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, call := range r.ceph.Calls()[before:] {
		if slices.Contains([]string{"Blocklist", "Barrier", "PutRecord", "RenameImageFrom"}, call.Method) {
			order = append(order, call.Method)
		}
	}
	if diff := cmp.Diff([]string{"Blocklist", "Barrier", "PutRecord", "RenameImageFrom"}, order); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := r.fenced(); !slices.Equal(got, []string{renamer}) {
		t.Errorf("on the blocklist: %q", got)
	}
	r.carries("shop.data")
}

// As long as that cannot be done, the image stays whose it is.
func TestReleaseWithoutTheFence(t *testing.T) {
	for _, method := range []string{"Blocklist", "Barrier"} {
		r := newKeyedRig(t, func(record *ceph.Record) { record.Named, record.Renamers = false, []string{"203.0.113.9:0/9"} })
		r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
			if call.Method == method {
				return ceph.ErrPermission
			}
			return proceed()
		})
		if err := r.releaseKeyed(); !errors.Is(err, ceph.ErrPermission) {
			t.Errorf("%s: got %v", method, err)
		}
		r.carries("shop.data~east")
	}
}

// A node that lost power has the image's lock yet, and cannot give it up: whoever acquires the
// image next could not rename it. Its client never comes back, and is fenced.
func TestReleaseFencesTheDeadWhoHasTheLock(t *testing.T) {
	dead := ceph.Watcher{Addr: "10.0.1.11:0/7", Client: "client.7", Cookie: 1}
	recorded := func(record *ceph.Record) { record.Owner.Clients = []string{dead.Addr} }
	tests := map[string]struct {
		change  func(*ceph.Record)
		prepare func(r *rig)
		want    []string
		name    string
	}{
		"a client of the record":               {recorded, nil, []string{dead.Addr}, "shop.data"},
		"somebody else":                        {func(*ceph.Record) {}, nil, nil, "shop.data~east"},
		"a client that other volumes share":    {func(record *ceph.Record) { recorded(record); record.Private = false }, nil, nil, "shop.data~east"},
		"one whom Ceph has fenced for an hour": {recorded, func(r *rig) { r.hour(dead.Addr) }, []string{dead.Addr}, "shop.data"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newKeyedRig(t, test.change)
			if _, err := r.ceph.OpenImage(r.spec, dead); err != nil {
				t.Fatal(err)
			}
			r.ceph.RemoveWatcher(r.spec, dead)
			if test.prepare != nil {
				test.prepare(r)
			}
			if err := r.releaseKeyed(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, r.fenced()); diff != "" {
				t.Errorf("on the blocklist -want +got:\n%s", diff)
			}
			r.carries(test.name)
		})
	}
}

// A lock that changes hands says that somebody opens the image: it stays whose it is. One that
// a person has added is that person's, and refuses whoever acquires the image next.
func TestReleaseWhileTheLockIsNobodys(t *testing.T) {
	tests := map[string]struct {
		looked, want error
		name         string
	}{
		"it changes hands": {ceph.ErrLockPasses, ceph.ErrLockPasses, "shop.data~east"},
		"by hand":          {ceph.ErrImageLocked, nil, "shop.data"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newKeyedRig(t)
			r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "LockHolder" {
					return test.looked
				}
				return proceed()
			})
			if err := r.releaseKeyed(); !errors.Is(err, test.want) {
				t.Errorf("got %v; want %v", err, test.want)
			}
			record, err := r.storage.Record(t.Context(), r.image())
			if released := record.State == ceph.Free; err != nil || released != (test.want == nil) {
				t.Errorf("released is %t, %v", released, err)
			}
			r.carries(test.name)
		})
	}
}

// hour is an entry as Ceph makes it.
func (r *rig) hour(addr string) {
	r.Helper()
	if err := r.storage.Blocklist(r.Context(), []string{addr}, 3600e9); err != nil {
		r.Fatal(err)
	}
}

// Whoever acquires the image in between has it, under its own name.
func TestReleaseIsOvertaken(t *testing.T) {
	r := newKeyedRig(t)
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "RenameImageFrom" {
			r.ceph.Intercept(nil)
			r.ceph.RenameImage(r.spec, "shop.data~west")
		}
		return proceed()
	})
	if err := r.releaseKeyed(); err != nil {
		t.Fatal(err)
	}
	r.carries("shop.data~west")
}

// An image without keys costs one look, the watchers after that, and one write.
func TestReleaseWithoutKeys(t *testing.T) {
	pv := pvFor("shop.data", "data", "shop.data", static("rook-ceph", "rbd"))
	r := newRig(t, "shop.data", held(), pv)
	before := len(r.ceph.Calls())
	if _, err := r.prover.Release(t.Context(), r.storage, r.volume(pv), r.spec, Person{}, nil); err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, call := range r.ceph.Calls()[before:] {
		methods = append(methods, call.Method)
	}
	if diff := cmp.Diff([]string{"Image", "Record", "Watchers", "Watchers", "PutRecord"}, methods); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
