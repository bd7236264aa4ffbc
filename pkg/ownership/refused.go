package ownership

import (
	"fmt"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Refused is why a record does not change. The record stands in it as it was seen.
type Refused struct {
	Reason Reason
	Record ceph.Record
}

// Reason is why, for errors.Is.
type Reason string

// The reasons.
const (
	// OwnedElsewhere: another cluster has the image.
	OwnedElsewhere Reason = "another cluster owns the image"
	// BeingFenced: a person is taking the image from its owner.
	BeingFenced Reason = "the image is being taken from its owner"
	// NotOwned: nobody has the image.
	NotOwned Reason = "nobody owns the image"
	// OwnedHere: the cluster that asks has the image already.
	OwnedHere Reason = "this cluster owns the image already"
	// NotFencing: nobody began to take the image from its owner.
	NotFencing Reason = "nobody is taking the image from its owner"
	// BegunAgain: the takeover that was begun is not the one that goes on now.
	BegunAgain Reason = "somebody began to take the image again, so its holders must be fenced again"
	// AcquiredAnew: the image was released and acquired again, so that it may have lost its
	// name.
	AcquiredAnew Reason = "the image was released and acquired again in the meantime"
)

func (r Reason) Error() string { return string(r) }

// Unwrap makes the reason findable.
func (r *Refused) Unwrap() error { return r.Reason }

func (r *Refused) Error() string {
	switch record := r.Record; {
	case record.State == ceph.Fencing:
		return fmt.Sprintf("%s: from cluster %s, for cluster %s, by %s since %s", r.Reason,
			record.Owner.Name, record.Takeover.Name, record.Takeover.By, record.Takeover.Since.Format(time.RFC3339))
	case record.Owner != nil:
		return fmt.Sprintf("%s: cluster %s, claim %s/%s, since %s", r.Reason,
			record.Owner.Name, record.Owner.Namespace, record.Owner.Claim, record.Owner.Since.Format(time.RFC3339))
	default:
		return string(r.Reason)
	}
}

// refuse is for somebody who is not the owner.
func refuse(stored ceph.Record) error {
	reason := OwnedElsewhere
	switch stored.State {
	case ceph.Fencing:
		reason = BeingFenced
	case ceph.Free:
		reason = NotOwned
	case ceph.Held:
	}
	return &Refused{reason, stored}
}

// maxHistory bounds the changes that a record keeps.
const maxHistory = 10

// noted is the history with one more change.
func noted(history []ceph.Change, change ceph.Change) []ceph.Change {
	change.At = seconds(change.At)
	next := append(slices.Clone(history), change)
	return next[max(0, len(next)-maxHistory):]
}

// seconds is a time as records keep it.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
