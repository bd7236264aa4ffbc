// Package provisioner proves the provisioner end to end: two real clusters with
// nodes, one real Ceph, in each cluster the built webhook as the chart sets it up.
// People only write claims; there is no renderer.
//
// Each test has a namespace of its own in both clusters, see [team].
//
// The tests have the build tag lab, start their servers themselves and need root.
// Nothing is skipped.
package provisioner
