// Package cephtest is Ceph for tests: [Ceph], which lives in memory and fails on
// request, and [Conformance], the suite that both it and the real Ceph pass.
//
// Tests of use cases run on [Ceph], so they are worth only as much as its likeness to
// the real one. Whatever behaviour such a test relies on belongs in the suite.
package cephtest
