package ceph

import (
	"cmp"
	"context"
	"io"
	"strings"
)

// ImageSpec names one RBD image of one Ceph cluster.
type ImageSpec struct {
	Pool string
	// Namespace is the rados namespace in the pool. Empty is the pool's default
	// namespace.
	Namespace string
	Name      string
	// Key, unless empty, says that the image is keyed, and is the key of the cluster that
	// asks: Name is the base name then, and the image carries that or Name~KEY of some
	// cluster. Whoever takes such a spec finds the image by any of these names: first its
	// own, so that it costs nothing more to ask for an image that one owns; then the base
	// name; then those with the [KeyStore]'s keys.
	Key string
}

// String is the spec as the rbd command writes it: pool/name, or
// pool/namespace/name. Of a keyed image it has the base name.
func (s ImageSpec) String() string {
	if s.Namespace == "" {
		return s.Pool + "/" + s.Name
	}
	return s.Pool + "/" + s.Namespace + "/" + s.Name
}

// Image is an existing RBD image.
type Image struct {
	ImageSpec
	// Named is the name that led to the image. It is Name, unless the image is keyed; empty
	// if the pool's directory alone has a name of it, which only a rename that was slow leaves.
	Named string
	// ID is librbd's internal id. An image that is removed and made again under
	// the same name has another ID.
	ID string
	// Size is in bytes.
	Size uint64
	// Features are the names the rbd command uses, sorted.
	Features []string
}

// Layout says how a new image is laid out. Zero values mean librbd's defaults,
// except Features: without names, the image has no features.
type Layout struct {
	// Size is in bytes.
	Size uint64
	// Features are the names the rbd command uses.
	Features []string
	// DataPool, for erasure-coded data, holds the image's data objects.
	DataPool string
	// ObjectSize and StripeUnit are in bytes, ObjectSize a power of two.
	ObjectSize, StripeUnit uint64
	StripeCount            uint64
}

// ImageReader looks at images without becoming a watcher of them: ceph-csi refuses
// to map an image that has one.
type ImageReader interface {
	// Image returns the image that spec names, or ErrImageNotFound. An image whose
	// name changes meanwhile is found all the same.
	Image(ctx context.Context, spec ImageSpec) (Image, error)
}

// ImageCreator makes images.
type ImageCreator interface {
	// CreateImage makes an empty image. It returns ErrImageExists when the name
	// is taken, whatever is there, ErrLayout, and ErrPoolFull when the pool's
	// quota is used up. What a creation that died half-way has left is not in its
	// way.
	//
	// A keyed image gets its base name. ErrImageExists says then that one of its names
	// leads to an image, before or after this one was made: of two clusters that make it
	// at once, one may have renamed its own already. Nothing is removed.
	CreateImage(ctx context.Context, spec ImageSpec, layout Layout) (Image, error)
}

// ImageGrower makes images larger, never smaller.
type ImageGrower interface {
	// GrowImage sets the size in bytes. Of several calls at once the largest size
	// remains. It returns ErrImageShrinks when the image is larger than that
	// already (and leaves it so), ErrImageNotFound, and ErrImageLocked when the
	// client that holds the image's lock does not give it up, as with krbd's
	// exclusive option, or does not answer. It never takes the lock by force.
	GrowImage(ctx context.Context, spec ImageSpec, size uint64) error
}

// Watcher is a client that has an image open and wants to hear of changes: every
// client that can write is one, see [WatcherLister].
type Watcher struct {
	// Addr is the client's address as Ceph sees it, with the nonce of the client
	// instance: "10.0.1.12:0/3311202721". Behind NAT the IP is the gateway's.
	Addr string
	// Client is the RADOS client: "client.4153".
	Client string
	// Cookie tells several watches of one client apart.
	Cookie uint64
}

// Compare orders watchers by Addr, then by Client and Cookie.
func (w Watcher) Compare(other Watcher) int {
	return cmp.Or(
		strings.Compare(w.Addr, other.Addr),
		strings.Compare(w.Client, other.Client),
		cmp.Compare(w.Cookie, other.Cookie),
	)
}

// WatcherLister lists who has an image open.
type WatcherLister interface {
	// Watchers returns the watchers of the image, sorted, as they are at
	// some moment during the call, or ErrImageNotFound. The call adds no watcher.
	//
	// A watcher appears before its client can write, and disappears at once when
	// that client closes the image or is put on the blocklist. Of a client that
	// died or is cut off it disappears after 25 to 30 seconds, and one that was
	// only cut off may come back and write. Clients that have the image open
	// read-only never appear.
	Watchers(ctx context.Context, spec ImageSpec) ([]Watcher, error)
}

// Look is an image as one look found it, see [Looker].
type Look struct {
	Image Image
	// Record is the zero one if the image has none.
	Record Record
	// Watchers are sorted.
	Watchers []Watcher
}

// Looker finds out at once what an admission rests on.
type Looker interface {
	// Look is [ImageReader], [RecordStore] and [WatcherLister] in fewer round trips, all of
	// them about one image. The watchers are listed after the record was read, or there
	// was none at some moment during the call: if the record is still the same when it is
	// swapped, nobody came between. Its errors are those of the three, except that an image
	// may have no record.
	Look(ctx context.Context, spec ImageSpec) (Look, error)
}

// LockReader tells who has an image's exclusive lock, without taking it.
type LockReader interface {
	// LockHolder returns the client that has the lock, and whether it answers, nil when
	// nobody has it, ErrImageNotFound, and ErrLockPasses. A lock of `rbd lock add`, which
	// nobody is asked to give up, is ErrImageLocked and none of its special cases.
	LockHolder(ctx context.Context, spec ImageSpec) (*LockedError, error)
}

// Identified knows who it is.
type Identified interface {
	// Self returns the address of this client instance, as [Watcher] has it.
	Self(ctx context.Context) (addr string, err error)
}

// NamespaceLister lists the rados namespaces of a pool that the rbd command
// knows.
type NamespaceLister interface {
	// Namespaces returns their names, sorted, without the default namespace.
	Namespaces(ctx context.Context, pool string) ([]string, error)
}

// Cluster is one Ceph cluster, connected. Every method may be called from many
// goroutines, is bounded in time, and besides the errors named at the method
// returns ErrUnreachable, ErrPoolNotFound, ErrNamespaceNotFound, ErrPermission,
// ErrBlocklisted, the error of its context, and fs.ErrClosed after Close. After
// ErrUnreachable a change may have been made, or may be made yet.
type Cluster interface {
	ImageReader
	ImageCreator
	ImageGrower
	ImageRenamer
	WatcherLister
	Looker
	LockReader
	Identified
	Located
	NamespaceLister
	RecordStore
	RecordLister
	NoteStore
	Registrar
	Fencer
	SubvolumeReader
	SubvolumeCreator
	SubvolumeGrower
	SubvolumeRecords
	DaemonLister
	io.Closer
}
