package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

// Volume is what a request is about: an [Image] or a [Subvolume].
type Volume interface {
	// String is the spec, for people; kind says of what.
	fmt.Stringer
	kind() string
	// size is the size of the volume for a claim of that size.
	size(claim uint64) uint64
	// absent is the error for a volume that has to exist and does not.
	absent() error
	// look returns nil if the volume does not exist.
	look(ctx context.Context) (*found, error)
	create(ctx context.Context, size uint64) (*found, error)
	grow(ctx context.Context, size uint64) error
}

// found is a volume that exists.
type found struct {
	// size is in bytes. A subvolume may be unlimited instead: without a quota.
	size      uint64
	unlimited bool
	// features of an image are those that somebody chose.
	features []string
	// path of a subvolume is the folder in its file system.
	path string
	// record is nil when there is none.
	record *ceph.Record
	// misnamed: an image that is adopted has its old name. used says who uses it, empty
	// for nobody.
	misnamed bool
	used     string
	// adopted: no image has the old name of an image that is to be adopted.
	adopted bool
	// fresh: there was no such volume at the beginning of the call.
	fresh bool
	// put stores a record.
	put func(context.Context, ceph.Record) error
	// adopt stores a record, gives a misnamed image its name, and returns what it is then.
	adopt func(context.Context, ceph.Record) (*found, error)
}

// Cluster is the part of ceph.Cluster that volumes need.
type Cluster interface {
	ImageCluster
	SubvolumeCluster
	ceph.RecordLister
}

// Location is where the volumes of a class live.
type Location struct {
	Cluster Cluster
	// RadosNamespace is that of images, SubvolumeGroup that of subvolumes. Both
	// stand in ceph-csi's config.json only.
	RadosNamespace, SubvolumeGroup string
	// Key and NoKey are those of a [Request].
	Key   string
	NoKey error
}

// Request is for the volume of a plan.
func (l Location) Request(plan staticpv.Plan) Request {
	request := Request{
		Claim:  plan.Namespace + "/" + plan.Claim,
		Volume: l.volume(plan), Size: uint64(plan.Request.Value()), Adopt: plan.Adopt, OldName: plan.OldName, Look: plan.Look,
		Exclusive: plan.Mapping.Exclusive, NewExclusive: plan.Mapping.NewExclusive, NewPrivate: plan.NewPrivate,
		Keyed: plan.Keyed, Key: l.Key, NoKey: l.NoKey, CannotStage: plan.CannotStage(),
	}
	// Too long a name matters only where the image is keyed.
	if err := plan.FitsKey(l.Key); err != nil && plan.Class.RBD != nil {
		request.Key, request.NoKey = "", err
	}
	return request
}

func (l Location) volume(plan staticpv.Plan) Volume {
	volume := l.Volume(plan.Class, plan.Image)
	if image, ok := volume.(Image); ok {
		image.OldName = plan.OldName
		return image
	}
	return volume
}

// Deny is the request by somebody who may not use the image's old name, and why. The image
// is found by the name that it gets, and by no other.
func (r Request) Deny(why error) Request {
	if image, ok := r.Volume.(Image); ok {
		image.OldName, r.Denied = "", why
		r.Volume = image
	}
	return r
}

// Volume returns the volume of that class and name.
func (l Location) Volume(class storageclass.Class, name string) Volume {
	if fs := class.CephFS; fs != nil {
		return Subvolume{
			Cluster:       l.Cluster,
			SubvolumeSpec: ceph.SubvolumeSpec{Filesystem: fs.Filesystem, Group: l.SubvolumeGroup, Name: name},
			DataPool:      fs.DataPool,
		}
	}
	return Image{
		Cluster:   l.Cluster,
		ImageSpec: ceph.ImageSpec{Pool: class.RBD.Pool, Namespace: l.RadosNamespace, Name: name, Key: l.Key},
		Layout:    class.RBD.Layout,
	}
}

// recorded turns the absence of a record into nil.
func recorded(record ceph.Record, err error) (*ceph.Record, error) {
	if errors.Is(err, ceph.ErrRecordNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &record, nil
}
