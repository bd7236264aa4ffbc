// Package move takes workloads from one cluster to another, as a client of their two API
// servers: down here, wait until the volumes are free, up there. Who owns an image is never
// decided here; that the other cluster admits a pod is.
//
// What a workload had is written on it in the source before it is scaled down, so that a move
// that died is gone on with, or undone, by whoever comes next:
//
//	metadata:
//	  annotations:
//	    move.cephferry.io/replicas: "3"
//	    move.cephferry.io/to: 3f0c6a0e-…   # the uid of the other cluster's kube-system
package move
