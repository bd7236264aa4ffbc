// Package keeper keeps the records of this cluster's images up to date.
//
// [Keeper] runs in one replica of the webhook. For each guarded volume it compares
// the image's record with what this cluster does: it writes which nodes and clients
// hold the image, acquires images that the cluster uses and nobody owns, and releases what is
// proven idle. What it does is decided by the pure function ownership.Keep; the
// table stands there. It looks at a volume when something has happened to it: in
// Kubernetes (events.go), or to its record ([Sweep]); and from time to time, at what may
// change unseen. What this cluster uses and another one owns, it says at pods,
// claims and PersistentVolumes (tell.go): when that begins, and from time to time while it
// lasts (incidents.go).
//
// [Sweep] runs beside it. It reads all records, and so finds those that have changed, and what
// this cluster owns and no PersistentVolume of it leads to any more (orphans.go).
//
// [Waker] runs in every replica. It remembers the workloads whose pods this replica
// refused, and touches them when their volumes are free: their controllers would
// otherwise wait for minutes before they try again. Namespaces take turns (queue.go).
package keeper
