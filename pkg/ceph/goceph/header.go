//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

/*
#cgo CXXFLAGS: -std=c++17 -Wall -Wextra
#include <stdlib.h>
#include "header.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// header is what the header of an image says, and who watches it.
type header struct {
	size, features uint64
	// watchers are sorted.
	watchers []ceph.Watcher
}

// readHeader returns the header of the image with that id, or ENOENT, by one operation.
// Listing the watchers of the header is what librbd does when it lists those of an image.
func readHeader(ioctx *rados.IOContext, id string) (header, error) {
	object := C.CString(headerObject(id))
	defer C.free(unsafe.Pointer(object))
	var found C.cephferry_header
	if code := C.cephferry_read_header(C.rados_ioctx_t(ioctx.Pointer()), object, &found); code != 0 {
		return header{}, operationError(code)
	}
	defer C.free(unsafe.Pointer(found.watchers))
	return headerOf(&found), nil
}

func headerOf(found *C.cephferry_header) header {
	h := header{size: uint64(found.size), features: uint64(found.features)}
	for _, w := range unsafe.Slice(found.watchers, found.count) {
		h.watchers = append(h.watchers, ceph.Watcher{
			Addr:   C.GoString(&w.addr[0]),
			Client: fmt.Sprintf("client.%d", int64(w.client)),
			Cookie: uint64(w.cookie),
		})
	}
	slices.SortFunc(h.watchers, ceph.Watcher.Compare)
	return h
}

// operationError is a negative errno of an operation that go-ceph does not have.
type operationError int

// ErrorCode is as that of go-ceph's errors.
func (e operationError) ErrorCode() int { return int(e) }

func (e operationError) Error() string {
	return fmt.Sprintf("rados: ret=%d, %v", int(e), syscall.Errno(-e))
}
