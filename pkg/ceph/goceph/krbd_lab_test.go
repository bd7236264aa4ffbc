//go:build lab && cgo

package goceph

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// device imitates an image that the kernel client has mapped with the option
// exclusive, as far as other clients notice: it watches the header, holds the
// lock in its own name, and answers notifications as drivers/block/rbd.c does.
// A librbd that holds the lock would not do, because it resizes for others. What
// real kernels do is tried in test/krbd.
type device struct {
	ioctx   *rados.IOContext
	watcher *rados.Watcher
	header  string
	cookie  string
	ended   chan struct{}
	// stop ends the watch, once.
	stop func() error
}

// manner is how a device treats notifications.
type manner bool

const (
	answers manner = true
	silent  manner = false
)

const (
	requestLock = 2
	erofsAnswer = -30
	eopnotsupp  = -95
)

func (h *harness) mapExclusively(t *testing.T, spec ceph.ImageSpec, how manner) *device {
	t.Helper()
	ioctx := h.ownIoctx(t, spec)
	id, err := readID(ioctx, spec.Name)
	must(t, err)
	d := &device{ioctx: ioctx, header: headerObject(id), ended: make(chan struct{})}
	d.watcher, err = ioctx.Watch(d.header)
	must(t, err)
	d.stop = sync.OnceValue(d.watcher.Delete)
	t.Cleanup(func() { _ = d.stop() })
	go func() {
		// A client that is fenced is told so here, and librados waits until it listens.
		for range d.watcher.Errors() {
		}
	}()
	d.cookie = fmt.Sprintf("auto %d", d.watcher.ID())

	// The class method that rados_lock_exclusive calls as well, but that one has
	// no parameter for the tag.
	var request []byte
	request = append(request, encodeString("rbd_lock")...)
	request = append(request, 1) // exclusive
	request = append(request, encodeString(d.cookie)...)
	request = append(request, encodeString("internal")...)
	request = append(request, encodeString("")...) // description
	request = append(request, make([]byte, 8)...)  // no expiry
	request = append(request, 0)                   // flags
	op := rados.CreateWriteOp()
	defer op.Release()
	op.Exec("lock", "lock", versioned(request))
	must(t, op.Operate(ioctx, d.header, rados.OperationNoFlag))

	go func() {
		defer close(d.ended)
		for event := range d.watcher.Events() {
			if how == answers {
				// An error means that the device is being unmapped.
				_ = event.Ack(answer(event.Data))
			}
		}
	}()
	return d
}

// answer is the kernel's answer to a notification.
func answer(data []byte) []byte {
	if len(data) < 10 {
		return nil
	}
	result := int32(eopnotsupp)
	switch binary.LittleEndian.Uint32(data[6:]) {
	case 0, 1, 3: // lock acquired, lock released, header updated
		return nil
	case requestLock:
		result = erofsAnswer
	}
	return versioned(binary.LittleEndian.AppendUint32(nil, uint32(result)))
}

// versioned puts Ceph's header before an encoded structure.
func versioned(body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{1, 1}, uint32(len(body))), body...)
}

func (d *device) unmap(t *testing.T) {
	t.Helper()
	_, err := d.ioctx.Unlock(d.header, "rbd_lock", d.cookie)
	must(t, err)
	d.die(t)
}

// die ends the watch and leaves the lock, as a client that is no more.
func (d *device) die(t *testing.T) {
	t.Helper()
	must(t, d.stop())
	<-d.ended
}
