// Package compare finds out whether two clusters mean the same images: the same Ceph, pool,
// rados namespace, file system and subvolume group, and the same image for each claim. It is
// pure: what each cluster says goes in, and the differences come out. They show before a
// workload is moved onto a second, empty volume.
package compare
