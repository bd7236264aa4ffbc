//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/cephferry/cephferry/test/krbd/vm/serial"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// pause is between two stamps. The device is asked each time: what a client that
// was cut off does when it may write again is what the tests are about.
const pause = 50 * time.Millisecond

func write(path, name, file string) error {
	device, err := openDevice(path)
	if err != nil {
		return err
	}
	size, err := device.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	chain, err := stamp.Continue(device, uint64(size))
	if err != nil {
		return err
	}
	var state serial.Writing
	for ; ; time.Sleep(pause) {
		if err := chain.Write(stamp.Writer{Node: name, Pod: path}); err != nil {
			state.Failed++
			state.Error = err.Error()
		} else {
			state.Written++
			state.Error = ""
		}
		if err := save(file, state); err != nil {
			return err
		}
	}
}

// save replaces the file at once.
func save(file string, state serial.Writing) error {
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
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
		return nil, fmt.Errorf("allocate buffer: %w", err)
	}
	return &device{file, buffer}, nil
}

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
