// Package keeper keeps the records of this cluster's images true.
//
// [Keeper] runs in one replica of the webhook. For each guarded volume it compares
// the image's record with what this cluster does: it writes which nodes and clients
// hold the image, takes what the cluster uses and nobody owns, and releases what is
// proven idle. What it does is decided by the pure function ownership.Keep; the
// table stands there. It looks when a VolumeAttachment changes, and from time to
// time; and at the pods of a claim again, when the admission grace is over since its
// volume came (comers.go). What this cluster uses and another one owns, it says at pods,
// claims and PersistentVolumes (tell.go): when that begins, and from time to time while it
// lasts (incidents.go).
//
// [Orphans] runs beside it. It finds, by the records, what this cluster owns and no
// PersistentVolume of it leads to any more.
//
// [Waker] runs in every replica. It remembers the workloads whose pods this replica
// refused, and touches them when their volumes are free: their controllers would
// otherwise wait for minutes before they try again. Namespaces take turns (queue.go).
package keeper
