// Package goceph implements package ceph's interfaces on librados and librbd, through go-ceph,
// and through librados's C++ API for what go-ceph lacks. It is the only package that uses cgo.
// The manager makes subvolumes, so libcephfs is not needed.
//
// Three properties of the libraries shape it (manager describes a fourth):
//
//   - By default they wait for ever. Timeouts are set before connecting, so that
//     each RADOS operation ends by itself.
//   - A call into C cannot be cancelled, and closing a handle while a call is
//     inside it ends the process with SIGSEGV. So callers stop waiting while the
//     call goes on, and the last call to leave a handle closes it: see calls.
//   - The version of the object that an operation saw is kept per IOContext, and
//     goroutines that share an IOContext read each other's versions. So each call has
//     its own. That costs nothing: an IOContext is a pool number and a namespace on a
//     connection that stays.
//
// The real implementation needs a build with cgo and with the tag of a Ceph
// release: pacific, quincy, reef, squid or tentacle. go-ceph needs that tag as well; the
// release must not be newer than the installed librbd. In every other build
// [Dial] returns errors.ErrUnsupported and nothing is linked.
package goceph
