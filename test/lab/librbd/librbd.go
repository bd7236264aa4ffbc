//go:build cgo && (pacific || quincy || reef || squid || tentacle)

// Package librbd opens images for the lab's node agent as a node that maps
// them does: read-write, with a watch. Product code never does that, so package goceph
// has nothing for it.
//
// Like the kernel client, and unlike goceph, it waits for ever when Ceph does not
// answer, and its writes continue when the network is back.
package librbd

import (
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/test/lab/agent"
)

// Client is one RADOS client: one address and nonce for all its images.
type Client struct{ conn *rados.Conn }

// Dial connects.
func Dial(settings agent.CephSettings) (agent.Client, error) {
	conn, err := rados.NewConnWithUser(settings.User)
	if err != nil {
		return nil, err
	}
	if err := conn.ReadConfigFile("/dev/null"); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"mon_host":     settings.MonHost,
		"key":          settings.Key,
		"log_file":     "/dev/null",
		"admin_socket": "",
		// A stamp that was written is in Ceph.
		"rbd_cache": "false",
	} {
		if err := conn.SetConfigOption(name, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	if err := conn.Connect(); err != nil {
		return nil, fmt.Errorf("connect as %s: %w", settings.User, err)
	}
	return &Client{conn}, nil
}

// Address is the client's as its watches show it: ip:port/nonce.
func (c *Client) Address() string {
	address, err := c.conn.GetAddrs()
	if err != nil {
		return err.Error()
	}
	return address
}

// Watchers opens the image read-write and lists its watchers, the own one too.
func (c *Client) Watchers(spec ceph.ImageSpec) (addresses []string, err error) {
	err = c.with(spec, func(ioctx *rados.IOContext) error {
		image, err := rbd.OpenImage(ioctx, spec.Name, rbd.NoSnapshot)
		if err != nil {
			return err
		}
		watchers, err := image.ListWatchers()
		for _, w := range watchers {
			addresses = append(addresses, w.Addr)
		}
		return errors.Join(err, image.Close())
	})
	return addresses, err
}

// Open opens an image.
func (c *Client) Open(spec ceph.ImageSpec, mode agent.Mode) (agent.Image, error) {
	var opened agent.Image
	err := c.with(spec, func(ioctx *rados.IOContext) error {
		open := rbd.OpenImage
		if mode == agent.ReadOnly {
			open = rbd.OpenImageReadOnly
		}
		i, err := open(ioctx, spec.Name, rbd.NoSnapshot)
		if err != nil {
			return err
		}
		if mode == agent.Exclusive {
			if err := i.LockAcquire(rbd.LockModeExclusive); err != nil {
				return errors.Join(fmt.Errorf("acquire exclusive lock: %w", err), i.Close())
			}
		}
		opened = &image{i, mode}
		return nil
	})
	return opened, err
}

// with calls f with an IOContext for the image. librbd makes a copy.
func (c *Client) with(spec ceph.ImageSpec, f func(*rados.IOContext) error) error {
	ioctx, err := c.conn.OpenIOContext(spec.Pool)
	if err != nil {
		return fmt.Errorf("open pool %q: %w", spec.Pool, err)
	}
	defer ioctx.Destroy()
	ioctx.SetNamespace(spec.Namespace)
	if err := f(ioctx); err != nil {
		return fmt.Errorf("open image %q: %w", spec, err)
	}
	return nil
}

// Close disconnects. No image may be open.
func (c *Client) Close() { c.conn.Shutdown() }

type image struct {
	*rbd.Image
	mode agent.Mode
}

// Size returns the size in bytes.
func (i *image) Size() (uint64, error) { return i.GetSize() }

// Close ends the watch and returns the lock.
func (i *image) Close() error {
	var err error
	if i.mode == agent.Exclusive {
		err = i.LockRelease()
	}
	return errors.Join(err, i.Image.Close())
}
