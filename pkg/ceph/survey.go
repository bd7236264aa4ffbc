package ceph

import (
	"context"
	"net/netip"
)

// RecordOf is the record of one image of several.
type RecordOf struct {
	// Image has, if the record says that the image is keyed, its base name and the key that
	// it carries, see [SplitName]; otherwise its name as it is.
	Image  ImageSpec
	Record Record
	// Err is why the record cannot be read: ErrRecordUnknown. The zero record is
	// here then.
	Err error
}

// RecordLister finds records without knowing the images.
type RecordLister interface {
	// Records returns the records of all images in the pool's rados namespace that
	// have one, sorted by the images' names. An image that is made or removed
	// meanwhile may be missing.
	Records(ctx context.Context, pool, namespace string) ([]RecordOf, error)
}

// Daemon is a part of Ceph itself.
type Daemon struct {
	// Name is as in "osd.3".
	Name string
	Addr netip.Addr
}

// DaemonLister finds the machines of Ceph, which must not be fenced.
type DaemonLister interface {
	// Daemons returns the addresses of the monitors and OSDs, and if the user may ask
	// for them, of the active manager and the metadata servers, sorted by name and
	// address, each once.
	Daemons(ctx context.Context) ([]Daemon, error)
}
