package staticpv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// hashLength is the number of hexadecimal digits that a shortened name ends in.
const hashLength = 16

// ImageName is the name of the image, of the PV and the volumeHandle of a claim
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

// ClaimName is the name of the PVC that the StatefulSet controller looks for.
func ClaimName(template, statefulSet string, ordinal int) string {
	return fmt.Sprintf("%s-%s-%d", template, statefulSet, ordinal)
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
