package ceph

import "context"

// SubvolumeSpec names one CephFS subvolume of one Ceph cluster. No field is
// empty.
type SubvolumeSpec struct {
	// Filesystem is what a StorageClass calls fsName.
	Filesystem string
	// Group is the subvolume group; ceph-csi's default is "csi".
	Group string
	Name  string
}

// String is the spec with slashes: cephfs/csi/shop.data.
func (s SubvolumeSpec) String() string { return s.Filesystem + "/" + s.Group + "/" + s.Name }

// Subvolume is an existing CephFS subvolume: a folder of a file system with a
// quota. Any number of nodes, of several clusters, may have it mounted at once.
type Subvolume struct {
	SubvolumeSpec
	// Path is the folder in the file system, what ceph-csi calls rootPath:
	// "/volumes/csi/shop.data/7ba5c3c4-…". A subvolume that is removed and made
	// again under the same name has another Path.
	Path string
	// Size is the quota in bytes. Zero: there is none.
	Size uint64
}

// SubvolumeLayout says how a new subvolume is laid out.
type SubvolumeLayout struct {
	// Size is the quota in bytes. Zero: there is none.
	Size uint64
	// DataPool is one of the file system's data pools; empty is its default.
	DataPool string
}

// SubvolumeReader looks at subvolumes. None of these interfaces mounts a file
// system.
type SubvolumeReader interface {
	// Subvolume returns the subvolume that spec names, or ErrSubvolumeNotFound, or
	// ErrFilesystemNotFound.
	Subvolume(ctx context.Context, spec SubvolumeSpec) (Subvolume, error)
}

// SubvolumeCreator makes subvolumes.
type SubvolumeCreator interface {
	// CreateSubvolume makes an empty subvolume that everybody may write to, and
	// its group if that is missing, as ceph-csi does. It returns
	// ErrSubvolumeExists when the name is taken, and then has changed nothing,
	// ErrFilesystemNotFound, and ErrPoolNotFound when the file system has no such
	// data pool. Of several calls at once one makes it.
	//
	// A creation that died half-way leaves a subvolume without quota, for
	// [SubvolumeGrower].
	CreateSubvolume(ctx context.Context, spec SubvolumeSpec, layout SubvolumeLayout) (Subvolume, error)
}

// SubvolumeGrower raises quotas, and never lowers one.
type SubvolumeGrower interface {
	// GrowSubvolume sets the quota in bytes, of a subvolume without quota as well;
	// mounts notice at once. Of several calls at once the largest size remains. It
	// returns ErrSubvolumeShrinks when the quota is larger than that already (and
	// leaves it so), ErrSubvolumeNotFound and ErrFilesystemNotFound.
	GrowSubvolume(ctx context.Context, spec SubvolumeSpec, size uint64) error
}

// SubvolumeRecords reads and swaps the records of subvolumes, as [RecordStore]
// does those of images.
type SubvolumeRecords interface {
	// SubvolumeRecord returns the subvolume's record, ErrRecordNotFound when there
	// is none, ErrRecordUnknown when it has another format, and
	// ErrFilesystemNotFound.
	SubvolumeRecord(ctx context.Context, subvolume Subvolume) (Record, error)
	// PutSubvolumeRecord stores record if the stored one still is at
	// record.Revision, and returns it with its new Token and Revision. Otherwise it
	// changes nothing and returns ErrRecordChanged. The caller's Token is ignored.
	PutSubvolumeRecord(ctx context.Context, subvolume Subvolume, record Record) (Record, error)
}

// SubvolumeNamespace is the rados namespace, in the metadata pool of the file
// system, of everything that this project keeps about subvolumes. CephFS itself
// uses the default namespace there.
const SubvolumeNamespace = "cephferry"

// SubvolumeRecordObject is the name of the RADOS object that holds the record of
// the subvolume with that Path, in SubvolumeNamespace.
func SubvolumeRecordObject(path string) string { return "record." + path }
