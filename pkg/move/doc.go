// Package move takes workloads from one cluster to another, as a client of their two API
// servers: scale down here, wait until the volumes are free, scale up there. It never decides
// who owns an image; the other cluster does, when it admits a pod.
//
// Before a workload is scaled down, its state is noted on it in the source. So whoever comes
// next can continue a move that died, or undo it:
//
//	metadata:
//	  annotations:
//	    move.cephferry.io/replicas: "3"
//	    move.cephferry.io/to: 3f0c6a0e-…   # the uid of the other cluster's kube-system
package move
