package ceph

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckImageName(t *testing.T) {
	tests := map[string]struct {
		name string
		want string
	}{
		"a name with its owner":          {"shop.data-db-0~east", ""},
		"the longest name":               {strings.Repeat("a", 96), ""},
		"one byte more":                  {strings.Repeat("a", 97), "has 97 bytes; librbd takes at most 96: no image can have this name"},
		"bytes count and not letters":    {strings.Repeat("ä", 49), "has 98 bytes; librbd takes at most 96: no image can have this name"},
		"none":                           {"", "it is empty: no image can have this name"},
		"what the rbd command separates": {"north/data", `"north/data" has a character that separates pool, image and snapshot: no image can have this name`},
		"a snapshot":                     {"data@monday", `"data@monday" has a character that separates pool, image and snapshot: no image can have this name`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := CheckImageName(test.name)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrImageName) || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got %v; want %q", err, test.want)
			}
		})
	}
}

func TestLockedError(t *testing.T) {
	tests := map[string]struct {
		err    error
		want   string
		advice string
	}{
		"that passes from one to another": {
			ErrLockPasses,
			"the image is mapped exclusively and cannot be changed now: its lock changes hands faster than one can look",
			Advice(ErrImageLocked),
		},
		"of a client that refuses": {
			&LockedError{Client: "client.7", Addr: "10.0.1.12:0/1", Answers: true},
			"the image is mapped exclusively and cannot be changed now: its lock is held by client.7 at 10.0.1.12:0/1",
			Advice(ErrImageLocked),
		},
		"of a client that is silent": {
			&LockedError{Client: "client.7", Addr: "10.0.1.12:0/1"},
			"the image is mapped exclusively and cannot be changed now: its lock is held by client.7 at 10.0.1.12:0/1, which does not answer",
			"run the same command again in half a minute; if that client is gone for good, fence it first (`ceph osd blocklist add 10.0.1.12:0/1 1576800000`)",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.err.Error(); got != test.want {
				t.Errorf("got %q; want %q", got, test.want)
			}
			if !errors.Is(test.err, ErrImageLocked) {
				t.Error("it is no ErrImageLocked")
			}
			if got := Advice(test.err); got != test.advice {
				t.Errorf("advice is %q; want %q", got, test.advice)
			}
		})
	}
}
