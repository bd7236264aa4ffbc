package staticpv

import "strings"

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
