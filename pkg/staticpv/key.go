package staticpv

import (
	"fmt"
	"strings"

	"github.com/cephferry/cephferry/pkg/annotations"
)

// keySeparator stands between an image's base name and the key of the cluster that owns
// it. No name of Kubernetes has it.
const keySeparator = "~"

// Handle is the volumeHandle of a cluster that has this key, for a keyed image: the name
// that the image bears while the cluster owns it. Without a key it is the image's name.
func Handle(image, key string) string {
	if key == "" {
		return image
	}
	return image + keySeparator + key
}

// splitKey is the reverse of [Handle]. What no handle of ours can be is a name as it
// stands, without a key: one with an empty part, or with several separators.
func splitKey(handle string) (image, key string) {
	image, key, _ = strings.Cut(handle, keySeparator)
	if image == "" || key == "" || strings.Contains(key, keySeparator) {
		return handle, ""
	}
	return image, key
}

// StaticImage is the image of a static volume with that handle, as far as the handle says.
func StaticImage(handle string) Image {
	image := Image{Static: true}
	image.Name, image.Key = splitKey(handle)
	return image
}

// Handle is the volumeHandle of a static volume of the image.
func (i Image) Handle() string { return Handle(i.Name, i.Key) }

// baseOf is the name of the image that bears that name, whoever owns it.
func baseOf(name string) string {
	base, _ := splitKey(name)
	return base
}

// FitsKey returns an error if the claim's image cannot bear its name with the key, because
// librbd takes no name that is so long.
func (p Plan) FitsKey(key string) error {
	length := len(Handle(p.Image, key))
	if length <= annotations.MaxImageName {
		return nil
	}
	return fmt.Errorf("claim %s/%s: image %q is to bear the key of its owner, and has %d bytes with the key %q of this cluster, more than the %d that a name of an image may have; "+
		"choose a shorter name with the annotation %s, or a new image without keys with %s: \"false\"",
		p.Namespace, p.Claim, p.Image, length, key, annotations.MaxImageName, annotations.Image, annotations.Keyed)
}
