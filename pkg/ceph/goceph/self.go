//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Self asks nobody: a client learns its address when it connects, and keeps it.
func (c *connection) Self(ctx context.Context) (string, error) {
	addr, err := call(ctx, c.calls, func() (string, error) {
		addrs, err := c.rados.GetAddrs()
		if err != nil {
			return "", translate(err, nil)
		}
		addr := firstAddr(addrs)
		return addr, ceph.CheckFence(addr)
	})
	if err != nil {
		return "", fmt.Errorf("look for the own address: %w", err)
	}
	return addr, nil
}
