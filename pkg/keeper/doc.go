// Package keeper keeps the records of this cluster's images up to date.
//
// [Keeper] runs in one replica of the webhook. For each guarded volume it compares the
// image's record with what this cluster does. It writes which nodes and clients hold the
// image, acquires images that this cluster uses and nobody owns, and releases images that are
// proven idle. The pure function ownership.Keep decides what it does; the table is there. It
// checks a volume when something has happened to it, in Kubernetes (events.go) or in its
// record ([Sweep]), and from time to time for what may change unseen. It reports an image that
// this cluster uses and another one owns, at pods, claims and PersistentVolumes (tell.go): when
// that begins, and from time to time while it lasts (incidents.go).
//
// [Sweep] runs beside it. It reads all records. So it finds those that have changed, and the
// images of this cluster that none of its PersistentVolumes leads to any more (orphans.go).
//
// [Waker] runs in every replica. It remembers the workloads whose pods this replica refused,
// and touches them when their volumes are free: their controllers would otherwise wait for
// minutes before they try again. Namespaces take turns (queue.go).
package keeper
