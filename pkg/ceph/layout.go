package ceph

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// features are the image features that a new image can be asked for, by the
// rbd command's names, each with the one that it needs. librbd sets "striping",
// "data-pool", "operations" and "migrating" by itself, whether asked or not.
var features = map[string]string{
	"layering":       "",
	"exclusive-lock": "",
	"object-map":     "exclusive-lock",
	"fast-diff":      "object-map",
	"deep-flatten":   "",
	"journaling":     "exclusive-lock",
}

// ChosenFeatures are those of an image that somebody chose. librbd sets the others
// by itself, and ceph-csi refuses a volume whose imageFeatures name them.
func (i Image) ChosenFeatures() []string {
	chosen := []string{}
	for _, name := range i.Features {
		if _, ok := features[name]; ok {
			chosen = append(chosen, name)
		}
	}
	return chosen
}

const (
	defaultObjectSize = 4 << 20
	minObjectSize     = 4 << 10
	maxObjectSize     = 32 << 20
	// maxMappedObjects is librbd's MAX_OBJECT_MAP_OBJECT_COUNT.
	maxMappedObjects = 256_000_000
)

// Validate returns ErrLayout with a sentence when librbd would not make an image
// with this layout. librbd itself answers only "invalid argument", and silently
// drops features that it has no bit for.
func (l Layout) Validate() error {
	for _, name := range l.Features {
		needs, known := features[name]
		if !known {
			return fmt.Errorf("feature %q is not one of %s: %w", name,
				strings.Join(slices.Sorted(maps.Keys(features)), ", "), ErrLayout)
		}
		if needs != "" && !slices.Contains(l.Features, needs) {
			return fmt.Errorf("feature %q needs feature %q: %w", name, needs, ErrLayout)
		}
	}
	objectSize := l.ObjectSize
	if objectSize == 0 {
		objectSize = defaultObjectSize
	}
	if bits.OnesCount64(objectSize) != 1 || objectSize < minObjectSize || objectSize > maxObjectSize {
		return fmt.Errorf("object size %d is not a power of two from %d to %d: %w", objectSize, minObjectSize, maxObjectSize, ErrLayout)
	}
	if slices.Contains(l.Features, "object-map") && l.Size/objectSize > maxMappedObjects {
		return fmt.Errorf("feature \"object-map\" allows %d objects, %d bytes need more: %w", maxMappedObjects, l.Size, ErrLayout)
	}
	if (l.StripeUnit == 0) != (l.StripeCount == 0) {
		return fmt.Errorf("stripe unit %d and stripe count %d: one is given without the other: %w", l.StripeUnit, l.StripeCount, ErrLayout)
	}
	if l.StripeUnit != 0 && (l.StripeUnit > objectSize || objectSize%l.StripeUnit != 0) {
		return fmt.Errorf("stripe unit %d does not divide the object size %d: %w", l.StripeUnit, objectSize, ErrLayout)
	}
	return nil
}
