package goceph

import (
	"errors"
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// The errno values of Linux that librados and librbd return, negated, on every
// system that Ceph runs on.
const (
	eperm     = -1
	enoent    = -2
	eio       = -5
	ebadf     = -9
	eacces    = -13
	eexist    = -17
	einval    = -22
	enospc    = -28
	erofs     = -30
	edom      = -33
	erange    = -34
	enosys    = -38
	eoverflow = -75
	estale    = -116
	eshutdown = -108
	etimedout = -110
	edquot    = -122
)

// What errno returns for other errors, and for none.
const (
	success = 0
	unknown = 1
)

// errno is the error code in err's tree. go-ceph's errors have the method but no
// exported type.
func errno(err error) int {
	if err == nil {
		return success
	}
	var coded interface{ ErrorCode() int }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return unknown
}

// meanings is what errno values of one call mean in our words.
type meanings map[int]error

// everywhere is what errno values mean at every call, if the call has no meaning
// of its own for them.
var everywhere = meanings{
	// Monitors and managers deny with EACCES, OSDs with EPERM.
	eperm:  ceph.ErrPermission,
	eacces: ceph.ErrPermission,
	// With the flag FULL_TRY on the operation: EDQUOT for a pool's quota, ENOSPC
	// for a full cluster. Without it, operations wait until there is room.
	edquot: ceph.ErrPoolFull,
	enospc: ceph.ErrPoolFull,
	// The OSDs refuse a client whose address is on the blocklist.
	eshutdown: ceph.ErrBlocklisted,
	etimedout: ceph.ErrUnreachable,
}

// translate gives err its meaning. It keeps what the library said, for those who
// search for that.
func translate(err error, call meanings) error {
	code := errno(err)
	if code == success {
		return nil
	}
	for _, m := range []meanings{call, everywhere} {
		if meaning, ok := m[code]; ok {
			return fmt.Errorf("%w (%w)", meaning, err)
		}
	}
	return err
}
