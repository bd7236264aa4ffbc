// Package e2e tells the project's story with nothing simulated: real Helm 3 and
// Helm 4 install the sample charts of testdata/charts through the built
// postrender, into real API servers, with their images in a real Ceph.
//
// The tests are written from the app team's side of the story. [eachHelm] gives a
// test one of the two Helms and a namespace of its own in both clusters of the
// lab; [team.must] runs a helm command, [team.look] sees what there is
// afterwards. All tests share one lab, so that they can run at the same time.
//
// The tests have the build tag lab, and start their servers themselves. A missing
// program fails them with a sentence; nothing is skipped.
package e2e
