package provision

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Errors about one volume, for errors.Is.
var (
	// ErrSmaller means that the name is taken by a volume that is smaller than
	// the request and has no record, so it was not made for this claim.
	ErrSmaller = errors.New("the name is taken by a smaller volume")
	// ErrBelow means that the request is below the size the volume has.
	ErrBelow = errors.New("the request is below the volume's size")
	// ErrInUse means that an image is to get another name, and somebody uses it by the
	// one that it has.
	ErrInUse = errors.New("the image cannot get another name now")
	// ErrCannotStage means that no node could ever use the image that would be made.
	ErrCannotStage = errors.New("the image could never be mounted")
	// ErrTwo means that an image is to get a name that another image has.
	ErrTwo = errors.New("two images are meant")
)

// action is what to do to a volume, in the order of these.
type action uint8

const (
	create action = 1 << iota // make the volume for the request
	grow                      // make it as large as the request
	record                    // write its record
	rename                    // give an adopted image the claim's name, after its record

	keep action = 0 // nothing
)

// decide returns what to do for the request, and the size in bytes that PV and
// PVC keep; for a look that finds nothing to go by it is 0. seen is nil when there
// is no volume.
//
//	volume   record   request                  result
//	none     -        look                     keep
//	none     -        adopt, exists            ErrImageNotFound, or why the old name may not be used
//	old name any      look                     ErrInUse
//	old name any      any, while it is used    ErrInUse
//	old name any      any                      rename, and as one that exists
//	none     -        none could be staged     ErrCannotStage
//	none     -        any                      create and record the request
//	exists   none     adopt, not above         record the volume's size
//	exists   none     adopt, above             grow, and record the request
//	exists   any      below the volume         ErrBelow, or keep if it may be larger
//	exists   none     the volume's size        record it
//	exists   none     above the volume         ErrSmaller
//	exists   there    not above, or adopt so   keep, with the recorded size
//	exists   there    above the volume         grow, with the recorded size
//	no quota none     adopt                    record the request
//	no quota none     any                      grow, and record the request
//	no quota there    any                      keep, with the recorded size
//
// A subvolume without quota and record is what a creation leaves that died half-way.
// One that has a record lost its quota since, and whoever took it away meant it.
// A look decides on the same size, and does nothing.
func decide(request Request, seen *found) (action, uint64, error) {
	if seen == nil {
		switch {
		case request.Look:
			return keep, 0, nil
		case request.Denied != nil:
			return keep, 0, request.Denied
		case request.OldName != "":
			return keep, 0, fmt.Errorf("adopt %s %s, which was %s: %w", request.Volume.kind(), request.Volume, request.OldName, request.Volume.absent())
		case request.Adopt:
			return keep, 0, fmt.Errorf("adopt %s %s: %w", request.Volume.kind(), request.Volume, request.Volume.absent())
		case request.Exists:
			return keep, 0, fmt.Errorf("grow %s %s: %w", request.Volume.kind(), request.Volume, request.Volume.absent())
		case request.CannotStage != nil:
			return keep, 0, fmt.Errorf("make %s %s: %w: %w", request.Volume.kind(), request.Volume, ErrCannotStage, request.CannotStage)
		default:
			return create | record, request.Size, nil
		}
	}
	switch {
	case seen.misnamed && request.Look:
		return keep, 0, fmt.Errorf("%w: image %s is called %s yet; --create cluster and --create client rename it", ErrInUse, request.Volume, request.OldName)
	case seen.misnamed && seen.used != "":
		return keep, 0, fmt.Errorf("%w: image %s is to become %s, and %s", ErrInUse, request.OldName, request.Volume, seen.used)
	}
	size, kept := request.Volume.size(request.wanted()), request.Size
	switch {
	case seen.record != nil:
		kept = seen.record.ClaimSize
	case request.Adopt:
		kept = max(kept, seen.size)
	}
	kind, has := request.Volume.kind(), quantity(seen.size)
	grown := request.MayBeLarger && seen.record != nil && (request.Exists || seen.record.ClaimSize == request.Size)
	switch {
	case request.Look && seen.record == nil && !request.Adopt:
		return keep, 0, nil
	case request.Look, seen.unlimited && seen.record != nil:
		return keep, kept, nil
	case seen.unlimited && request.Adopt:
		return record, kept, nil
	case seen.unlimited:
		return grow | record, kept, nil
	case size < seen.size && !request.Adopt && !grown:
		return keep, 0, fmt.Errorf("%w: %s %s has %s, the claim asks for %s; %ss never shrink, so ask for at least %s", ErrBelow, kind, request.Volume, has, quantity(request.wanted()), kind, has)
	case size > seen.size && seen.record == nil && !request.Adopt:
		return keep, 0, fmt.Errorf("%w: %s %s has %s, the claim asks for %s, and no record says that it was made for this claim; choose another name with the annotation cephferry.io/image, or if the %s is meant, ask for %s or adopt it with the annotation cephferry.io/adopt", ErrSmaller, kind, request.Volume, has, quantity(request.wanted()), kind, has)
	}
	todo := keep
	if seen.misnamed {
		todo |= rename
	}
	if size > seen.size {
		todo |= grow
	}
	if seen.record == nil {
		todo |= record
	}
	return todo, kept, nil
}

func quantity(bytes uint64) string {
	return resource.NewQuantity(int64(bytes), resource.BinarySI).String()
}
