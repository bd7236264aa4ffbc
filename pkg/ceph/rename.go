package ceph

import (
	"context"
	"fmt"
	"strings"
)

// maxImageName is the longest name of an image in bytes (RBD_MAX_IMAGE_NAME_SIZE
// of librbd.h).
const maxImageName = 96

// CheckImageName returns ErrImageName when no image can have that name.
func CheckImageName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("it is empty: %w", ErrImageName)
	case len(name) > maxImageName:
		return fmt.Errorf("%q has %d bytes; librbd takes at most %d: %w", name, len(name), maxImageName, ErrImageName)
	case strings.ContainsAny(name, "/@"):
		return fmt.Errorf("%q has a character that separates pool, image and snapshot: %w", name, ErrImageName)
	}
	return nil
}

// ImageRenamer gives images other names. All methods go by the image's ID; its
// Name and Named are only names that it had at some time, and called its own below.
//
// A name leads to an image by an object of its own. Renaming makes the new object,
// changes the pool's directory, which has one name for each image, and removes the
// old object. A rename that dies in between leaves two names: by both, clients open
// the image, and renaming again fails. The directory knows one of them, and nothing
// in Ceph leads to the other: so a caller has to say which further names it may be.
//
// As measured with Ceph 16.2 and Linux 6.1, renaming an image that is mapped takes
// 49 ms, and the holder goes on writing: it holds the image by its ID. A client that
// opens the image by a name that it no longer has is refused at once, on every
// machine. One that had resolved the name a moment before gets in.
type ImageRenamer interface {
	// ImageNames returns the names that lead to the image, sorted: the directory's,
	// and those of its own and of others that do. One is what there should
	// be. It returns ErrImageNotFound when the directory does not have the image.
	ImageNames(ctx context.Context, image Image, others ...string) ([]string, error)

	// RenameImage makes the name the only one that leads to the image, among the
	// directory's, its own and others: what an earlier rename that died has
	// left is removed, and an image that has this name alone is left as it is. It
	// returns the image as it is then, a keyed one with the name's base and its own Key,
	// ErrImageNotFound, ErrImageName, ErrImageExists when something else has the name, ErrImageLocked, and
	// ErrImageRenamed when another client renames the image at the same time. On an
	// error the image may have both names; the same call mends it. While another client
	// of this package grows or renames the image, or for as long as a call may last
	// after one that died meanwhile, it is ErrImageLocked.
	//
	// Renaming takes the image's exclusive lock. A client that has mapped the image
	// with krbd's option exclusive does not give it up, and one that does not answer
	// cannot: both are a [LockedError], which says who it is. RenameImage never takes
	// the lock from a client that may still write, as librbd would, which waits for
	// 27 seconds and then puts the client on the blocklist for an hour only. It takes
	// it over from a client that is on the blocklist (96 ms, measured), and from one
	// that died while it renamed, as soon as that is no watcher any more: for up to
	// 30 seconds it is a LockedError too.
	RenameImage(ctx context.Context, image Image, name string, others ...string) (Image, error)

	// RenameImageFrom is RenameImage for an image that has the name from in the directory.
	// When it has another one, nothing is changed, and it is ErrImageRenamed: so who does
	// not own the image any more takes no name from who does.
	RenameImageFrom(ctx context.Context, image Image, from, name string, others ...string) (Image, error)
}

// ErrLockPasses is ErrImageLocked for a lock that had another holder at each look: somebody
// opens the image again and again, and nobody knows who has it now.
var ErrLockPasses = fmt.Errorf("%w: its lock changes hands faster than one can look", ErrImageLocked)

// LockedError is ErrImageLocked with the client that holds the image's lock.
type LockedError struct {
	// Client and Addr are as in [Watcher].
	Client, Addr string
	// Answers says whether the client is there and refuses. One that does not answer
	// is dead or cut off: fenced for good, it is no longer in the way of a rename.
	Answers bool
}

func (e *LockedError) Error() string {
	if e.Answers {
		return fmt.Sprintf("%v: its lock is held by %s at %s", ErrImageLocked, e.Client, e.Addr)
	}
	return fmt.Sprintf("%v: its lock is held by %s at %s, which does not answer", ErrImageLocked, e.Client, e.Addr)
}

// Unwrap is ErrImageLocked.
func (e *LockedError) Unwrap() error { return ErrImageLocked }

// advice is for a holder that does not answer, which no workload that is scaled down
// will release.
func (e *LockedError) advice() string {
	return fmt.Sprintf("run the same command again in half a minute; if that client is gone for good, fence it first (`ceph osd blocklist add %s %.0f`)",
		e.Addr, MaxFence.Seconds())
}
