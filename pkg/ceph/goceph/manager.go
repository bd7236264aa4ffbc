//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"io/fs"

	"github.com/ceph/go-ceph/cephfs/admin"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// manager is a second client, for commands to the manager, which makes and grows
// subvolumes. It connects when it is first used: most programs never do.
//
// It is another one because librados must not end the wait for such a command.
// When rados_mon_op_timeout does, librados keeps the command and forgets that its
// caller has gone: the manager's answer, when it comes after all, is written to
// where the caller's stack was, and the process dies of "free(): invalid pointer"
// (RadosClient::mgr_command in 16.2.15, and still in 20). Without that timeout the
// wait ends with the answer, and only the caller stops waiting, see calls.
type manager struct {
	config Config
	// slot lets one goroutine at a time look at the fields below.
	slot   chan struct{}
	opened *connection
	closed bool
}

func newManager(config Config) *manager {
	config.patientWithMonitors = true
	return &manager{config: config, slot: make(chan struct{}, 1)}
}

// connect returns the client, which is closed with m.
func (m *manager) connect(ctx context.Context) (*connection, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	select {
	case m.slot <- struct{}{}:
		defer func() { <-m.slot }()
	case <-ctx.Done():
		return nil, stoppedWaiting(ctx)
	}
	if m.closed {
		return nil, fs.ErrClosed
	}
	if m.opened == nil {
		opened, err := dial(ctx, m.config)
		if err != nil {
			return nil, err
		}
		m.opened = opened
	}
	return m.opened, nil
}

// close waits, bounded, until the last call has left the client.
func (m *manager) close() error {
	m.slot <- struct{}{}
	defer func() { <-m.slot }()
	m.closed = true
	if m.opened == nil {
		return nil
	}
	return m.opened.calls.close()
}

// managed runs f, which may block, with the client for the manager. All of it
// takes at most as long as one call: when the caller stops waiting, the context
// of f ends, so that f, whenever it goes on, changes nothing any more.
func managed[T any](ctx context.Context, c *connection, f func(context.Context, filesystems) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.calls.wait, ceph.ErrUnreachable)
	defer cancel()
	m, err := c.manager.connect(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return call(ctx, m.calls, func() (T, error) {
		return f(ctx, filesystems{m, admin.NewFromConn(m.rados)})
	})
}
