//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

/*
#include <stdlib.h>
#include "header.h"
*/
import "C"

import (
	"unsafe"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// maxNames is how many names a glance asks for their ids.
const maxNames = C.cephferry_names

// glimpse is what a glance finds. Each read has an error of its own, ENOENT where there is no
// such object.
type glimpse struct {
	// ids are those of the names, in their order.
	ids       []got[string]
	record    got[ceph.Record]
	header    header
	headerErr error
}

type got[T any] struct {
	value T
	err   error
}

// glance reads the id objects of names, and the record and the header of the image with that
// id, all at the same time and with one call: a call that waits costs more than what it asks.
func glance(ioctx *rados.IOContext, names []string, id string) (glimpse, error) {
	objects := make([]*C.char, 0, maxNames+2)
	defer func() {
		for _, object := range objects {
			C.free(unsafe.Pointer(object))
		}
	}()
	for _, name := range names {
		objects = append(objects, C.CString(idObject(name)))
	}
	record, head := C.CString(ceph.RecordObject(id)), C.CString(headerObject(id))
	objects = append(objects, record, head)
	var found C.cephferry_glance_result
	if code := C.cephferry_glance(C.rados_ioctx_t(ioctx.Pointer()), &objects[0], C.size_t(len(names)), record, head, maxRecord, &found); code != 0 {
		return glimpse{}, operationError(code)
	}
	defer C.cephferry_free_glance(&found)
	var seen glimpse
	for i := range names {
		data, err := bytesOf(&found.ids[i])
		one := got[string]{err: err}
		if err == nil {
			one.value, one.err = decodeString(data)
		}
		seen.ids = append(seen.ids, one)
	}
	data, err := bytesOf(&found.record)
	if seen.record.err = translate(err, meanings{enoent: ceph.ErrRecordNotFound}); err == nil {
		seen.record.value, seen.record.err = ceph.DecodeRecord(data)
		seen.record.value.Revision = uint64(found.version)
	}
	if found.header_result != 0 {
		seen.headerErr = operationError(found.header_result)
	} else {
		seen.header = headerOf(&found.header)
	}
	return seen, nil
}

func bytesOf(read *C.cephferry_bytes) ([]byte, error) {
	if read.result < 0 {
		return nil, operationError(read.result)
	}
	return C.GoBytes(unsafe.Pointer(read.data), C.int(read.length)), nil
}
