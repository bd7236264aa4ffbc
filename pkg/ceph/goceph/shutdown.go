//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

/*
#cgo LDFLAGS: -lrados
#include <rados/librados.h>
*/
import "C"

import (
	"runtime"

	"github.com/ceph/go-ceph/rados"
)

// shutDown frees a client, connected or not.
//
// go-ceph's Shutdown does nothing for a client that is not connected: it leaves
// four threads and a quarter of a megabyte to the garbage collector, which knows
// nothing of them and may come two minutes later. A program that keeps trying to
// connect would by then have hundreds.
func shutDown(conn *rados.Conn) {
	runtime.SetFinalizer(conn, nil)
	C.rados_shutdown(C.rados_t(conn.Cluster()))
}
