package postrender

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// namedImages are the images that claims and claim templates of a stream name in
// an annotation, in the order of the stream.
type namedImages []namedImage

type namedImage struct {
	// label is the object's, path leads to the annotation.
	label string
	path  *field.Path
	name  string
	// base means that the name stands on a claim template: the images are
	// <name>-<ordinal>.
	base bool
}

// mistakes reports every name that another claim uses too. How many ordinals there
// will be is not known, so a template uses the images of all.
func (n namedImages) mistakes() Mistakes {
	type key struct {
		name string
		base bool
	}
	bases := map[string]string{}
	for _, image := range n {
		if _, ok := bases[image.name]; image.base && !ok {
			bases[image.name] = image.label
		}
	}
	var mistakes Mistakes
	users := map[key]string{}
	for _, image := range n {
		user, taken := users[key{image.name, image.base}]
		if !taken && !image.base {
			user, taken = bases[baseName(image.name)]
		}
		if taken {
			mistakes.add(image.label, field.Invalid(image.path, image.name, fmt.Sprintf("%s uses this image too; one image belongs to one claim", user)))
			continue
		}
		users[key{image.name, image.base}] = image.label
	}
	return mistakes
}

// baseName is the name without "-<ordinal>", empty if it does not end in one.
func baseName(name string) string {
	digits := strings.TrimRight(name, "0123456789")
	if base, ok := strings.CutSuffix(digits, "-"); ok && len(digits) < len(name) {
		return base
	}
	return ""
}
