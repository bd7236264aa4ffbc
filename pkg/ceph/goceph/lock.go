//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// checkLock returns ErrImageLocked when librbd could get the image's lock only by
// waiting or by force: a LockedError, if a client holds it.
//
// librbd asks the holder, and one that is alive gives the lock up, or does for us what we
// want, or refuses. But a holder that does not answer is declared dead after 30 s:
// librbd then breaks the lock and puts that client on the blocklist for an hour.
// That would cut off all volumes of a node that is only hard to reach, because somebody
// raised a size or gave another name. And a lock of `rbd lock add` lets librbd wait for
// ever.
func checkLock(ioctx *rados.IOContext, image ceph.Image, patience time.Duration) error {
	header := headerObject(image.ID)
	lock, err := ioctx.ListLockers(header, imageLock)
	if err != nil {
		return translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	if lock.NumLockers == 0 {
		return nil
	}
	if lock.Tag != "internal" {
		return fmt.Errorf("%w: `rbd lock ls` shows a lock of %s", ceph.ErrImageLocked, lock.Clients[0])
	}
	// Every watcher of the header answers any notification. This one has a number
	// that no version of Ceph knows, so that nobody does anything about it.
	acks, _, err := ioctx.NotifyWithTimeout(header, notification(0x63656665), patience)
	if err != nil && errno(err) != etimedout {
		return translate(err, meanings{enoent: ceph.ErrImageNotFound})
	}
	for _, ack := range acks {
		if fmt.Sprintf("client.%d", ack.NotifierID) == lock.Clients[0] {
			return nil
		}
	}
	return &ceph.LockedError{Client: lock.Clients[0], Addr: plainAddr(lock.Addrs[0])}
}

// notification is a message for the watchers of an image's header without
// payload: encoding version and the oldest compatible one, length, kind.
func notification(kind uint32) []byte {
	data := binary.LittleEndian.AppendUint32([]byte{1, 1}, 4)
	return binary.LittleEndian.AppendUint32(data, kind)
}

// refusal is the LockedError for a client that has answered [checkLock] and then did not
// give the lock up: EROFS. It is another error if that has changed since.
func refusal(ioctx *rados.IOContext, image ceph.Image, err error) error {
	lock, listed := ioctx.ListLockers(headerObject(image.ID), imageLock)
	if listed != nil || lock.NumLockers == 0 {
		return translate(err, meanings{erofs: ceph.ErrImageLocked})
	}
	return &ceph.LockedError{Client: lock.Clients[0], Addr: plainAddr(lock.Addrs[0]), Answers: true}
}
