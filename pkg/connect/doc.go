// Package connect leads from a clusterID, which is what a PersistentVolume knows
// of its Ceph cluster, to a connection, as one Ceph user for all or as the one that
// the caller names.
//
// ceph-csi's configuration has a clusterID per Ceph cluster and rados namespace,
// so several of them may share a connection. The configuration changes while the
// program runs: monitors move, keys are rotated. It is therefore looked up at each
// call, which a cached client makes cheap, and connections follow it.
package connect
