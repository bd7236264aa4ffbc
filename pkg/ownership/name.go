package ownership

import (
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Unnamed reports whether the image is to get its owner's name yet, or may have another
// one besides. Until then no pod of the owner is admitted.
func Unnamed(record ceph.Record) bool { return record.Keyed && record.Owner != nil && !record.Named }

// withRenamer is the record that names a client instance which will rename the image for
// its owner. It is written before the instance begins, so that whoever gives the image to
// another cluster finds it there.
func withRenamer(record ceph.Record, renamer string) ceph.Record {
	if Unnamed(record) && renamer != "" && !slices.Contains(record.Renamers, renamer) {
		record.Renamers = append(slices.Clone(record.Renamers), renamer)
	}
	return record
}

// BeginName is the record in which the owner's leader says that it will rename the image,
// or a [*Refused].
func BeginName(stored ceph.Record, cluster ceph.Party, renamer string) (ceph.Record, error) {
	if stored.State != ceph.Held || !Owns(stored, cluster) {
		return ceph.Record{}, refuse(stored)
	}
	return withRenamer(stored, renamer), nil
}

// FinishName is the record of an image that was given its owner's name, and that has no
// other, by this instance, which is done; or a [*Refused]. begun is the record from before:
// when the image was released and acquired meanwhile, the name may have changed since.
func FinishName(stored, begun ceph.Record, renamer string) (ceph.Record, error) {
	switch {
	case stored.State != ceph.Held || !Owns(stored, begun.Owner.Party):
		return ceph.Record{}, refuse(stored)
	case stored.Epoch != begun.Epoch:
		return ceph.Record{}, &Refused{AcquiredAnew, stored}
	}
	next := stored
	next.Named, next.Renamers = true, without(stored.Renamers, renamer)
	return next, nil
}

// freed is the record without an owner, and what belongs to one.
func freed(record ceph.Record) ceph.Record {
	record.State, record.Owner = ceph.Free, nil
	record.Pending, record.Unbound, record.Named, record.Renamers = nil, nil, false, nil
	return record
}
