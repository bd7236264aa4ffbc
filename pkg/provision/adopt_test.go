package provision_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/provision"
)

const oldName = "csi-vol-1"

// adoption asks for image "csi-vol-1" as "a".
func adoption(cluster provision.ImageCluster, request provision.Request) provision.Request {
	request.Adopt, request.OldName = true, oldName
	if request.Size == 0 {
		request.Size = gib
	}
	image := spec("a")
	image.Key = request.Key
	request.Volume = provision.Image{Cluster: cluster, ImageSpec: image, OldName: oldName, Layout: layout}
	return request
}

// led are the names that lead to an image, with its id and whether its record is keyed.
func led(t *testing.T, c *cephtest.Ceph, names ...string) map[string]string {
	t.Helper()
	client := dial(t, c)
	all := map[string]string{}
	for _, name := range names {
		image, err := client.Image(t.Context(), spec(name))
		if errors.Is(err, ceph.ErrImageNotFound) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		record, err := client.Record(t.Context(), image)
		switch {
		case errors.Is(err, ceph.ErrRecordNotFound):
			all[name] = image.ID + " without a record"
		case err != nil:
			t.Fatal(err)
		default:
			all[name] = fmt.Sprintf("%s keyed %t private %t size %d", image.ID, record.Keyed, record.Private, record.ClaimSize/gib)
		}
	}
	return all
}

func TestEnsureRenamesWhatItAdopts(t *testing.T) {
	no := false
	watcher := ceph.Watcher{Addr: "10.0.0.1:0/7", Client: "client.7", Cookie: 1}
	recorded := image(oldName, gib, gib)
	keyed := recorded
	keyed.Keyed = true
	owned := func(t *testing.T, c *cephtest.Ceph) {
		client := dial(t, c)
		found, err := client.Image(t.Context(), spec(oldName))
		if err != nil {
			t.Fatal(err)
		}
		record := ceph.Record{ClaimSize: gib, State: ceph.Held, Owner: &ceph.Owner{Party: ceph.Party{UID: "1", Name: "west"}, Namespace: "shop", Claim: "files"}}
		if _, err := client.PutRecord(t.Context(), found, record); err != nil {
			t.Fatal(err)
		}
	}
	const inUse = "the image cannot get another name now: image csi-vol-1 is to become replicapool/tenant/a, and it is "
	tests := map[string]struct {
		images  []cephtest.Image
		before  func(*testing.T, *cephtest.Ceph)
		request provision.Request
		want    provision.Result
		err     string
		led     map[string]string
	}{
		"it has its old name": {
			images: []cephtest.Image{image(oldName, gib, 0)}, request: provision.Request{Key: "east", NewPrivate: true},
			want: provision.Result{ClaimSize: gib, Key: "east", Private: true, Renamed: true},
			led:  map[string]string{"a": "1 keyed true private true size 1"},
		},
		"it is smaller": {
			images: []cephtest.Image{image(oldName, gib, 0)}, request: provision.Request{Key: "east", Size: 2 * gib},
			want: provision.Result{ClaimSize: 2 * gib, Key: "east", Renamed: true, Grown: true},
			led:  map[string]string{"a": "1 keyed true private false size 2"},
		},
		"it has a record that says otherwise": {
			images: []cephtest.Image{recorded}, request: provision.Request{Key: "east", NewPrivate: true},
			want: provision.Result{ClaimSize: gib, Key: "east", Private: true, Renamed: true},
			led:  map[string]string{"a": "1 keyed true private true size 1"},
		},
		"without keys": {
			images: []cephtest.Image{image(oldName, gib, 0)}, request: provision.Request{Key: "east", Keyed: &no, NewPrivate: true},
			want: provision.Result{ClaimSize: gib, Renamed: true},
			led:  map[string]string{"a": "1 keyed false private false size 1"},
		},
		"renaming died after the record": {
			images: []cephtest.Image{keyed}, request: provision.Request{Key: "east"},
			want: provision.Result{ClaimSize: gib, Key: "east", Renamed: true},
			led:  map[string]string{"a": "1 keyed true private false size 1"},
		},
		"renaming died with both names": {
			images: []cephtest.Image{keyed}, request: provision.Request{Key: "east"},
			before: func(_ *testing.T, c *cephtest.Ceph) { c.HalfRenameImage(spec(oldName), "a", false) },
			want:   provision.Result{ClaimSize: gib, Key: "east", Renamed: true},
			led:    map[string]string{"a": "1 keyed true private false size 1"},
		},
		"renaming died with both names, the new one listed": {
			images: []cephtest.Image{keyed}, request: provision.Request{Key: "east"},
			before: func(_ *testing.T, c *cephtest.Ceph) { c.HalfRenameImage(spec(oldName), "a", true) },
			want:   provision.Result{ClaimSize: gib, Key: "east", Renamed: true},
			led:    map[string]string{"a": "1 keyed true private false size 1"},
		},
		"it was adopted before": {
			images: []cephtest.Image{keyed}, request: provision.Request{Key: "east"},
			before: func(_ *testing.T, c *cephtest.Ceph) { c.RenameImage(spec(oldName), "a") },
			want:   provision.Result{ClaimSize: gib, Key: "east", NoOldName: true},
			led:    map[string]string{"a": "1 keyed true private false size 1"},
		},
		"another cluster has adopted and owns it": {
			images: []cephtest.Image{keyed}, request: provision.Request{Key: "east"},
			before: func(t *testing.T, c *cephtest.Ceph) {
				claimKey(t, dial(t, c), "west")
				c.RenameImage(spec(oldName), "a~west")
			},
			want: provision.Result{ClaimSize: gib, Key: "east", NoOldName: true},
			led:  map[string]string{"a~west": "1 keyed true private false size 1"},
		},
		"there is none": {
			request: provision.Request{Key: "east"},
			err:     "adopt image replicapool/tenant/a, which was csi-vol-1: the image does not exist",
		},
		"the new name is another's": {
			images: []cephtest.Image{image(oldName, gib, 0), image("a", gib, 0)}, request: provision.Request{Key: "east"},
			err: "two images are meant: replicapool/tenant/a has the id 2, and csi-vol-1, which is to get that name, has the id 1; find out which one has the data, and give the other one a name of its own with `rbd rename`",
			led: map[string]string{oldName: "1 without a record", "a": "2 without a record"},
		},
		"somebody has it open": {
			images: []cephtest.Image{image(oldName, gib, 0)}, request: provision.Request{Key: "east"},
			before: func(_ *testing.T, c *cephtest.Ceph) { c.AddWatcher(spec(oldName), watcher) },
			err:    inUse + "open at 10.0.0.1:0/7; stop what uses it there",
			led:    map[string]string{oldName: "1 without a record"},
		},
		"a cluster owns it": {
			images: []cephtest.Image{image(oldName, gib, 0)}, request: provision.Request{Key: "east"},
			before: owned,
			err:    inUse + "cluster west's, for claim shop/files; release it first",
			led:    map[string]string{oldName: "1 keyed false private false size 1"},
		},
		"who asks has no key": {
			images: []cephtest.Image{image(oldName, gib, 0)},
			err: "there is no key for the image: image replicapool/tenant/a must carry the name of the cluster that owns it when it is adopted; " +
				"render with --create client --cluster-name NAME, the name that the chart cephferry has as cluster.name here, or with --create cluster where its value provisioner.keyed is true; " +
				"or write cephferry.io/keyed: \"false\" for an image that gets its new name and no key",
			led: map[string]string{oldName: "1 without a record"},
		},
		"its lock is held": {
			images: []cephtest.Image{keyed}, request: provision.Request{Key: "east"},
			before: func(_ *testing.T, c *cephtest.Ceph) { c.LockImage(spec(oldName)) },
			err:    "RenameImageFrom: the image is mapped exclusively and cannot be changed now", led: map[string]string{oldName: "1 keyed true private false size 1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCeph(test.images...)
			claimKey(t, dial(t, c), "east")
			if test.before != nil {
				test.before(t, c)
			}
			// The second time finds what the first one has left.
			second := again(test.want)
			second.NoOldName = true
			for _, want := range []provision.Result{test.want, second} {
				got := provision.Ensure(t.Context(), []provision.Request{adoption(dial(t, c), test.request)})[0]
				text := ""
				if got.Err != nil {
					text = got.Err.Error()
				}
				if text != test.err {
					t.Errorf("got  %s\nwant %s", text, test.err)
				}
				if got.Err != nil {
					continue
				}
				got.Features = nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
			want := test.led
			if want == nil {
				want = map[string]string{}
			}
			if diff := cmp.Diff(want, led(t, c, oldName, "a", "a~east", "a~west")); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// again is the result when everything is done.
func again(result provision.Result) provision.Result {
	result.Renamed, result.Grown = false, false
	return result
}

// TestEnsureAdoptsAfterAnInterruption: at whatever call it dies, whether Ceph has carried
// that out or not, the next run ends with one image of one name, and never makes another.
func TestEnsureAdoptsAfterAnInterruption(t *testing.T) {
	for _, method := range []string{"Image", "Record", "Watchers", "Keys", "PutRecord", "RenameImageFrom", "GrowImage"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %t", method, done), func(t *testing.T) {
				c := newCeph(image(oldName, gib, 0))
				client := dial(t, c)
				claimKey(t, client, "east")
				request := adoption(client, provision.Request{Key: "east", Size: 2 * gib, NewPrivate: true})
				c.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
					if call.Method != method {
						return proceed()
					}
					if done {
						_ = proceed() // the answer is lost, whatever it is
					}
					return ceph.ErrUnreachable
				})
				if result := provision.Ensure(t.Context(), []provision.Request{request})[0]; !errors.Is(result.Err, ceph.ErrUnreachable) {
					t.Fatalf("it went through: %+v", result)
				}
				c.Intercept(nil)
				result := provision.Ensure(t.Context(), []provision.Request{request})[0]
				if result.Err != nil || result.Key != "east" || !result.Private || result.ClaimSize != 2*gib || result.Created {
					t.Errorf("got %+v", result)
				}
				if diff := cmp.Diff(map[string]string{"a": "1 keyed true private true size 2"}, led(t, c, oldName, "a", "a~east")); diff != "" {
					t.Errorf("names (-want +got):\n%s", diff)
				}
				if size := look(t, c, "a").Size; size != 2*gib {
					t.Errorf("it has %d bytes", size)
				}
			})
		}
	}
}

// TestEnsureAdoptsOnce: of two claims that take one image by its old name, one gets it.
func TestEnsureAdoptsOnce(t *testing.T) {
	for _, recorded := range []bool{false, true} {
		made := image(oldName, gib, 0)
		if recorded {
			made = image(oldName, gib, gib)
			made.Keyed = true
		}
		c := newCeph(made)
		client := dial(t, c)
		claimKey(t, client, "east")
		first := adoption(client, provision.Request{Key: "east"})
		second := first
		other := spec("b")
		other.Key = "east"
		second.Volume = provision.Image{Cluster: client, ImageSpec: other, OldName: oldName, Layout: layout}
		begun := false
		c.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
			if call.Method == "RenameImageFrom" && !begun {
				begun = true
				if result := provision.Ensure(ctx, []provision.Request{second})[0]; result.Err != nil {
					t.Errorf("recorded %t: the second one: %+v", recorded, result)
				}
			}
			return proceed()
		})
		if result := provision.Ensure(t.Context(), []provision.Request{first})[0]; !errors.Is(result.Err, ceph.ErrImageNotFound) {
			t.Errorf("recorded %t: the first one: %+v", recorded, result)
		}
		names := led(t, c, oldName, "a", "b")
		if _, ok := names["b"]; !ok || len(names) != 1 {
			t.Errorf("recorded %t: %v", recorded, names)
		}
	}
}

// TestDeny: who may not use the old name gets an image that was adopted, and no other.
func TestDeny(t *testing.T) {
	denied := errors.New("not granted")
	for name, test := range map[string]struct {
		adopted bool
		err     error
	}{
		"adopted before": {true, nil},
		"not yet":        {false, denied},
	} {
		t.Run(name, func(t *testing.T) {
			keyed := image(oldName, gib, gib)
			keyed.Keyed = true
			c := newCeph(keyed)
			if test.adopted {
				c.RenameImage(spec(oldName), "a")
			}
			result := provision.Ensure(t.Context(), []provision.Request{adoption(dial(t, c), provision.Request{Key: "east"}).Deny(denied)})[0]
			if !errors.Is(result.Err, test.err) || result.Renamed {
				t.Errorf("got %+v", result)
			}
			for _, call := range c.Calls() {
				if call.Image.Name == oldName {
					t.Errorf("%s was called for the old name", call.Method)
				}
			}
		})
	}
}
