// Package compare finds out whether two clusters mean the same images: the same Ceph, pool,
// rados namespace, file system and subvolume group, and for each claim the same image. It is pure:
// what each cluster says goes in, and what differs comes out, before a workload is moved onto a
// second, empty volume.
package compare
