package cephtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// keySpace is the rados namespace where clusters have the keys that the suite tries.
const keySpace = "keys"

func (s suite) keys(t *testing.T) {
	cluster := s.connect(t, Operator)
	observer := s.connect(t, Observer)
	claim := func(uid, name string) (string, error) {
		return cluster.ClaimKey(t.Context(), mainPool, keySpace, ceph.Party{UID: uid, Name: name})
	}
	wantKeys := func(t *testing.T, want ...ceph.Key) {
		t.Helper()
		keys, err := observer.Keys(t.Context(), mainPool, keySpace)
		wantError(t, err, nil)
		wantSame(t, keys, want)
	}
	wantKey := func(t *testing.T, uid, name, want string) {
		t.Helper()
		key, err := claim(uid, name)
		wantError(t, err, nil)
		wantSame(t, key, want)
	}
	wantTaken := func(t *testing.T, uid, name, by string) {
		t.Helper()
		key, err := claim(uid, name)
		wantError(t, err, ceph.ErrKeyTaken)
		wantSame(t, key, "")
		var taken *ceph.KeyTakenError
		if errors.As(err, &taken) {
			wantSame(t, *taken, ceph.KeyTakenError{Key: name, UID: by})
		} else {
			t.Errorf("%v does not say who has it", err)
		}
	}

	t.Run("none, and none that is no key", func(t *testing.T) {
		wantKeys(t)
		for _, name := range []string{"", "a~b", "a/b"} {
			_, err := claim("uid-1", name)
			wantError(t, err, ceph.ErrKey)
		}
		if _, err := claim("", "east"); err == nil {
			t.Error("a cluster without uid has a key")
		}
		wantKeys(t)
	})

	t.Run("are fixed when they are claimed first", func(t *testing.T) {
		wantKey(t, "uid-1", "south", "south")
		wantKey(t, "uid-1", "south", "south")
		wantKey(t, "uid-1", "north", "south")
		wantKey(t, "uid-1", "no/key", "south")
		wantKeys(t, ceph.Key{Name: "south", UID: "uid-1"})
		wantTaken(t, "uid-2", "south", "uid-1")
		wantKey(t, "uid-2", "north", "north")
		wantKey(t, "uid-2", "south", "north")
		wantKeys(t, ceph.Key{Name: "north", UID: "uid-2"}, ceph.Key{Name: "south", UID: "uid-1"})
	})

	t.Run("are those of one rados namespace", func(t *testing.T) {
		key, err := cluster.ClaimKey(t.Context(), mainPool, "south", ceph.Party{UID: "uid-2", Name: "south"})
		wantError(t, err, nil)
		wantSame(t, key, "south")
		_, err = cluster.ClaimKey(t.Context(), mainPool, "no-such-namespace", ceph.Party{UID: "uid-2", Name: "south"})
		wantError(t, err, ceph.ErrNamespaceNotFound)
		_, err = cluster.Keys(t.Context(), mainPool, "no-such-namespace")
		wantError(t, err, ceph.ErrNamespaceNotFound)
	})

	t.Run("are nobody's when their claim died", func(t *testing.T) {
		s.HalfClaimKey(t, mainPool, keySpace, "orphan", "uid-3")
		keys, err := observer.Keys(t.Context(), mainPool, keySpace)
		wantError(t, err, nil)
		if !slices.Contains(keys, ceph.Key{Name: "orphan", UID: "uid-3"}) {
			t.Errorf("%v does not list the key that was being claimed", keys)
		}
		wantKey(t, "uid-3", "renamed", "renamed")
		wantKey(t, "uid-4", "orphan", "orphan")
		wantTaken(t, "uid-5", "orphan", "uid-4")
	})

	t.Run("stay with who has them when another's claim died", func(t *testing.T) {
		wantKey(t, "uid-6", "kept", "kept")
		s.HalfClaimKey(t, mainPool, keySpace, "kept", "uid-7")
		wantKey(t, "uid-6", "another name", "kept")
		s.HalfClaimKey(t, mainPool, keySpace, "kept", "uid-7")
		wantTaken(t, "uid-7", "kept", "uid-6")
		keys, err := observer.Keys(t.Context(), mainPool, keySpace)
		wantError(t, err, nil)
		if !slices.Contains(keys, ceph.Key{Name: "kept", UID: "uid-6"}) {
			t.Errorf("%v does not say who has the key", keys)
		}
	})

	t.Run("are one cluster's when many want one", func(t *testing.T) {
		other := s.connect(t, Operator)
		uid := func(i int) string { return fmt.Sprintf("uid-race-%d", i%4) }
		var winners [8]string
		parallel(len(winners), func(i int) {
			by := []ceph.Cluster{cluster, other}[i%2]
			_, err := by.ClaimKey(t.Context(), mainPool, keySpace, ceph.Party{UID: uid(i), Name: "wanted"})
			var taken *ceph.KeyTakenError
			switch {
			case err == nil:
				winners[i] = uid(i)
			case errors.As(err, &taken):
				winners[i] = taken.UID
			default:
				t.Error(err)
			}
		})
		wantSame(t, winners[:], slices.Repeat(winners[:1], len(winners)))
		for i := range 4 {
			if uid(i) == winners[0] {
				wantKey(t, uid(i), "wanted", "wanted")
			} else {
				wantTaken(t, uid(i), "wanted", winners[0])
			}
		}
		keys, err := observer.Keys(t.Context(), mainPool, keySpace)
		wantError(t, err, nil)
		if !slices.Contains(keys, ceph.Key{Name: "wanted", UID: winners[0]}) {
			t.Errorf("%v does not say that %s has the key", keys, winners[0])
		}
	})
}
