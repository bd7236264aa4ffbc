// Package dynamicpv copies a PersistentVolume that ceph-csi made into another cluster that
// shares the Ceph. Rook's page "Application Migration" has people do that by hand. The package
// is pure: it makes the copy that travels, and what that becomes in a cluster with other names.
//
// The volume keeps ceph-csi's own handle, so resizing, snapshots and clones still work. With
// the annotation it is guarded, and its image has a record; it is never keyed.
package dynamicpv
