// Package register writes what this cluster registers about itself beside the records of its
// images: which machines its nodes are. A failover reads that where a record leaves open
// which of them may have an image mapped. One reason for that is a pod that was admitted
// before it had a node, and was bound after the webhook died.
//
// [Next] is the decision, without I/O. [Writer] carries it out in one replica of the
// webhook: soon after a Node object changes, and once a minute, in each place where
// this cluster has guarded volumes.
//
// A node that stays registered too long is fenced for nothing. A node that is missing can
// still write after a failover. So a node leaves only when its boot is proven to be over, or
// when its Node object is gone and no record leaves open that it may have an image mapped.
package register
