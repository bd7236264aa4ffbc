//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"encoding/binary"
	"errors"

	"github.com/ceph/go-ceph/rados"
)

// This file speaks to the OSD class "rbd", the calls that librbd and the kernel
// client are made of: integers are little-endian, strings have their length
// before them.

const (
	directoryObject = "rbd_directory"
	// trashObject has the images that `rbd trash mv` took out of the directory.
	trashObject = "rbd_trash"
	// imageLock is the lock on the header of an image with the feature
	// exclusive-lock, and the one of `rbd lock add`.
	imageLock = "rbd_lock"
)

// idObject has the id of the image with that name.
func idObject(name string) string { return "rbd_id." + name }

// headerObject has everything else about the image with that id.
func headerObject(id string) string { return "rbd_header." + id }

var errShort = errors.New("ceph's answer is too short")

func encodeString(s string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s...)
}

func decodeString(data []byte) (string, error) {
	if len(data) < 4 {
		return "", errShort
	}
	n := binary.LittleEndian.Uint32(data)
	if uint64(len(data)-4) < uint64(n) {
		return "", errShort
	}
	return string(data[4 : 4+n]), nil
}

// readID returns the id of the image with that name, or ENOENT.
func readID(ioctx *rados.IOContext, name string) (string, error) {
	data := make([]byte, 256)
	n, err := ioctx.Read(idObject(name), data, 0)
	if err != nil {
		return "", err
	}
	return decodeString(data[:n])
}

// readDirectory returns the id under which the pool's directory has the name, or
// ENOENT.
func readDirectory(ioctx *rados.IOContext, name string) (string, error) {
	return askDirectory(ioctx, "dir_get_id", name)
}

// readListed returns the name under which the pool's directory has the id, or
// ENOENT.
func readListed(ioctx *rados.IOContext, id string) (string, error) {
	return askDirectory(ioctx, "dir_get_name", id)
}

func askDirectory(ioctx *rados.IOContext, method, about string) (string, error) {
	op := rados.CreateReadOp()
	defer op.Release()
	answer := op.Exec("rbd", method, encodeString(about))
	if err := op.Operate(ioctx, directoryObject, rados.OperationNoFlag); err != nil {
		return "", err
	}
	data, err := answer.Bytes()
	if err != nil {
		return "", err
	}
	return decodeString(data)
}
