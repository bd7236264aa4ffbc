// Package goceph is package ceph's port on librados and librbd, through go-ceph, and
// through librados's C++ API for what that lacks. It is the only package that uses cgo.
// Subvolumes are the manager's work, so libcephfs is not needed.
//
// Three properties of the libraries shape it (a fourth is in manager):
//
//   - By default they wait for ever. Timeouts are set before connecting, so that
//     each RADOS operation ends by itself.
//   - A call into C cannot be cancelled, and closing a handle while a call is
//     inside it ends the process with SIGSEGV. So callers stop waiting while the
//     call goes on, and a handle is closed by the last call that leaves it: see
//     calls.
//   - The version of the object that an operation saw is kept per IOContext, and
//     goroutines that share one read each other's. So each call has its own,
//     which costs nothing: it is a pool number and a namespace on a connection
//     that stays.
//
// The real implementation needs a build with cgo and with the tag of a Ceph
// release (pacific, quincy, reef, squid or tentacle), which go-ceph needs as well:
// it must be at most the release of the installed librbd. In every other build
// [Dial] returns errors.ErrUnsupported and nothing is linked.
package goceph
