package provision

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Errors about one image, for errors.Is.
var (
	// ErrSmaller means that the name is taken by an image that is smaller than
	// the request and has no record, so it was not made for this claim.
	ErrSmaller = errors.New("the name is taken by a smaller image")
	// ErrBelow means that the request is below the size the image has.
	ErrBelow = errors.New("the request is below the image's size")
)

// state is what was seen of an image.
type state struct {
	// image and record are nil when there is none.
	image  *ceph.Image
	record *ceph.Record
}

// action is what to do to an image.
type action int

const (
	keep   action = iota // nothing
	create               // make the image, then the record
	record               // only the record is missing
	grow                 // make the image as large as the request
)

// decide returns what to do for the request, and the size in bytes that PV and
// PVC keep; for a look without a record the size is 0.
//
//	image    record   request            result
//	none     -        look               keep
//	none     -        adopt              ErrImageNotFound
//	none     -        any                create, then record the request
//	exists   any      below the image    ErrBelow
//	exists   none     the image's size   record it
//	exists   none     above the image    ErrSmaller
//	exists   there    the image's size   keep, with the recorded size
//	exists   there    above the image    grow, with the recorded size
func decide(request Request, seen state) (action, uint64, error) {
	size := imageSize(request.Size)
	if request.Look {
		if seen.record == nil {
			return keep, 0, nil
		}
		return keep, seen.record.ClaimSize, nil
	}
	if seen.image == nil {
		if request.Adopt {
			return keep, 0, fmt.Errorf("adopt image %s: %w", request.Image, ceph.ErrImageNotFound)
		}
		return create, request.Size, nil
	}
	has := seen.image.Size
	switch {
	case size < has:
		return keep, 0, fmt.Errorf("%w: image %s has %s, the claim asks for %s; images never shrink, so ask for at least %s", ErrBelow, request.Image, quantity(has), quantity(request.Size), quantity(has))
	case seen.record == nil && size > has:
		return keep, 0, fmt.Errorf("%w: image %s has %s, the claim asks for %s, and no record says that it was made for this claim; choose another name with the annotation cephferry.io/image, or if the image is meant, ask for %s", ErrSmaller, request.Image, quantity(has), quantity(request.Size), quantity(has))
	case seen.record == nil:
		return record, request.Size, nil
	case size > has:
		return grow, seen.record.ClaimSize, nil
	default:
		return keep, seen.record.ClaimSize, nil
	}
}

// imageSize is the size of the image for a claim: whole MiB, as ceph-csi makes
// its images.
func imageSize(claim uint64) uint64 {
	const mib = 1 << 20
	return (claim + mib - 1) / mib * mib
}

func quantity(bytes uint64) string {
	return resource.NewQuantity(int64(bytes), resource.BinarySI).String()
}
