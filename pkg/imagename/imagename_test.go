package imagename

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

const base = "shop.data"

var (
	east = ceph.Party{UID: "u-east", Name: "east"}
	west = ceph.Party{UID: "u-west", Name: "west"}
)

// rig is an image that may carry its owner's name, and a client of west. East has a key.
type rig struct {
	*testing.T
	ceph    *cephtest.Ceph
	storage ceph.Cluster
	self    string
	other   string // another client of west
	image   ceph.Image
}

// newRig is for an image of which prepare has made the names what they are. Its time does
// not have to be waited for.
func newRig(t *testing.T, prepare func(r *rig)) *rig {
	t.Helper()
	r := &rig{T: t}
	r.ceph = cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{
		{Name: base, Layout: ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock"}}, ClaimSize: 1 << 20, Keyed: true},
	}})
	r.storage, r.self = r.dial()
	_, r.other = r.dial()
	if _, err := r.storage.ClaimKey(t.Context(), "rbd", "", east); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(r)
	}
	var err error
	if r.image, err = r.storage.Image(t.Context(), of("west")); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) dial() (ceph.Cluster, string) {
	r.Helper()
	storage, err := r.ceph.Dial(r.Context(), cephtest.Provisioner)
	if err != nil {
		r.Fatal(err)
	}
	self, err := storage.Self(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return storage, self
}

func of(key string) ceph.ImageSpec { return ceph.ImageSpec{Pool: "rbd", Name: base, Key: key} }

// by is an image by exactly that name.
func by(name string) ceph.ImageSpec { return ceph.ImageSpec{Pool: "rbd", Name: name} }

func (r *rig) take(renamers ...string) (ceph.Image, *ceph.LockedError, error) {
	return Take(r.Context(), r.storage, r.image, west, append(renamers, r.self), r.self)
}

// carries checks which names lead to the image.
func (r *rig) carries(names ...string) {
	r.Helper()
	got, err := r.storage.ImageNames(r.Context(), r.image, base, base+"~east", base+"~west")
	if err != nil || !slices.Equal(got, names) {
		r.Errorf("the image has the names %q, %v; want %q", got, err, names)
	}
}

// fenced checks who is on the blocklist, for good.
func (r *rig) fenced(want ...string) {
	r.Helper()
	entries, err := r.storage.Blocklisted(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		if time.Until(entry.Until) > 24*365*time.Hour {
			got = append(got, entry.Addr)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("on the blocklist -want +got:\n%s", diff)
	}
}

func (r *rig) methods() []string {
	var methods []string
	for _, call := range r.ceph.Calls() {
		methods = append(methods, call.Method)
	}
	return methods
}

func TestTake(t *testing.T) {
	tests := map[string]func(r *rig){
		"an image that nobody owned":           func(*rig) {},
		"an image that has the name":           func(r *rig) { r.ceph.RenameImage(by(base), base+"~west") },
		"an image that has another one's name": func(r *rig) { r.ceph.RenameImage(by(base), base+"~east") },
		"a rename that died early":             func(r *rig) { r.ceph.HalfRenameImage(by(base), base+"~west", false) },
		"a rename that died late":              func(r *rig) { r.ceph.HalfRenameImage(by(base), base+"~west", true) },
		"a rename of the last owner that died": func(r *rig) { r.ceph.HalfRenameImage(by(base), base+"~east", false) },
		"one that gave it back and died": func(r *rig) {
			r.ceph.RenameImage(by(base), base+"~east")
			r.ceph.HalfRenameImage(by(base+"~east"), base, true)
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, prepare)
			got, holder, err := r.take()
			if err != nil || holder != nil {
				t.Fatalf("%v, %v", holder, err)
			}
			if got.Named != base+"~west" || got.ImageSpec != of("west") || got.ID != r.image.ID {
				t.Errorf("got %+v", got)
			}
			r.carries(base + "~west")
			r.fenced()
			if key, err := r.storage.ClaimKey(t.Context(), "rbd", "", west); key != "west" || err != nil {
				t.Errorf("the key is %q, %v", key, err)
			}
		})
	}
}

func TestTakeIsRefused(t *testing.T) {
	tests := map[string]struct {
		prepare func(r *rig)
		key     string // in the handle
		names   []string
		want    string
	}{
		"the key of another cluster": {
			key: "east", names: []string{base},
			want: `the volumeHandle "shop.data~east" has the key "east", and that of cluster west is "west"` +
				"\n  do this   delete the PersistentVolume and let it be created again in this cluster",
		},
		"a cluster that has no key, because another one of its name was first": {
			prepare: func(r *rig) {
				if _, err := r.storage.ClaimKey(r.Context(), "rbd", "", ceph.Party{UID: "u-3", Name: "west"}); err != nil {
					r.Fatal(err)
				}
			},
			key: "west", names: []string{base},
			want: `another cluster (uid u-3) is called "west" too, and was first` +
				"\n  do this   give this cluster another name, with the value cluster.name of the chart",
		},
		"two images": {
			prepare: func(r *rig) {
				r.ceph.RenameImage(by(base), base+"~east")
				if _, err := r.storage.CreateImage(r.Context(), by(base), ceph.Layout{Size: 1}); err != nil {
					r.Fatal(err)
				}
				r.ceph.RenameImage(by(base+"~east"), base+"~west")
			},
			key: "west", names: []string{base + "~west"},
			want: "there are two images of that name: shop.data~west with the id ",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.prepare)
			r.image.Key = test.key
			_, _, err := r.take()
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v; want %s", err, test.want)
			}
			r.carries(test.names...)
			r.fenced()
		})
	}
}

// Another replica that is at it is waited for, and not fenced.
func TestTakeLeavesItToWhoGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.ceph.HalfRenameImage(by(base), base+"~west", false) })
		looks := 0
		r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
			if call.Method == "ImageNames" {
				if looks++; looks == 3 {
					r.ceph.RenameImage(by(base), base+"~west")
				}
			}
			return proceed()
		})
		if _, _, err := r.take(r.other); err != nil {
			t.Fatal(err)
		}
		r.carries(base + "~west")
		r.fenced()
	})
}

// One that has stopped could go on where it was: it is fenced before its work is mended.
func TestTakeFencesWhoHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, listed := range []bool{false, true} {
			r := newRig(t, func(r *rig) { r.ceph.HalfRenameImage(by(base), base+"~west", listed) })
			if _, _, err := r.take(r.other); err != nil {
				t.Fatal(err)
			}
			r.carries(base + "~west")
			r.fenced(r.other)
			order := slices.DeleteFunc(r.methods(), func(m string) bool {
				return m != "Blocklist" && m != "Barrier" && m != "RenameImage"
			})
			if diff := cmp.Diff([]string{"Blocklist", "Barrier", "RenameImage"}, order); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
	})
}

// One that died with the image's lock is fenced before anybody takes that over: librbd and
// krbd would have Ceph fence it for an hour, which nobody can prolong.
func TestTakeFencesWhoDiedWithTheLock(t *testing.T) {
	for _, name := range []string{base, base + "~west"} {
		t.Run("of "+name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				dead := ceph.Watcher{Addr: r.other, Client: "client.2", Cookie: 1}
				if _, err := r.ceph.OpenImage(by(base), dead); err != nil {
					r.Fatal(err)
				}
				r.ceph.RemoveWatcher(by(base), dead)
				r.ceph.RenameImage(by(base), name)
			})
			r.ceph.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "RenameImage" {
					r.ceph.Intercept(nil)
					r.fenced(r.other)
				}
				return proceed()
			})
			if _, holder, err := r.take(r.other); err != nil || holder != nil {
				t.Fatalf("%v, %v", holder, err)
			}
			r.carries(base + "~west")
			r.fenced(r.other)
		})
	}
}

// Anybody else who has the lock and is silent is the caller's to judge, and keeps it.
func TestTakeFencesNobodyElse(t *testing.T) {
	stranger := ceph.Watcher{Addr: "10.0.1.11:0/1", Client: "client.4", Cookie: 1}
	locked := func(name string) func(r *rig) {
		return func(r *rig) {
			r.ceph.RenameImage(by(base), name)
			if _, err := r.ceph.OpenImage(by(name), stranger); err != nil {
				r.Fatal(err)
			}
			r.ceph.RemoveWatcher(by(name), stranger)
		}
	}
	r := newRig(t, locked(base+"~west"))
	if _, holder, err := r.take(r.other); err != nil || holder == nil || holder.Addr != stranger.Addr || holder.Answers {
		t.Errorf("got %v, %v", holder, err)
	}
	r.fenced()

	r = newRig(t, locked(base))
	_, _, err := r.take(r.other)
	if locked := new(ceph.LockedError); !errors.As(err, &locked) || locked.Addr != stranger.Addr {
		t.Errorf("got %v", err)
	}
	r.carries(base)
	r.fenced()
}

func TestGiveBack(t *testing.T) {
	tests := map[string]struct {
		prepare  func(r *rig)
		key      string
		meantime func(r *rig)
		want     []string
		calls    int
	}{
		"an image with this cluster's name":   {func(r *rig) { r.ceph.RenameImage(by(base), base+"~west") }, "west", nil, []string{base}, 2},
		"an image with its base name":         {nil, "west", nil, []string{base}, 0},
		"an image with another one's name":    {func(r *rig) { r.ceph.RenameImage(by(base), base+"~east") }, "west", nil, []string{base + "~east"}, 0},
		"an image that is not keyed":          {nil, "", nil, []string{base}, 0},
		"an image that is acquired meanwhile": {func(r *rig) { r.ceph.RenameImage(by(base), base+"~west") }, "west", func(r *rig) { r.ceph.RenameImage(by(base+"~west"), base+"~east") }, []string{base + "~east"}, 2},
		"an image that is removed meanwhile":  {func(r *rig) { r.ceph.RenameImage(by(base), base+"~west") }, "west", func(r *rig) { r.ceph.RemoveImage(by(base + "~west")) }, nil, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				if _, err := r.storage.ClaimKey(t.Context(), "rbd", "", west); err != nil {
					t.Fatal(err)
				}
				if test.prepare != nil {
					test.prepare(r)
				}
			})
			r.image.Key = test.key
			if test.meantime != nil {
				test.meantime(r)
			}
			before := len(r.ceph.Calls())
			if err := GiveBack(t.Context(), r.storage, r.image); err != nil {
				t.Error(err)
			}
			if got := len(r.ceph.Calls()) - before; got != test.calls {
				t.Errorf("%d calls; want %d", got, test.calls)
			}
			if test.want != nil {
				r.carries(test.want...)
			}
		})
	}
}

func TestCutOffNobody(t *testing.T) {
	r := newRig(t, nil)
	before := len(r.ceph.Calls())
	if err := CutOff(t.Context(), r.storage, r.image.ImageSpec, nil); err != nil {
		t.Error(err)
	}
	if got := len(r.ceph.Calls()); got != before {
		t.Errorf("%d calls", got-before)
	}
}
