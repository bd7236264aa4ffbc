package ceph

import (
	"errors"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	tests := map[string]struct{ name, base, key string }{
		"nobody's":                {"shop.data-db-0", "shop.data-db-0", ""},
		"a cluster's":             {"shop.data-db-0~east", "shop.data-db-0", "east"},
		"with another separator":  {"old~name~east", "old~name", "east"},
		"a key with dots":         {"shop.data~prod.east-1", "shop.data", "prod.east-1"},
		"no name":                 {"", "", ""},
		"of somebody else's idea": {"csi-vol-0f3a", "csi-vol-0f3a", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if base, key := SplitName(test.name); base != test.base || key != test.key {
				t.Errorf("split: got %q and %q; want %q and %q", base, key, test.base, test.key)
			}
			if joined := JoinName(test.base, test.key); joined != test.name {
				t.Errorf("joined: got %q; want %q", joined, test.name)
			}
		})
	}
	for _, whole := range []string{"~", "~east", "shop.data~"} {
		if base, key := SplitName(whole); base != whole || key != "" {
			t.Errorf("%q: got %q and %q; want a base name as a whole", whole, base, key)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for _, key := range []string{"east", "prod.east-1", "Prod_East", strings.Repeat("a", 94)} {
		if err := CheckKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range []string{"", "a~b", "~", "a/b", "a@b", strings.Repeat("a", 95)} {
		if err := CheckKey(key); !errors.Is(err, ErrKey) {
			t.Errorf("%q: got %v; want %v", key, err, ErrKey)
		}
	}
}

func TestKeyedSpec(t *testing.T) {
	keyed := ImageSpec{Pool: "rbd", Namespace: "north", Name: "shop.data", Key: "east"}
	unkeyed := ImageSpec{Pool: "rbd", Namespace: "north", Name: "shop.data"}
	if got := keyed.Own(); got != "shop.data~east" {
		t.Errorf("own name is %q", got)
	}
	if got := unkeyed.Own(); got != "shop.data" {
		t.Errorf("own name of an image without keys is %q", got)
	}
	if keyed.Base() != unkeyed || unkeyed.Base() != unkeyed {
		t.Errorf("base specs are %v and %v", keyed.Base(), unkeyed.Base())
	}
	if got := keyed.String(); got != "rbd/north/shop.data" {
		t.Errorf("it is printed as %q; want its base name", got)
	}
}

func TestKeyTakenError(t *testing.T) {
	err := error(&KeyTakenError{Key: "east", UID: "7a3f"})
	if !errors.Is(err, ErrKeyTaken) || Advice(err) == "" {
		t.Errorf("%v: advice %q", err, Advice(err))
	}
	want := `the key of another cluster: "east" is that of the cluster with uid 7a3f`
	if err.Error() != want {
		t.Errorf("got %q; want %q", err, want)
	}
}
