package provision_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// claimKey makes a cluster's name its key.
func claimKey(t *testing.T, client ceph.KeyStore, name string) {
	t.Helper()
	if _, err := client.ClaimKey(t.Context(), "replicapool", "tenant", ceph.Party{UID: "uid of " + name, Name: name}); err != nil {
		t.Fatal(err)
	}
}

// keyedImage is what the key makes of a request for image "a".
func keyedImage(cluster provision.ImageCluster, request provision.Request) provision.Request {
	image := spec("a")
	image.Key = request.Key
	request.Volume = provision.Image{Cluster: cluster, ImageSpec: image, Layout: layout}
	return request
}

// TestEnsureFindsAnOwnersImage: an image that carries its owner's name is found by everybody, so
// that nobody makes a second one.
func TestEnsureFindsAnOwnersImage(t *testing.T) {
	no := false
	for name, test := range map[string]struct {
		request provision.Request
		want    provision.Result
		err     error
		changes []string
	}{
		"its owner":                   {request: provision.Request{Key: "east"}, want: provision.Result{Key: "east"}},
		"another cluster":             {request: provision.Request{Key: "west"}, want: provision.Result{Key: "west"}},
		"another cluster, for more":   {request: provision.Request{Key: "west", AtLeast: 2 * gib}, want: provision.Result{Key: "west", Grown: true}, changes: []string{"GrowImage a"}},
		"who has no key":              {err: provision.ErrNoKey},
		"who has none, a look":        {request: provision.Request{Look: true}, err: provision.ErrNoKey},
		"who wants one without":       {request: provision.Request{Keyed: &no}, err: provision.ErrKeyed},
		"who wants one without, west": {request: provision.Request{Key: "west", Keyed: &no}, err: provision.ErrKeyed},
	} {
		t.Run(name, func(t *testing.T) {
			made := image("a", gib, gib)
			made.Keyed = true
			c := newCeph(made)
			client := dial(t, c)
			claimKey(t, client, "east")
			c.RenameImage(spec("a"), "a~east")
			before := changes(c)
			test.request.Size = gib
			result := provision.Ensure(t.Context(), []provision.Request{keyedImage(client, test.request)})[0]
			if !errors.Is(result.Err, test.err) {
				t.Errorf("got %v", result.Err)
			}
			result.Err, result.Features, result.ClaimSize = nil, nil, 0
			if diff := cmp.Diff(test.want, result); diff != "" && test.err == nil {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(append(before, test.changes...), changes(c)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnsureMeetsAnOwnersImage: another cluster makes the image and names it while this one
// is at it. Both get that one, with a key or without.
func TestEnsureMeetsAnOwnersImage(t *testing.T) {
	for _, key := range []string{"west", ""} {
		c := newCeph()
		other := dial(t, c)
		claimKey(t, other, "east")
		begun := false
		c.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
			if call.Method != "CreateImage" || begun {
				return proceed()
			}
			begun = true
			result := provision.Ensure(ctx, []provision.Request{keyedImage(other, provision.Request{Key: "east", Size: gib})})[0]
			if result.Err != nil || !result.Created {
				t.Errorf("east: %+v", result)
			}
			c.RenameImage(spec("a"), "a~east")
			return proceed()
		})
		result := provision.Ensure(t.Context(), []provision.Request{keyedImage(dial(t, c), provision.Request{Key: key, Size: gib})})[0]
		switch {
		case key == "" && !errors.Is(result.Err, provision.ErrNoKey):
			t.Errorf("without a key: %+v", result)
		case key != "" && (result.Err != nil || result.Created || result.Key != key):
			t.Errorf("with a key: %+v", result)
		}
		if _, err := other.Image(t.Context(), spec("a")); !errors.Is(err, ceph.ErrImageNotFound) {
			t.Errorf("key %q: there is a second image: %v", key, err)
		}
	}
}

// TestEnsureFitsAllKeys: an image that is keyed now must carry the longest key, and one that
// exists goes on as it is.
func TestEnsureFitsAllKeys(t *testing.T) {
	no := false
	const name = "abc"
	existing := func(name string, recorded, keyed bool) []cephtest.Image {
		made := image(name, gib, 0)
		if recorded {
			made = image(name, gib, gib)
		}
		made.Keyed = keyed
		return []cephtest.Image{made}
	}
	longest := strings.Repeat("k", 93)
	refused := "there is no key for the image: claim shop/data: image \"abc\" must carry the key of its owner, and would have 97 bytes with the key \"" + longest + "\" of the cluster with uid uid of " + longest +
		", more than the 96 that a name of an image may have, so that cluster could never own it; " +
		"choose a shorter name with the annotation cephferry.io/image, or a new image without keys with cephferry.io/keyed: \"false\""
	for title, test := range map[string]struct {
		images  []cephtest.Image
		other   string
		half    bool
		request provision.Request
		err     string
		changes []string
	}{
		"a new one, 96 bytes":               {other: longest[1:], request: provision.Request{Key: "east"}, changes: []string{"CreateImage abc", "PutRecord abc"}},
		"a new one, 97 bytes":               {other: longest, request: provision.Request{Key: "east"}, err: refused},
		"a new one, half claimed, 97 bytes": {other: longest, half: true, request: provision.Request{Key: "east"}, err: refused},
		"a new one that is not keyed":       {other: longest, request: provision.Request{Key: "east", Keyed: &no}, changes: []string{"CreateImage abc", "PutRecord abc"}},
		"a look at none":                    {other: longest, request: provision.Request{Key: "east", Look: true}},
		"one that is keyed":                 {images: existing(name, true, true), other: longest, request: provision.Request{Key: "east"}},
		"one that is keyed, and grows":      {images: existing(name, true, true), other: longest, request: provision.Request{Key: "east", AtLeast: 2 * gib}, changes: []string{"GrowImage abc"}},
		"one that is not keyed":             {images: existing(name, true, false), other: longest, request: provision.Request{Key: "east"}},
		"one without a record":              {images: existing(name, false, false), other: longest, request: provision.Request{Key: "east"}, changes: []string{"PutRecord abc"}},
		"adopted by its old name, 96 bytes": {images: existing(oldName, false, false), other: longest[1:], request: provision.Request{Key: "east", Adopt: true, OldName: oldName}, changes: []string{"PutRecord abc", "RenameImageFrom abc", "Watchers csi-vol-1"}},
		"adopted by its old name, 97 bytes": {images: existing(oldName, false, false), other: longest, request: provision.Request{Key: "east", Adopt: true, OldName: oldName}, err: refused},
		"adopted without keys":              {images: existing(oldName, false, false), other: longest, request: provision.Request{Key: "east", Keyed: &no, Adopt: true, OldName: oldName}, changes: []string{"PutRecord abc", "RenameImageFrom abc", "Watchers csi-vol-1"}},
		"its adoption died half-way":        {images: existing(oldName, true, true), other: longest, request: provision.Request{Key: "east", Adopt: true, OldName: oldName}, changes: []string{"PutRecord abc", "RenameImageFrom abc", "Watchers csi-vol-1"}},
	} {
		t.Run(title, func(t *testing.T) {
			c := newCeph(test.images...)
			client := dial(t, c)
			claimKey(t, client, "east")
			if test.half {
				c.HalfClaimKey("replicapool", "tenant", test.other, "uid of "+test.other)
			} else {
				claimKey(t, client, test.other)
			}
			test.request.Claim, test.request.Size = "shop/data", gib
			at := spec(name)
			at.Key = test.request.Key
			test.request.Volume = provision.Image{Cluster: client, ImageSpec: at, OldName: test.request.OldName, Layout: layout}
			result := provision.Ensure(t.Context(), []provision.Request{test.request})[0]
			var text string
			if result.Err != nil {
				text = result.Err.Error()
			}
			if text != test.err || test.err != "" && !errors.Is(result.Err, provision.ErrNoKey) {
				t.Errorf("got  %s\nwant %s", text, test.err)
			}
			var made []string
			for _, change := range changes(c) {
				if !strings.HasPrefix(change, "ClaimKey ") && (test.err == "" || !strings.HasPrefix(change, "Watchers ")) {
					made = append(made, change)
				}
			}
			if diff := cmp.Diff(test.changes, made); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEnsureWithoutTheKeys: nothing is made while it is not known which keys there are.
func TestEnsureWithoutTheKeys(t *testing.T) {
	c := newCeph()
	c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Keys" {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	result := provision.Ensure(t.Context(), []provision.Request{keyedImage(dial(t, c), provision.Request{Key: "east", Size: gib})})[0]
	if !errors.Is(result.Err, ceph.ErrUnreachable) || errors.Is(result.Err, provision.ErrNoKey) || len(changes(c)) > 0 {
		t.Errorf("%v, %q", result.Err, changes(c))
	}
}

// TestRequestNamesTheClaim: the refusal of a key says whose image it is.
func TestRequestNamesTheClaim(t *testing.T) {
	plan := staticpv.Plan{Namespace: "shop", Names: staticpv.Names{Claim: "data", Image: "shop.data"}, Class: storageclass.Class{RBD: &storageclass.RBD{Pool: "rbd"}}}
	if got := (provision.Location{Key: "east"}).Request(plan).Claim; got != "shop/data" {
		t.Errorf("got %q", got)
	}
}
