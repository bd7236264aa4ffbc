package staticpv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/storageclass"
)

const (
	mapOptions = "mapOptions"
	// exclusive is krbd's option to take the image's lock when it maps it, and to keep
	// it: every other mapping for writing is refused then.
	exclusive = "exclusive"
	// noshare is krbd's option to make a mapping a client of its own. Otherwise all mappings
	// of a node are one, and a fence of one of them cuts off all.
	noshare = "noshare"
)

// Mapping is how the image of a claim is to be mapped, as far as claim and class say.
type Mapping struct {
	// Exclusive is not nil when one of them decides: with krbd's option exclusive, or
	// without.
	Exclusive *bool
	// NewExclusive is how an image that is made now is mapped when neither does. Any
	// other is mapped as its record says.
	NewExclusive bool
}

// MappingOf returns how the image of a claim is to be mapped, and what speaks
// against what the claim asks for. path leads to the claim, nil for a PVC.
//
//	annotation   claim                    class                   mapping
//	"false"      any                      exclusive by itself     a mistake
//	other        several writers          exclusive by itself     a mistake
//	other        one writer               exclusive by itself     exclusive
//	"true"       one writer               krbd                    exclusive
//	"true"       any other                                        a mistake
//	"false"      any                      any                     not exclusive
//	none         several writers          any                     not exclusive
//	none         any                      another than krbd       not exclusive
//	none         one writer, filesystem   krbd                    a new image is
//	none         one writer, block        krbd                    a new image is not
//
// A class that may map by another program than krbd cannot promise the option.
func MappingOf(claim *corev1.PersistentVolumeClaim, asked annotations.Claim, class storageclass.Class, path *field.Path) (Mapping, field.ErrorList) {
	modes := claim.Spec.AccessModes
	oneWriter := claims.SingleWriter(modes) && !slices.Contains(modes, corev1.ReadOnlyMany)
	krbd := mapsByKRBD(class)
	itself := krbd && hasOption(class.Attributes[mapOptions], exclusive)
	refuse := func(value, format string, args ...any) (Mapping, field.ErrorList) {
		return Mapping{}, field.ErrorList{field.Invalid(claims.AnnotationPath(path, annotations.Exclusive), value, fmt.Sprintf(format, args...))}
	}
	yes, no := true, false
	switch wanted := asked.Exclusive; {
	case wanted != nil && !*wanted && itself:
		return refuse("false", "the mapOptions of class %q have exclusive; use another class", class.Name)
	case wanted != nil && !*wanted:
		return Mapping{Exclusive: &no}, nil
	case wanted != nil && class.CephFS != nil:
		return refuse("true", "class %q is a CephFS class, whose volumes are mounted and not mapped", class.Name)
	case wanted != nil && !krbd:
		return refuse("true", "class %q may map by another program than krbd, see its parameters mounter and tryOtherMounters", class.Name)
	case wanted != nil && !oneWriter:
		return refuse("true", "a device that is mapped with krbd's option exclusive has one node, and the access modes are %s", text(modes))
	case itself && !oneWriter:
		return Mapping{}, field.ErrorList{field.Invalid(claims.ModesPath(path), text(modes), fmt.Sprintf("the mapOptions of class %q have exclusive, and such a device has one node; use another class", class.Name))}
	case wanted != nil || itself:
		return Mapping{Exclusive: &yes}, nil
	case !oneWriter || !krbd:
		return Mapping{Exclusive: &no}, nil
	default:
		return Mapping{NewExclusive: claims.VolumeMode(claim) == corev1.PersistentVolumeFilesystem}, nil
	}
}

func text(modes []corev1.PersistentVolumeAccessMode) string {
	var all []string
	for _, mode := range modes {
		all = append(all, string(mode))
	}
	return strings.Join(all, ",")
}

// mapsByKRBD reports whether the class's volumes are mapped by the kernel for sure.
func mapsByKRBD(class storageclass.Class) bool {
	return class.RBD != nil && byKRBD(class.Attributes)
}

func byKRBD(attributes map[string]string) bool {
	mounter, others := attributes["mounter"], attributes["tryOtherMounters"]
	try, err := strconv.ParseBool(others)
	return (mounter == "" || mounter == "rbd") && (others == "" || err == nil && !try)
}

// MapsByKRBD reports whether the volume is mapped by the kernel for sure, so that
// [SetPrivate] does what it says.
func MapsByKRBD(pv *corev1.PersistentVolume) bool {
	csi := pv.Spec.CSI
	return csi != nil && storageclass.IsRBD(csi.Driver) && byKRBD(csi.VolumeAttributes)
}

// SetPrivate gives krbd's option noshare to an RBD volume: each mapping is a client of its
// own then. Another program than krbd does not see it.
func SetPrivate(pv *corev1.PersistentVolume) {
	attributes := pv.Spec.CSI.VolumeAttributes
	attributes[mapOptions] = withOption(attributes[mapOptions], noshare)
}

// IsExclusive reports whether nodes map the volume with krbd's option exclusive.
func IsExclusive(pv *corev1.PersistentVolume) bool {
	csi := pv.Spec.CSI
	return csi != nil && storageclass.IsRBD(csi.Driver) && hasOption(csi.VolumeAttributes[mapOptions], exclusive)
}

// hasOption reports whether krbd's options among ceph-csi's mapOptions have that one.
func hasOption(options, wanted string) bool {
	items, at := splitOptions(options)
	return at >= 0 && slices.ContainsFunc(strings.Split(items[at].list, ","), func(option string) bool {
		return strings.TrimSpace(option) == wanted
	})
}

// withOption adds an option to krbd's among ceph-csi's mapOptions, which are those of one
// mounter or of several; so with exclusive:
//
//	                  exclusive
//	a,b               a,b,exclusive
//	krbd:a;nbd:b      krbd:a,exclusive;nbd:b
//	nbd:b             nbd:b;krbd:exclusive
func withOption(options, option string) string {
	if strings.TrimSpace(options) == "" {
		return option
	}
	items, at := splitOptions(options)
	switch {
	case hasOption(options, option):
		return options
	case at < 0:
		return strings.TrimRight(options, "; ") + ";krbd:" + option
	}
	if strings.TrimSpace(items[at].list) != "" {
		items[at].list += ","
	}
	items[at].list += option
	var all []string
	for _, item := range items {
		all = append(all, item.prefix+item.list)
	}
	return strings.Join(all, ";")
}

// optionItem is what mapOptions say for one mounter: prefix is "krbd:", "nbd:", or
// empty, which means krbd.
type optionItem struct{ prefix, list string }

// splitOptions also returns which item krbd gets: the last of several, as in
// ceph-csi's parseMapOptions; -1 if there is none.
func splitOptions(options string) (items []optionItem, krbd int) {
	krbd = -1
	for text := range strings.SplitSeq(options, ";") {
		item := optionItem{list: text}
		if mounter, list, ok := strings.Cut(text, ":"); ok {
			item = optionItem{mounter + ":", list}
		}
		mounter := strings.ToLower(strings.TrimSpace(strings.TrimSuffix(item.prefix, ":")))
		if mounter == "krbd" || mounter == "" && strings.TrimSpace(text) != "" {
			krbd = len(items)
		}
		items = append(items, item)
	}
	return items, krbd
}
