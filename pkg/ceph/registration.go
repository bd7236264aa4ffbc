package ceph

import "time"

// Registration is what a guarded Kubernetes cluster keeps of itself beside the records of
// a pool. Where a record leaves open which nodes may have an image mapped, a failover
// takes them from here. Nothing is decided by its time.
type Registration struct {
	Party
	// Version is that of the program.
	Version string `json:"version"`
	// Nodes are the boots of the cluster's nodes, without clients.
	Nodes []Node `json:"nodes,omitempty"`
	// Written is when the cluster wrote it last, for people.
	Written time.Time `json:"written"`
}
