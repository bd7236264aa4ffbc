//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"slices"

	"github.com/ceph/go-ceph/cephfs/admin"
	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// filesystems speaks to the manager's module "volumes", and to the monitors about
// file systems.
type filesystems struct {
	*connection
	admin *admin.FSAdmin
}

// filesystem is what the monitors know about a file system, or
// ErrFilesystemNotFound.
func filesystem(conn *rados.Conn, name string) (admin.FSPoolInfo, error) {
	all, err := admin.NewFromConn(conn).ListFileSystems()
	if err != nil {
		return admin.FSPoolInfo{}, translate(err, nil)
	}
	i := slices.IndexFunc(all, func(f admin.FSPoolInfo) bool { return f.Name == name })
	if i < 0 {
		return admin.FSPoolInfo{}, ceph.ErrFilesystemNotFound
	}
	return all[i], nil
}

// openMetadata makes an IOContext for what this project keeps about the file
// system's subvolumes.
func (c *connection) openMetadata(pool string) (*rados.IOContext, error) {
	ioctx, err := c.open(pool)
	if err != nil {
		return nil, err
	}
	ioctx.SetNamespace(ceph.SubvolumeNamespace)
	return ioctx, nil
}

// doMetadata is do for a file system's metadata pool.
func doMetadata[T any](ctx context.Context, c *connection, name string, f func(*rados.IOContext) (T, error)) (T, error) {
	return call(ctx, c.calls, func() (T, error) {
		var none T
		in, err := filesystem(c.rados, name)
		if err != nil {
			return none, err
		}
		ioctx, err := c.openMetadata(in.MetadataPool)
		if err != nil {
			return none, err
		}
		defer ioctx.Destroy()
		return f(ioctx)
	})
}
