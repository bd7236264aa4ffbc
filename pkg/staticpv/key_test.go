package staticpv_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
		"two keys":                     {"shop.data~east~west", "shop.data~east~west", ""},
		"two separators":               {"shop.data~~east", "shop.data~~east", ""},
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
