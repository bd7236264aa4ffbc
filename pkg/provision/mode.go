package provision

import (
	"errors"
	"fmt"
	"slices"
)

// Errors about how an image is mapped, for errors.Is.
var (
	// ErrMode means that the image is mapped in another mode than the request's.
	ErrMode = errors.New("the image is mapped in another mode")
	// ErrNoLock means that the image has not the feature that mapping exclusively
	// takes.
	ErrNoLock = errors.New("the image cannot be mapped exclusively")
)

// exclusiveLock is the feature that krbd's option exclusive needs.
const exclusiveLock = "exclusive-lock"

// decideMode returns whether every client maps the image with krbd's option
// exclusive. seen is nil when there is no volume.
//
//	volume   record       request    result
//	none     -            any        as a new one, or as asked for
//	new      none         any        the same: somebody else made it during this call
//	exists   none         any        as asked for, otherwise not
//	exists   not so       exclusive  ErrMode
//	exists   exclusive    without    ErrMode
//	exists   there        any        as recorded
//
// ErrNoLock instead of exclusive, if the image lacks the feature.
//
// The mode is the same for all clients from the first one on. A client that maps
// exclusively takes the device away from a live one that does not, whose pod gets
// I/O errors.
func decideMode(request Request, seen *found) (bool, error) {
	asked := request.Exclusive
	exclusive := false
	switch {
	case seen != nil && seen.record != nil:
		exclusive = seen.record.Exclusive
		if asked != nil && *asked != exclusive {
			return false, fmt.Errorf("%w: %s", ErrMode, describeMode(request.Volume, exclusive))
		}
	case asked != nil:
		exclusive = *asked
	case seen == nil || seen.fresh:
		exclusive = request.NewExclusive
	}
	if exclusive && seen != nil && !slices.Contains(seen.features, exclusiveLock) {
		return false, fmt.Errorf("%w: image %s lacks the exclusive-lock feature; while nobody uses it, run `rbd feature enable %[2]s exclusive-lock`", ErrNoLock, request.Volume)
	}
	return exclusive, nil
}

// decidePrivate returns whether each mapping of the image is a client of its own. Nobody
// can ask for it, and it stays as it was when the image was made, because a
// PersistentVolume's options do. An image that becomes keyed has no PersistentVolume any
// more that leads to it.
func decidePrivate(request Request, seen *found) bool {
	if becomesKeyed(request, seen) {
		return request.NewPrivate
	}
	if seen != nil && seen.record != nil {
		return seen.record.Private
	}
	return request.NewPrivate && (seen == nil || seen.fresh)
}

func describeMode(volume Volume, exclusive bool) string {
	has, wants := "without", "with"
	if exclusive {
		has, wants = wants, has
	}
	return fmt.Sprintf("image %s is mapped %s krbd's option exclusive, and this claim would map it %s; a client with the option takes the device away from a live one without, "+
		"so the mode stays as it was when the image was made: change the annotation cephferry.io/exclusive, the access modes or the class", volume, has, wants)
}
