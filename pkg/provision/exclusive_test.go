package provision_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/provision"
)

// read is the record of image "a", which has one.
func read(t *testing.T, c *cephtest.Ceph) (ceph.Image, ceph.Record) {
	t.Helper()
	client := dial(t, c)
	image, err := client.Image(t.Context(), spec("a"))
	if err != nil {
		t.Fatal(err)
	}
	record, err := client.Record(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	return image, record
}

// TestEnsureExclusive: the first request decides how the image is mapped, and all
// later ones are told.
func TestEnsureExclusive(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		first, later provision.Request
		want         bool
	}{
		"as new images are":          {first: provision.Request{NewExclusive: true}, want: true},
		"as asked for":               {first: provision.Request{Exclusive: &yes}, want: true},
		"as it was asked not to":     {first: provision.Request{Exclusive: &no}, later: provision.Request{NewExclusive: true}},
		"as new images were":         {later: provision.Request{NewExclusive: true}},
		"as it was made, for a look": {first: provision.Request{NewExclusive: true}, later: provision.Request{Look: true}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCeph()
			for _, request := range []provision.Request{test.first, test.later} {
				request.Volume, request.Size = provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, gib
				result := provision.Ensure(t.Context(), []provision.Request{request})[0]
				if result.Err != nil || result.Exclusive != test.want {
					t.Errorf("got %+v, want Exclusive %t", result, test.want)
				}
			}
			if _, record := read(t, c); record.Exclusive != test.want {
				t.Errorf("the record says %t", record.Exclusive)
			}
		})
	}
}

// TestEnsureKeyed: the first request decides whether the image is keyed and its mappings
// are private, and all later ones are told.
func TestEnsureKeyed(t *testing.T) {
	no := false
	for name, test := range map[string]struct {
		first, later   provision.Request
		keyed, private bool
	}{
		"with a key":                    {first: provision.Request{Key: "east"}, later: provision.Request{Key: "west"}, keyed: true},
		"with a key, for a look":        {first: provision.Request{Key: "east"}, later: provision.Request{Key: "west", Look: true}, keyed: true},
		"as it was asked not to":        {first: provision.Request{Key: "east", Keyed: &no}, later: provision.Request{Key: "west"}},
		"as it was made without a key":  {later: provision.Request{Key: "west"}},
		"private":                       {first: provision.Request{NewPrivate: true}, private: true},
		"private, for another program":  {later: provision.Request{NewPrivate: true}},
		"both, and adopted in the west": {first: provision.Request{Key: "east", NewPrivate: true}, later: provision.Request{Key: "west", Adopt: true}, keyed: true, private: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCeph()
			for _, request := range []provision.Request{test.first, test.later} {
				request.Volume, request.Size = provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, gib
				result := provision.Ensure(t.Context(), []provision.Request{request})[0]
				key := ""
				if test.keyed {
					key = request.Key
				}
				if result.Err != nil || result.Key != key || result.Private != test.private {
					t.Errorf("got %+v, want key %q, private %t", result, key, test.private)
				}
			}
			if _, record := read(t, c); record.Keyed != test.keyed || record.Private != test.private {
				t.Errorf("the record says keyed %t, private %t", record.Keyed, record.Private)
			}
		})
	}
}

// TestEnsureOtherKeys: who asks for other keys than the image has is refused before
// anything is changed, and so is who has none.
func TestEnsureOtherKeys(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		first, later provision.Request
		want         error
	}{
		"keyed, asked not to":          {provision.Request{Key: "east"}, provision.Request{Key: "east", Keyed: &no}, provision.ErrKeyed},
		"keyed, no key":                {provision.Request{Key: "east"}, provision.Request{}, provision.ErrNoKey},
		"not keyed, asked for":         {provision.Request{}, provision.Request{Key: "east", Keyed: &yes}, provision.ErrKeyed},
		"asked for without having one": {provision.Request{Key: "east"}, provision.Request{Keyed: &yes}, provision.ErrNoKey},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCeph()
			ensure := func(request provision.Request, size uint64) error {
				request.Volume, request.Size = provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, size
				return provision.Ensure(t.Context(), []provision.Request{request})[0].Err
			}
			if err := ensure(test.first, gib); err != nil {
				t.Fatal(err)
			}
			_, before := read(t, c)
			if err := ensure(test.later, 2*gib); !errors.Is(err, test.want) {
				t.Errorf("got %v", err)
			}
			if image, after := read(t, c); image.Size != gib || after.Revision != before.Revision {
				t.Errorf("the image has %d bytes, its record is %+v", image.Size, after)
			}
		})
	}
}

// TestEnsureExclusiveAtOnce: of two that make the image at once, the later one
// takes it for new as well, and both have the mode that was recorded.
func TestEnsureExclusiveAtOnce(t *testing.T) {
	c := newCeph()
	other := dial(t, c)
	made := false
	c.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "CreateImage" && !made {
			made = true
			if _, err := other.CreateImage(ctx, spec("a"), ceph.Layout{Size: gib, Features: layout.Features}); err != nil {
				t.Error(err)
			}
		}
		return proceed()
	})
	request := provision.Request{Volume: provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, Size: gib, NewExclusive: true}
	result := provision.Ensure(t.Context(), []provision.Request{request})[0]
	if result.Err != nil || !result.Exclusive || result.Created {
		t.Errorf("got %+v", result)
	}
	if _, record := read(t, c); !record.Exclusive {
		t.Error("the record says otherwise")
	}
}

// TestEnsureDefersGrowth: an image that is mapped exclusively cannot grow, so its
// record says what it is to become.
func TestEnsureDefersGrowth(t *testing.T) {
	c := newCeph()
	request := provision.Request{Volume: provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, Size: 8 * gib, NewExclusive: true}
	if result := provision.Ensure(t.Context(), []provision.Request{request})[0]; result.Err != nil {
		t.Fatal(result.Err)
	}
	unlock := c.LockImage(spec("a"))
	type state struct {
		Size, Wish      uint64
		Grown, Deferred bool
		Summary         []string
		Changes         int // of the record
	}
	const inUse = "image replicapool/tenant/a is in use, and grows to "
	const later = " when its workload starts the next time"
	for _, step := range []struct {
		what    string
		request uint64
		unlock  bool
		want    state
	}{
		{"larger", 10 * gib, false, state{Size: 8 * gib, Wish: 10 * gib, Deferred: true, Summary: []string{inUse + "10Gi" + later}, Changes: 1}},
		{"the same again", 10 * gib, false, state{Size: 8 * gib, Wish: 10 * gib, Deferred: true, Summary: []string{inUse + "10Gi" + later}}},
		{"larger still", 12 * gib, false, state{Size: 8 * gib, Wish: 12 * gib, Deferred: true, Summary: []string{inUse + "12Gi" + later}, Changes: 1}},
		{"less, which a wish does not become", 11 * gib, false, state{Size: 8 * gib, Wish: 12 * gib, Deferred: true, Summary: []string{inUse + "11Gi" + later}}},
		{"the size it has", 8 * gib, false, state{Size: 8 * gib, Wish: 12 * gib}},
		{"less, when it is free", 11 * gib, true, state{Size: 11 * gib, Wish: 12 * gib, Grown: true, Summary: []string{"grew image replicapool/tenant/a to 11Gi"}}},
		{"all of it", 12 * gib, false, state{Size: 12 * gib, Grown: true, Summary: []string{"grew image replicapool/tenant/a to 12Gi"}, Changes: 1}},
	} {
		if step.unlock {
			unlock()
		}
		request.Size = step.request
		requests := []provision.Request{request}
		_, before := read(t, c)
		results := provision.Ensure(t.Context(), requests)
		if results[0].Err != nil || results[0].ClaimSize != 8*gib || !results[0].Exclusive {
			t.Errorf("%s: %+v", step.what, results[0])
		}
		image, record := read(t, c)
		got := state{image.Size, record.GrowTo, results[0].Grown, results[0].Deferred, provision.Summary(requests, results), 0}
		if record.Revision != before.Revision {
			got.Changes = 1
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
}

// TestEnsureDefersWithItsOwner: the wish leaves the rest of the record as it is.
func TestEnsureDefersWithItsOwner(t *testing.T) {
	locking := image("a", 8*gib, 8*gib)
	locking.Layout.Features = layout.Features
	c := newCeph(locking)
	found, before := read(t, c)
	before.Exclusive, before.State, before.Epoch, before.Admissions = true, ceph.Held, 3, 5
	before.Owner = &ceph.Owner{Party: ceph.Party{UID: "7a", Name: "east"}}
	before.Pending = []string{"f8"}
	before, err := dial(t, c).PutRecord(t.Context(), found, before)
	if err != nil {
		t.Fatal(err)
	}
	defer c.LockImage(spec("a"))()
	request := provision.Request{Volume: provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, Size: 9 * gib}
	if result := provision.Ensure(t.Context(), []provision.Request{request})[0]; result.Err != nil {
		t.Error(result.Err)
	}
	_, after := read(t, c)
	before.GrowTo, before.Token, before.Revision = 9*gib, after.Token, after.Revision
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestEnsureOtherMode: whoever asks for the other mode is refused before anything
// is changed.
func TestEnsureOtherMode(t *testing.T) {
	c := newCeph(image("a", 8*gib, 8*gib))
	yes := true
	request := provision.Request{Volume: provision.Image{Cluster: dial(t, c), ImageSpec: spec("a"), Layout: layout}, Size: 9 * gib, Exclusive: &yes}
	result := provision.Ensure(t.Context(), []provision.Request{request})[0]
	if !errors.Is(result.Err, provision.ErrMode) {
		t.Errorf("got %v", result.Err)
	}
	if diff := cmp.Diff([]string(nil), changes(c)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
