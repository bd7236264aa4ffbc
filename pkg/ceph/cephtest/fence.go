package cephtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// takeoverFence is how long Ceph fences a client whose lock somebody took over
// (mon_osd_blocklist_default_expire).
const takeoverFence = time.Hour

func (c *client) Blocklist(ctx context.Context, addrs []string, lasting time.Duration) error {
	_, err := do(ctx, c, Call{Method: "Blocklist"}, Operator, func() (struct{}, error) {
		fence, err := ceph.PlanFence(c.ceph.entries(), addrs, time.Now(), lasting)
		for _, addr := range fence.Renew {
			delete(c.ceph.blocklist, addr)
		}
		for _, addr := range slices.Concat(fence.Renew, fence.Add) {
			c.ceph.fence(addr, lasting)
		}
		return struct{}{}, err
	})
	return err
}

func (c *client) Unblocklist(ctx context.Context, addrs []string) error {
	_, err := do(ctx, c, Call{Method: "Unblocklist"}, Operator, func() (struct{}, error) {
		for _, addr := range addrs {
			if err := ceph.CheckFence(addr); err != nil {
				return struct{}{}, err
			}
		}
		for _, addr := range addrs {
			delete(c.ceph.blocklist, addr)
		}
		return struct{}{}, nil
	})
	return err
}

func (c *client) Blocklisted(ctx context.Context) ([]ceph.BlocklistEntry, error) {
	return do(ctx, c, Call{Method: "Blocklisted"}, Observer, func() ([]ceph.BlocklistEntry, error) {
		return c.ceph.entries(), nil
	})
}

func (c *client) MayFence(ctx context.Context) error {
	_, err := do(ctx, c, Call{Method: "MayFence"}, Operator, func() (struct{}, error) { return struct{}{}, nil })
	return err
}

// LockHolder says that who watches the image answers.
func (c *client) LockHolder(ctx context.Context, spec ceph.ImageSpec) (*ceph.LockedError, error) {
	return do(ctx, c, Call{Method: "LockHolder", Image: spec}, Observer, func() (*ceph.LockedError, error) {
		_, found, err := c.ceph.find(spec)
		if err != nil {
			return nil, err
		}
		var holder *ceph.LockedError
		if err := c.ceph.lockOf(found); err != nil && !errors.As(err, &holder) {
			return nil, err
		}
		return holder, nil
	})
}

// Barrier has nothing to wait for: here, an entry is in force at once.
func (c *client) Barrier(ctx context.Context, spec ceph.ImageSpec) error {
	_, err := do(ctx, c, Call{Method: "Barrier", Image: spec}, Observer, func() (struct{}, error) {
		_, _, err := c.ceph.find(spec)
		return struct{}{}, err
	})
	return err
}

func (c *Ceph) entries() []ceph.BlocklistEntry {
	var entries []ceph.BlocklistEntry
	for _, addr := range slices.Sorted(maps.Keys(c.blocklist)) {
		entries = append(entries, ceph.BlocklistEntry{Addr: addr, Until: c.blocklist[addr]})
	}
	return entries
}

// fence puts the address on the blocklist, unless it is on it. Whom that covers
// loses its watches, and keeps its locks.
func (c *Ceph) fence(addr string, lasting time.Duration) {
	if _, listed := c.blocklist[addr]; listed {
		return
	}
	c.blocklist[addr] = time.Now().Add(lasting)
	for _, p := range c.pools {
		for _, n := range p.namespaces {
			for _, i := range n.images {
				i.watchers = slices.DeleteFunc(i.watchers, func(w ceph.Watcher) bool { return c.fenced(w.Addr) })
			}
		}
	}
}

// fenced says whether an entry covers the client.
func (c *Ceph) fenced(addr string) bool {
	for entry := range c.blocklist {
		if (ceph.BlocklistEntry{Addr: entry}).Covers(addr) {
			return true
		}
	}
	return false
}

// Writer is an image that is open read-write somewhere.
type Writer struct {
	ceph    *Ceph
	image   *image
	watcher ceph.Watcher
}

// OpenImage opens the image by its own name as krbd maps it, with its option exclusive if the
// image has the feature exclusive-lock: the lock of a client that does not watch
// the image is broken, and that client fenced for an hour; another holder's lock
// refuses with ceph.ErrImageLocked. A fenced client gets ceph.ErrBlocklisted.
func (c *Ceph) OpenImage(spec ceph.ImageSpec, watcher ceph.Watcher) (*Writer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, opened, err := c.find(ceph.ImageSpec{Pool: spec.Pool, Namespace: spec.Namespace, Name: spec.Own()})
	if err != nil {
		return nil, err
	}
	if c.fenced(watcher.Addr) {
		return nil, ceph.ErrBlocklisted
	}
	if slices.Contains(opened.features, "exclusive-lock") {
		none := ceph.Watcher{}
		switch {
		case slices.Contains(opened.watchers, opened.holder):
			return nil, ceph.ErrImageLocked
		case opened.holder != none:
			c.fence(opened.holder.Addr, takeoverFence)
		}
		opened.holder = watcher
	}
	opened.watchers = append(opened.watchers, watcher)
	return &Writer{c, opened, watcher}, nil
}

// Watcher is who opened the image.
func (w *Writer) Watcher() ceph.Watcher { return w.watcher }

// Write writes text into the image, or returns ceph.ErrBlocklisted. When its
// entry has ended, a client writes again, although it is no watcher any more and
// its lock may be another's: that is what krbd does.
func (w *Writer) Write(text string) error {
	w.ceph.mu.Lock()
	defer w.ceph.mu.Unlock()
	if w.ceph.fenced(w.watcher.Addr) {
		return ceph.ErrBlocklisted
	}
	w.image.written = append(w.image.written, text)
	return nil
}

// Close closes the image: the watcher is gone, and the lock, if it still is its.
func (w *Writer) Close() {
	w.ceph.mu.Lock()
	defer w.ceph.mu.Unlock()
	w.image.watchers = slices.DeleteFunc(w.image.watchers, func(other ceph.Watcher) bool { return other == w.watcher })
	if w.image.holder == w.watcher {
		w.image.holder = ceph.Watcher{}
	}
}

// Written is what was written into the image so far.
func (c *Ceph) Written(spec ceph.ImageSpec) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.lookup(spec)
	return slices.Clone(found.written)
}
