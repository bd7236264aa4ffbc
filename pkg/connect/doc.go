// Package connect turns a clusterID into a connection. A clusterID is what a PersistentVolume
// knows of its Ceph cluster. The connection uses one Ceph user for all, or the one that the
// caller names.
//
// ceph-csi's configuration has a clusterID per Ceph cluster and rados namespace,
// so several of them may share a connection. The configuration changes while the
// program runs: monitors move, keys are rotated. So each call looks it up, which a
// cached client makes cheap, and connections follow it.
package connect
