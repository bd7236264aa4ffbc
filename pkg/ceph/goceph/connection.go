//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// connection is one RADOS client.
type connection struct {
	rados *rados.Conn
	calls *calls
	// spaces has the rados namespaces that were seen to exist, as space values.
	// They are looked up once: a namespace can be removed only when it has no
	// images.
	spaces sync.Map
	lasts  lasts
	// manager is for subvolumes.
	manager *manager
}

// space is a rados namespace of a pool.
type space struct{ pool, namespace string }

var _ ceph.Cluster = (*connection)(nil)

// Dial connects to Ceph. Besides ceph.ErrUnreachable it returns ceph.ErrAuth,
// ceph.ErrSettings when the settings do not say where Ceph is or who connects, and
// ceph.ErrKeyType.
func Dial(ctx context.Context, config Config) (ceph.Cluster, error) {
	dialed, err := dial(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.where(), err)
	}
	return dialed, nil
}

func dial(ctx context.Context, config Config) (*connection, error) {
	conn, err := config.newConn()
	if err != nil {
		return nil, err
	}
	c := &connection{
		rados:   conn,
		manager: newManager(config),
	}
	c.calls = newCalls(2*config.timeout(), func() { shutDown(conn) })
	_, err = call(ctx, c.calls, func() (struct{}, error) {
		return struct{}{}, translate(conn.Connect(), meanings{
			eperm:  ceph.ErrAuth,
			eacces: ceph.ErrAuth,
			enoent: ceph.ErrSettings,
			einval: ceph.ErrSettings,
			eio:    ceph.ErrSettings, // a keyring that cannot be read as one
		})
	})
	if err != nil {
		err = config.explain(err, conn)
		c.calls.closeLater()
		return nil, err
	}
	return c, nil
}

// newConn is a client that is not connected yet.
func (c Config) newConn() (*rados.Conn, error) {
	conn, err := rados.NewConnWithUser(c.user())
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	if err := c.configure(conn); err != nil {
		shutDown(conn)
		return nil, err
	}
	return conn, nil
}

func (c Config) configure(conn *rados.Conn) error {
	read := func() error { return conn.ReadConfigFile(c.ConfFile) }
	switch {
	case c.ConfFile != "":
		// librados says "invalid argument" for a file that it cannot open, and
		// writes the reason to stderr.
		file, err := os.Open(c.ConfFile)
		if err != nil {
			return fmt.Errorf("%w: %w", ceph.ErrSettings, err)
		}
		if err := file.Close(); err != nil {
			return err
		}
	case len(c.Monitors) == 0:
		read = conn.ReadDefaultConfigFile
	default:
		// Only after reading some file does librados apply that it is a library
		// and does not log to stderr.
		read = func() error { return conn.ReadConfigFile(os.DevNull) }
	}
	if err := read(); err != nil {
		return fmt.Errorf("read %s: %w (%w)", cmp.Or(c.ConfFile, "the default ceph.conf"), ceph.ErrSettings, err)
	}
	for _, o := range c.options() {
		if err := conn.SetConfigOption(o.name, o.value); err != nil {
			return fmt.Errorf("set %s: %w (%w)", o.name, ceph.ErrSettings, err)
		}
	}
	return nil
}

// patience is how long one call waits for another client before it decides
// about it: a part of the time that a caller waits.
func (c *connection) patience() time.Duration { return c.calls.wait / 5 }

// Close ends the connection when the last call has left it, and waits for that,
// bounded. A second Close returns the same.
func (c *connection) Close() error {
	c.calls.closeLater()
	return errors.Join(c.manager.close(), c.calls.close())
}

// do runs f, which may block, with an IOContext of its own for spec's pool and
// namespace.
func do[T any](ctx context.Context, c *connection, spec ceph.ImageSpec, f func(*rados.IOContext) (T, error)) (T, error) {
	return call(ctx, c.calls, func() (T, error) {
		var none T
		ioctx, err := c.open(spec.Pool)
		if err != nil {
			return none, err
		}
		defer ioctx.Destroy()
		ioctx.SetNamespace(spec.Namespace)
		return f(ioctx)
	})
}

// open makes an IOContext for the pool's default namespace.
func (c *connection) open(pool string) (*rados.IOContext, error) {
	ioctx, err := c.rados.OpenIOContext(pool)
	if err != nil {
		return nil, translate(err, meanings{enoent: ceph.ErrPoolNotFound})
	}
	// Without this, writes to a full pool wait until there is room. librbd makes
	// its own IOContext as a copy of ours, with the flag.
	if err := ioctx.SetPoolFullTry(); err != nil {
		ioctx.Destroy()
		return nil, err
	}
	return ioctx, nil
}
