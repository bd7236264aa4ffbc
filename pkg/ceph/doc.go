// Package ceph is the project's vocabulary for Ceph: RBD images and CephFS
// subvolumes, the record kept beside each, the narrow interfaces that use cases ask for,
// and the errors that people can act on.
//
// It knows no Ceph library. Package goceph implements [Cluster] on librados and
// librbd, package cephtest in memory; both pass the conformance suite in
// cephtest.
package ceph
