// Package guard proves the guard end to end: two real clusters with nodes and one
// real Ceph. In each cluster runs the built webhook with no more rights than the chart
// gives it, and the API server asks it as the chart says.
//
// All tests share one lab. West is guarded as the chart does by default, so people are
// told at once there. East is guarded with scope `all` and without the scale endpoint, so
// there only the endpoints for pods are between a volume and its second writer. Nodes from
// the third on are for accidents, each for one test. Tests that stop a server for
// everybody are in package outage.
//
// Each test has a namespace of its own in both clusters, see package scene.
//
// The tests have the build tag lab, start their servers themselves and need root.
// Nothing is skipped.
package guard
