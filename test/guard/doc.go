// Package guard proves the guard end to end: two real clusters with nodes, one
// real Ceph, in each cluster the built webhook with no more rights than the chart
// gives it, asked by the API server as the chart says.
//
// All tests share one lab. West is guarded as the chart does by default; there
// people are told at once. East is guarded with scope `all` and without the scale
// endpoint, so that there only the pods' endpoint is between a volume and its
// second writer. Nodes from the third on are for accidents, each for one test.
// What stops a server for everybody is in package outage.
//
// Each test has a namespace of its own in both clusters, see package scene.
//
// The tests have the build tag lab, start their servers themselves and need root.
// Nothing is skipped.
package guard
