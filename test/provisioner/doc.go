// Package provisioner proves the provisioner end to end: two real clusters with
// nodes and one real Ceph; in each cluster runs the built webhook as the chart sets it up.
// People only write claims. There is no renderer, except in the tests of names that
// differ in west (docs/names.md): none of Rook's names there is the same as in east.
//
// Each test has a namespace of its own in both clusters, see [team].
//
// The tests have the build tag lab, start their servers themselves and need root.
// Nothing is skipped.
package provisioner
