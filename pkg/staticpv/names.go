package staticpv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// hashLength is the number of hexadecimal digits that a shortened name ends in.
const hashLength = 16

// ImageName is the name of the image or subvolume, of the PV and the volumeHandle of a claim
// that does not choose one: <namespace>.<claim>. A namespace has no dot, so two
// claims of a cluster never get one name. A name too long for librbd is
// shortened, in a way that keeps the namespace.
func ImageName(namespace, claim string) string {
	return shorten(namespace+"."+claim, annotations.MaxImageName)
}

// OrdinalImageName is the name of an ordinal's image for a claim template that
// chooses the base name.
func OrdinalImageName(base string, ordinal int) string {
	return shorten(fmt.Sprintf("%s-%d", base, ordinal), annotations.MaxImageName)
}

// Names are those of a claim and of its image or subvolume.
type Names struct{ Claim, Image string }

// NamesOf returns the names of a PVC that asks for that.
func NamesOf(namespace, claim string, asked annotations.Claim) Names {
	if asked.Image != "" {
		return Names{claim, asked.Image}
	}
	return Names{claim, ImageName(namespace, claim)}
}

// NamesOfOrdinal returns the names of a claim that is made from a claim template which
// asks for that: its annotation has a base name.
func NamesOfOrdinal(namespace, claim string, asked annotations.Claim, ordinal int) Names {
	if asked.Image != "" {
		return Names{claim, OrdinalImageName(asked.Image, ordinal)}
	}
	return NamesOf(namespace, claim, asked)
}

// ClaimName is the name of the PVC that the StatefulSet controller looks for.
func ClaimName(template, statefulSet string, ordinal int) string {
	return fmt.Sprintf("%s-%s-%d", template, statefulSet, ordinal)
}

// csiID is how the ids begin that ceph-csi makes volumeHandles of: a version, the
// length of the clusterID, and so on, 64 bytes and the clusterID in all (ceph-csi,
// internal/util/volid.go). Whatever follows, a handle that begins so is refused:
// ceph-csi itself trusts the length, and dies of a wrong one.
var csiID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]{4}.[0-9a-f]{4}.{55}`)
})

// ValidateHandle returns an error if ceph-csi would misread name as volumeHandle: a CephFS
// volume is static only if its handle is not one of ceph-csi's ids, and since 3.15 an RBD
// volume with such a handle is never attached.
func ValidateHandle(name string) error {
	if csiID().MatchString(name) {
		return fmt.Errorf("ceph-csi would take a volume with this name for one that it made itself, because it begins like its own ids (0001-0009-…) and is as long; choose another name with the annotation %s", annotations.Image)
	}
	return nil
}

// shorten returns name if it has at most max bytes, and otherwise as much of its
// beginning as fits, "-" and a hash of the whole name.
func shorten(name string, max int) string {
	if len(name) <= max {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	// A label of a DNS name must not end in '-', and none may be empty.
	head := strings.TrimRight(name[:max-1-hashLength], "-.")
	return head + "-" + hex.EncodeToString(sum[:])[:hashLength]
}
