//go:build !cgo || !(pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"context"
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Dial returns errors.ErrUnsupported: this build has no librados.
func Dial(_ context.Context, config Config) (ceph.Cluster, error) {
	return nil, fmt.Errorf("%s: this program was built without librados: %w", config.where(), errors.ErrUnsupported)
}
