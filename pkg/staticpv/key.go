package staticpv

import (
	"fmt"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
)

// Handle is the volumeHandle of a cluster that has this key, for a keyed image: the name
// that the image carries while the cluster owns it. Without a key it is the image's name.
func Handle(image, key string) string { return ceph.JoinName(image, key) }

// StaticImage is the image of a static volume with that handle, as far as the handle says.
func StaticImage(handle string) Image {
	image := Image{Static: true}
	image.Name, image.Key = ceph.SplitName(handle)
	return image
}

// Spec is the image as the cluster with the volume's key asks Ceph for it.
func (i Image) Spec(radosNamespace string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: i.Pool, Namespace: radosNamespace, Name: i.Name, Key: i.Key}
}

// Handle is the volumeHandle of a static volume of the image.
func (i Image) Handle() string { return Handle(i.Name, i.Key) }

// baseOf is the name of the image that carries that name, whoever owns it.
func baseOf(name string) string {
	base, _ := ceph.SplitName(name)
	return base
}

// FitsKey returns an error if the claim's image cannot carry its name with the key, because
// librbd takes no name that is so long.
func (p Plan) FitsKey(key string) error {
	length := len(Handle(p.Image, key))
	if length <= annotations.MaxImageName {
		return nil
	}
	return fmt.Errorf("claim %s/%s: image %q must carry the key of its owner, and has %d bytes with the key %q of this cluster, more than the %d that a name of an image may have; "+
		"choose a shorter name with the annotation %s, or a new image without keys with %s: \"false\"",
		p.Namespace, p.Claim, p.Image, length, key, annotations.MaxImageName, annotations.Image, annotations.Keyed)
}

// TooLong is why the image cannot carry its name with the longest of the keys, those of all clusters
// that may own it one day, or empty. Of equally long ones it is about the first.
func TooLong(image string, keys []ceph.Key) string {
	var longest ceph.Key
	for _, key := range keys {
		if len(key.Name) > len(longest.Name) {
			longest = key
		}
	}
	length := len(Handle(image, longest.Name))
	if length <= annotations.MaxImageName {
		return ""
	}
	return fmt.Sprintf("image %q must carry the key of its owner, and would have %d bytes with the key %q of the cluster with uid %s, more than the %d that a name of an image may have, so that cluster could never own it",
		image, length, longest.Name, longest.UID, annotations.MaxImageName)
}
