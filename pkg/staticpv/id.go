package staticpv

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
)

// wholeID are the parts of an id of ceph-csi (its internal/util/volid.go):
//
//	0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002
//
// the version, the length of the clusterID in hexadecimal, the clusterID, the pool's id in
// Ceph, and the uuid that the image's name ends in.
var wholeID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9a-f]{4})-([0-9a-f]{4})-(.+)-([0-9a-f]{16})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
})

// longestID is the longest handle that ceph-csi reads, in bytes.
const longestID = 128

// IsID reports whether the handle is one that ceph-csi gave a volume.
func IsID(handle string) bool {
	parts := wholeID().FindStringSubmatch(handle)
	if parts == nil {
		return false
	}
	length, err := strconv.ParseUint(parts[2], 16, 16)
	return err == nil && int(length) == len(parts[3])
}

// WithClusterID returns an id of ceph-csi for the same image with another clusterID.
func WithClusterID(handle, clusterID string) (string, error) {
	if !IsID(handle) {
		return "", fmt.Errorf("%q is not an id of ceph-csi", handle)
	}
	if clusterID == "" {
		return "", errors.New("the clusterID is empty")
	}
	parts := wholeID().FindStringSubmatch(handle)
	id := fmt.Sprintf("%s-%04x-%s-%s-%s", parts[1], len(clusterID), clusterID, parts[4], parts[5])
	if len(id) > longestID {
		return "", fmt.Errorf("with clusterID %q it has %d bytes, and ceph-csi reads %d", clusterID, len(id), longestID)
	}
	return id, nil
}
