package staticpv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// hashLength is the number of hexadecimal digits that a shortened name ends in.
const hashLength = 16

// ImageName is the name of the image or subvolume of a claim
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

// derived is how the name of a PersistentVolume ends that is not its image's. An image whose
// own name ends so gets a derived one too: no name of an image is another image's derived one.
var derived = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(^|\.)image-[0-9a-f]{16}$`)
})

// VolumeName is the name of the PersistentVolume of an image or subvolume: the same, if
// Kubernetes takes it. RBD has names with capitals and '_' as well: those are written as
// Kubernetes can, and a hash of the whole name tells apart what is written alike.
//
//	shop.data            shop.data
//	Shop.Orders_2024     shop.orders-2024.image-567d4a893cced963
func VolumeName(image string) string {
	if len(validation.IsDNS1123Subdomain(image)) == 0 && !derived().MatchString(image) {
		return image
	}
	labels := strings.FieldsFunc(strings.ToLower(image), func(r rune) bool { return r == '.' })
	for i, label := range labels {
		labels[i] = strings.Trim(strings.Map(inLabel, label), "-")
	}
	labels = slices.DeleteFunc(labels, func(label string) bool { return label == "" })
	head := strings.Join(labels, ".")
	head = strings.TrimRight(head[:min(len(head), annotations.MaxImageName)], "-.")
	return strings.TrimLeft(head+".image-"+hash(image), ".")
}

// inLabel is the letter as a label of a DNS name can have it.
func inLabel(r rune) rune {
	if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
		return r
	}
	return '-'
}

// csiID is how the ids begin that ceph-csi makes volumeHandles of: a version, the
// length of the clusterID, and so on, 64 bytes and the clusterID in all (ceph-csi,
// internal/util/volid.go). Whatever follows, a handle that begins so is refused:
// ceph-csi itself trusts the length, and dies of a wrong one. It reads capitals as well.
var csiID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-fA-F]{4}.[0-9a-fA-F]{4}.{55}`)
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
	// A label of a DNS name must not end in '-', and none may be empty.
	head := strings.TrimRight(name[:max-1-hashLength], "-.")
	return head + "-" + hash(name)
}

// hash is the beginning of the name's SHA-256.
func hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])[:hashLength]
}
