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

// TestEnsureFindsAnOwnersImage: an image that bears its owner's name is found by everybody, so
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
