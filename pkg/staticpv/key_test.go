package staticpv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// TestStaticImage: a handle that is not one of ours is a name as it stands.
func TestStaticImage(t *testing.T) {
	for name, test := range map[string]struct{ handle, image, key string }{
		"without a key":                {"shop.data", "shop.data", ""},
		"with a key":                   {"shop.data~east", "shop.data", "east"},
		"with a key of all characters": {"shop.data-db-0~Eu_west-1.a", "shop.data-db-0", "Eu_west-1.a"},
		"an empty key":                 {"shop.data~", "shop.data~", ""},
		"no image":                     {"~east", "~east", ""},
		"nothing but the separator":    {"~", "~", ""},
		"two keys":                     {"shop.data~east~west", "shop.data~east", "west"},
		"two separators":               {"shop.data~~east", "shop.data~", "east"},
		"empty":                        {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := staticpv.StaticImage(test.handle)
			if diff := cmp.Diff(staticpv.Image{Name: test.image, Key: test.key, Static: true}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.Handle() != test.handle {
				t.Errorf("its handle is %q", got.Handle())
			}
		})
	}
}

func TestFitsKey(t *testing.T) {
	for name, test := range map[string]struct {
		image, key, want string
	}{
		"a usual name":        {"shop.data", "east", ""},
		"the longest name":    {strings.Repeat("a", 91), "east", ""},
		"the longest, no key": {strings.Repeat("a", 96), "", ""},
		"one byte more": {strings.Repeat("a", 92), "east", `claim shop/data: image "` + strings.Repeat("a", 92) + `" must carry the key of its owner, and has 97 bytes with the key "east" of this cluster, ` +
			`more than the 96 that a name of an image may have; choose a shorter name with the annotation cephferry.io/image, or a new image without keys with cephferry.io/keyed: "false"`},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			if err := (staticpv.Plan{Namespace: "shop", Names: staticpv.Names{Claim: "data", Image: test.image}}).FitsKey(test.key); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTooLong(t *testing.T) {
	east, west := ceph.Key{Name: "east", UID: "u-east"}, ceph.Key{Name: "west", UID: "u-west"}
	frankfurt := ceph.Key{Name: "frankfurt", UID: "u-frankfurt"}
	for name, test := range map[string]struct {
		length  int
		keys    []ceph.Key
		want    ceph.Key
		tooLong bool
	}{
		"96 bytes with the longest key":         {86, []ceph.Key{east, frankfurt, west}, frankfurt, false},
		"97 bytes with the longest key":         {87, []ceph.Key{east, frankfurt, west}, frankfurt, true},
		"97 bytes, the longest is first":        {87, []ceph.Key{frankfurt, east}, frankfurt, true},
		"96 bytes with keys of one length":      {91, []ceph.Key{east, west}, east, false},
		"97 bytes with keys of one length":      {92, []ceph.Key{east, west}, east, true},
		"the longest name, and no key":          {96, nil, ceph.Key{}, false},
		"the longest name, and any key":         {96, []ceph.Key{{Name: "e", UID: "u"}}, ceph.Key{Name: "e", UID: "u"}, true},
		"a key that leaves one byte for a name": {1, []ceph.Key{{Name: strings.Repeat("k", 94)}}, ceph.Key{Name: strings.Repeat("k", 94)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := staticpv.TooLong(strings.Repeat("a", test.length), test.keys)
			about := fmt.Sprintf("with the key %q of the cluster with uid %s, more than the 96 ", test.want.Name, test.want.UID)
			if (got != "") != test.tooLong || test.tooLong && !strings.Contains(got, about) {
				t.Errorf("%q; want one about %v: %t", got, test.want, test.tooLong)
			}
		})
	}
}
