//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *connection) Namespaces(ctx context.Context, pool string) ([]string, error) {
	names, err := do(ctx, c, ceph.ImageSpec{Pool: pool}, func(ioctx *rados.IOContext) ([]string, error) {
		names, err := rbd.NamespaceList(ioctx)
		// The object with the list is made with the first namespace.
		if errno(err) == enoent {
			return nil, nil
		}
		return names, translate(err, nil)
	})
	if err != nil {
		return nil, fmt.Errorf("list rados namespaces of pool %q: %w", pool, err)
	}
	slices.Sort(names)
	return names, nil
}

// checkNamespace returns ErrNamespaceNotFound when spec's rados namespace does
// not exist. For RADOS every namespace exists: a read finds nothing in it, and a
// write succeeds, into a place that no tool lists.
func (c *connection) checkNamespace(spec ceph.ImageSpec) error {
	at := space{spec.Pool, spec.Namespace}
	if _, seen := c.spaces.Load(at); seen || spec.Namespace == "" {
		return nil
	}
	// librbd wants the IOContext of the default namespace here. It looks into the
	// namespace itself, so rights there are enough.
	ioctx, err := c.open(spec.Pool)
	if err != nil {
		return err
	}
	defer ioctx.Destroy()
	exists, err := rbd.NamespaceExists(ioctx, spec.Namespace)
	if err != nil {
		return translate(err, nil)
	}
	if !exists {
		return ceph.ErrNamespaceNotFound
	}
	c.spaces.Store(at, nil)
	return nil
}

// absent is the error for something that was not found in spec's namespace.
func (c *connection) absent(spec ceph.ImageSpec, what error) error {
	if err := c.checkNamespace(spec); err != nil {
		return err
	}
	return what
}
