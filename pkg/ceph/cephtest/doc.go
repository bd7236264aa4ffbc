// Package cephtest is Ceph for tests: [Ceph], which lives in memory and fails on
// request, and [Conformance], the suite that both it and the real Ceph pass.
//
// Tests of use cases run on [Ceph] and so are only worth what its likeness to the
// real one is worth. Whatever behaviour such a test relies on belongs into the
// suite.
package cephtest
