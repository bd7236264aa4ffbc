//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cephferry/cephferry/test/krbd/vm/serial"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// pause is between two stamps. The device is asked each time: what a client that
// was cut off does when it may write again is what the tests are about.
const pause = 50 * time.Millisecond

// writers write stamps into devices, without end, past every error.
type writers struct {
	mu  sync.Mutex
	all map[string]*writer
}

type writer struct {
	mu            sync.Mutex
	state         serial.Writing
	stop, stopped chan struct{}
}

// do does what was asked, and returns how it goes for the writer then.
func (w *writers) do(request serial.WriterRequest) (*serial.Writing, error) {
	writer, err := w.take(request)
	if err != nil {
		return nil, err
	}
	if request.Stop {
		// A write that waits for Ceph keeps nobody from asking for others.
		close(writer.stop)
		<-writer.stopped
	}
	writer.mu.Lock()
	defer writer.mu.Unlock()
	state := writer.state
	return &state, nil
}

// take is the writer that was asked for, which is started, or is no longer listed, if that
// was asked.
func (w *writers) take(request serial.WriterRequest) (*writer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if request.Start {
		if err := w.start(request.Device, request.Node); err != nil {
			return nil, err
		}
	}
	writer := w.all[request.Device]
	if writer == nil {
		return nil, fmt.Errorf("nobody writes into %s", request.Device)
	}
	if request.Stop {
		delete(w.all, request.Device)
	}
	return writer, nil
}

func (w *writers) start(path, node string) error {
	if w.all[path] != nil {
		return fmt.Errorf("somebody writes into %s", path)
	}
	device, err := openDevice(path)
	if err != nil {
		return err
	}
	size, err := device.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, device.close())
	}
	chain, err := stamp.Continue(device, uint64(size))
	if err != nil {
		return errors.Join(err, device.close())
	}
	writer := &writer{stop: make(chan struct{}), stopped: make(chan struct{})}
	w.all[path] = writer
	go func() {
		defer close(writer.stopped)
		defer device.close()
		writer.write(chain, stamp.Writer{Node: node, Pod: path})
	}()
	return nil
}

func (w *writer) write(chain *stamp.Chain, as stamp.Writer) {
	for {
		err := chain.Write(as)
		w.mu.Lock()
		if w.state.Error = ""; err == nil {
			w.state.Written++
		} else {
			w.state.Failed++
			w.state.Error = err.Error()
		}
		w.mu.Unlock()
		select {
		case <-w.stop:
			return
		case <-time.After(pause):
		}
	}
}

// device is a block device that is read and written past the page cache, so that
// a stamp that was written is in Ceph, and a write that fails is told.
type device struct {
	*os.File
	// buffer is aligned, as the kernel wants it.
	buffer []byte
}

// bufferSize divides the area of the stamps.
const bufferSize = 1 << 20

func openDevice(path string) (*device, error) {
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	buffer, err := syscall.Mmap(-1, 0, bufferSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("allocate buffer: %w", err), file.Close())
	}
	return &device{file, buffer}, nil
}

func (d *device) close() error { return errors.Join(d.File.Close(), syscall.Munmap(d.buffer)) }

func (d *device) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if _, err := d.File.ReadAt(d.buffer, off+int64(n)); err != nil {
			return n, err
		}
		n += copy(p[n:], d.buffer)
	}
	return n, nil
}

func (d *device) WriteAt(p []byte, off int64) (int, error) {
	return d.File.WriteAt(d.buffer[:copy(d.buffer, p)], off)
}
