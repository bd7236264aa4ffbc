package ceph

import (
	"context"
	"fmt"
	"strings"
)

// KeySeparator is between the base name of a keyed image and the key of the cluster that
// owns it: "shop.data-db-0~east". A Kubernetes name never has it.
const KeySeparator = "~"

// JoinName is the name that a keyed image carries for the cluster with that key; without a
// key, the base name, which it carries while nobody owns it.
func JoinName(base, key string) string {
	if key == "" {
		return base
	}
	return base + KeySeparator + key
}

// SplitName takes apart what [JoinName] has joined. A name without a base or without a key
// is a base name as a whole.
func SplitName(name string) (base, key string) {
	at := strings.LastIndex(name, KeySeparator)
	if at < 1 || at+len(KeySeparator) == len(name) {
		return name, ""
	}
	return name[:at], name[at+len(KeySeparator):]
}

// CheckKey returns ErrKey when no cluster can have that key.
func CheckKey(key string) error {
	if key == "" || strings.Contains(key, KeySeparator) || CheckImageName(JoinName("b", key)) != nil {
		return fmt.Errorf("%q: %w", key, ErrKey)
	}
	return nil
}

// Own is the name of the image that only the cluster that asks may use: Name~Key, or Name
// when the image is not keyed.
func (s ImageSpec) Own() string { return JoinName(s.Name, s.Key) }

// Base is the spec without Key. Specs of one image are equal by it, whoever asks.
func (s ImageSpec) Base() ImageSpec {
	s.Key = ""
	return s
}

// Renamed is the image's spec once it has that name.
func (s ImageSpec) Renamed(name string) ImageSpec {
	s.Name = name
	if s.Key != "" {
		s.Name, _ = SplitName(name)
	}
	return s
}

// Key is the part of an image's name that says whose the image is, and the Kubernetes
// cluster that has it.
type Key struct {
	Name string
	// UID is the cluster's, as in [Party].
	UID string
}

// KeyStore keeps which cluster has which key, for the images of one rados namespace.
//
// Two kinds of RADOS objects do: [KeyObject], made exclusively and never changed, has the
// uid of the cluster whose key it is, and decides; [KeysObject] has all keys in its omap,
// so that one read finds them. A key is put into the latter first: a cluster whose key is
// not listed cannot have given it to an image.
type KeyStore interface {
	// Keys returns all keys, sorted by name, those too of which the claim died half-way:
	// a name that an image may carry. The UID is of who claims it or has it;
	// ClaimKey decides.
	Keys(ctx context.Context, pool, namespace string) ([]Key, error)

	// ClaimKey returns the key of the cluster with that UID: the one that it has, whatever
	// it is called now, or else its name, which is its key from then on. It returns a
	// [KeyTakenError] when another cluster has that, and ErrKey when it cannot be
	// a key.
	ClaimKey(ctx context.Context, pool, namespace string, cluster Party) (key string, err error)
}

// KeysObject is the name of the RADOS object whose omap has the keys, and for each the uid
// of its cluster.
const KeysObject = "cephferry.keys"

// KeyObject is the name of the RADOS object that has the uid of the cluster with that key.
func KeyObject(key string) string { return "cephferry.key." + key }

// KeyTakenError is ErrKeyTaken with the cluster that has the key.
type KeyTakenError struct{ Key, UID string }

func (e *KeyTakenError) Error() string {
	return fmt.Sprintf("%v: %q is that of the cluster with uid %s", ErrKeyTaken, e.Key, e.UID)
}

// Unwrap is ErrKeyTaken.
func (e *KeyTakenError) Unwrap() error { return ErrKeyTaken }
