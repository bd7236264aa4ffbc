// Package dynamicpv copies a PersistentVolume that ceph-csi made into another cluster that
// shares the Ceph, as Rook's page "Application Migration" has people do by hand. It is pure:
// the copy for the road, and what it becomes in a cluster with other names.
//
// The volume keeps ceph-csi's own handle, so that resize, snapshots and clones go on. With
// the annotation it is guarded, and its image has a record; it is never keyed.
package dynamicpv
