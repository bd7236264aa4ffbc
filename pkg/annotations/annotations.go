// Package annotations is the contract that app teams write: the keys under
// cephferry.io/, their defaults and their validation. It does no I/O.
//
// A new annotation starts in this package: a constant, a row in [Keys], a field
// in [Claim], a case in [Parse]. docs/annotations.md repeats the table for
// people, and a test compares the two.
package annotations

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Prefix is the domain of all keys. A key under it that is not in [Keys] is an
// error: a typo must not silently lose a guard.
const Prefix = "cephferry.io/"

const (
	// Migratable set to "true" makes a PVC, or a StatefulSet's claim template,
	// part of a static pair. Rendered PVs carry it too, so that a pair is
	// recognised from either side.
	Migratable = Prefix + "migratable"
	// Image names the RBD image, or the CephFS subvolume. On a claim template it is
	// a base name to which "-<ordinal>" is appended.
	Image = Prefix + "image"
	// Replicas is how many ordinals of a claim template get a pair.
	Replicas = Prefix + "replicas"
	// Adopt set to "true" means that the image must exist; it is never created. The name
	// of an image, such as ceph-csi's, means that this one is it, and gets the name that
	// the claim's image has.
	Adopt = Prefix + "adopt"
	// Class is the StorageClass of a claim whose volume the cluster makes. The
	// claim's own field is "", so that no provisioner but ours takes it.
	Class = Prefix + "class"
	// Size is what the image is to have when that is more than the claim's
	// request: Kubernetes refuses to raise the request of a claim without a class.
	Size = Prefix + "size"
	// Exclusive says whether clients map the image with krbd's option exclusive. The
	// mode is decided when the image is made, and stays.
	Exclusive = Prefix + "exclusive"
	// Keyed says whether the image carries its owner's name, so that nodes of other clusters
	// find no such image. That is decided when the image is made, and stays.
	Keyed = Prefix + "keyed"
)

// MaxImageName is the longest RBD image name in bytes
// (RBD_MAX_IMAGE_NAME_SIZE of librbd.h).
const MaxImageName = 96

// MaxSize is the largest size of a claim in bytes: far from the end of int64.
const MaxSize = 1 << 60

// Place says where an annotation stands.
type Place int

// The two places where app teams write annotations.
const (
	OnClaim Place = iota
	OnTemplate
)

// Key describes one annotation.
type Key struct {
	Name string
	// Values that are accepted, for people.
	Values string
	// Default for people; empty when the key has none.
	Default string
	// TemplateOnly keys are errors on a PVC.
	TemplateOnly bool
}

// Keys is every annotation there is, in the order of the documentation.
func Keys() []Key {
	return []Key{
		{Name: Migratable, Values: `"true", "false"`, Default: `"false"`},
		{Name: Image, Values: "the name of an image or subvolume", Default: "<namespace>.<pvc name>"},
		{Name: Replicas, Values: "a number", Default: "the StatefulSet's spec.replicas", TemplateOnly: true},
		{Name: Adopt, Values: `"true", "false", the name of an image`, Default: `"false"`},
		{Name: Class, Values: "a StorageClass", Default: "the default class"},
		{Name: Size, Values: "a quantity", Default: "the claim's request"},
		{Name: Exclusive, Values: `"true", "false"`, Default: "the image's mode"},
		{Name: Keyed, Values: `"true", "false"`, Default: "what the image is"},
	}
}

// Claim is what the annotations of one claim ask for.
type Claim struct {
	// Migratable is false when the claim is to be left alone; the other fields
	// are zero then.
	Migratable bool
	// Image is empty for the derived name.
	Image string
	// Replicas is nil for the StatefulSet's own number.
	Replicas *int
	Adopt    bool
	// OldName is what an adopted image is called until then, empty if it keeps its name.
	OldName string
	// Class is empty for the default class.
	Class string
	// Size is nil for the claim's request, and has no effect below it.
	Size *resource.Quantity
	// Exclusive is nil for the image's own mode.
	Exclusive *bool
	// Keyed is nil for what the image is.
	Keyed *bool
}

// Has reports whether any key of annotations is under [Prefix].
func Has(annotations map[string]string) bool {
	for key := range annotations {
		if strings.HasPrefix(key, Prefix) {
			return true
		}
	}
	return false
}

// Parse reads a claim's annotations. path is that of the annotations map; every
// mistake is reported, with the key as the path, in the order of the keys.
func Parse(annotations map[string]string, place Place, path *field.Path) (Claim, field.ErrorList) {
	var claim Claim
	var errs field.ErrorList

	known := map[string]Key{}
	for _, key := range Keys() {
		known[key.Name] = key
	}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(name, Prefix) {
			continue
		}
		key, ok := known[name]
		switch {
		case !ok:
			errs = append(errs, field.NotSupported(path.Key(name), name, names()))
		case key.TemplateOnly && place != OnTemplate:
			errs = append(errs, field.Forbidden(path.Key(name), "only a claim template of a StatefulSet has ordinals"))
		case name == Migratable:
			claim.Migratable, errs = parseBool(annotations, name, path, errs)
		case name == Adopt:
			var mistakes field.ErrorList
			claim.Adopt, claim.OldName, mistakes = parseAdopt(annotations[name], place, path.Key(name))
			errs = append(errs, mistakes...)
		case name == Image:
			claim.Image = annotations[name]
			errs = append(errs, validateImage(claim.Image, path.Key(name))...)
		case name == Replicas:
			n, err := strconv.ParseUint(annotations[name], 10, 31)
			if err != nil {
				errs = append(errs, field.Invalid(path.Key(name), annotations[name], "must be a whole number, 0 or more"))
				continue
			}
			replicas := int(n)
			claim.Replicas = &replicas
		case name == Class:
			claim.Class = annotations[name]
			if len(validation.IsDNS1123Subdomain(claim.Class)) > 0 {
				errs = append(errs, field.Invalid(path.Key(name), claim.Class, "must be the name of a StorageClass; leave the annotation out for the default class"))
			}
		case name == Size:
			size, err := resource.ParseQuantity(annotations[name])
			if err != nil || size.Sign() <= 0 || size.CmpInt64(MaxSize) > 0 {
				errs = append(errs, field.Invalid(path.Key(name), annotations[name], "must be a quantity such as 10Gi, above 0 and at most 1Ei"))
				continue
			}
			claim.Size = &size
		case name == Exclusive:
			var exclusive bool
			exclusive, errs = parseBool(annotations, name, path, errs)
			claim.Exclusive = &exclusive
		case name == Keyed:
			var keyed bool
			keyed, errs = parseBool(annotations, name, path, errs)
			claim.Keyed = &keyed
		}
	}
	if _, ok := annotations[Migratable]; !ok && Has(annotations) {
		errs = append(errs, field.Required(path.Key(Migratable), "the other cephferry.io annotations have no effect without it"))
	}
	if !claim.Migratable {
		claim = Claim{}
	}
	slices.SortStableFunc(errs, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) })
	return claim, errs
}

func parseBool(annotations map[string]string, name string, path *field.Path, errs field.ErrorList) (bool, field.ErrorList) {
	switch value := annotations[name]; value {
	case "true", "false":
		return value == "true", errs
	default:
		return false, append(errs, field.Invalid(path.Key(name), value, `must be "true" or "false"`))
	}
}

// parseAdopt takes anything for a name that an image can have, except what is meant to be
// "true" or "false".
func parseAdopt(value string, place Place, path *field.Path) (adopt bool, oldName string, errs field.ErrorList) {
	_, notBool := strconv.ParseBool(value)
	slip := notBool == nil || slices.Contains([]string{"yes", "no", "on", "off", "y", "n"}, strings.ToLower(value))
	switch {
	case value == "true", value == "false":
		return value == "true", "", nil
	case value == "", slip, strings.ContainsFunc(value, notInImageName):
		return false, "", field.ErrorList{field.Invalid(path, value, `must be "true", "false" or the name of an image without a key`)}
	case len(value) > MaxImageName:
		return false, "", field.ErrorList{field.TooLong(path, value, MaxImageName)}
	case place == OnTemplate:
		return false, "", field.ErrorList{field.Forbidden(path, "a claim template has an image for each ordinal; make the claim of each ordinal yourself, with this annotation, before the StatefulSet")}
	default:
		return true, value, nil
	}
}

// notInImageName reports whether r separates a name from pool, snapshot or key, or is not
// printable ASCII.
func notInImageName(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/@~?*,", r) }

// validateImage checks an image name that is also going to be a volumeHandle, which ceph-csi
// makes a folder of.
func validateImage(name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(name) > MaxImageName {
		errs = append(errs, field.TooLong(path, name, MaxImageName))
	}
	if name == "" || strings.ContainsFunc(name, notInNewName) || strings.ContainsAny(name[:1]+name[len(name)-1:], "-.") {
		errs = append(errs, field.Invalid(path, name, "must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'"))
	}
	return errs
}

// notInNewName reports whether r is for other names than those that a claim may choose.
// Grants are patterns, and names stand in paths and on command lines.
func notInNewName(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-_.", r)
}

func names() []string {
	var all []string
	for _, key := range Keys() {
		all = append(all, key.Name)
	}
	return all
}
