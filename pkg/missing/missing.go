package missing

import (
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// The kinds.
const (
	// PodNotGone: a pod is being deleted, and is there.
	PodNotGone = "PodNotGone"
	// PodWithoutNode: a pod was admitted, and no node takes it.
	PodWithoutNode = "PodWithoutNode"
	// PodNotSeen: a pod was admitted, and is not at the API server.
	PodNotSeen = "PodNotSeen"
	// NodeSilent: a node that has the image does not report.
	NodeSilent = "NodeSilent"
	// NodeNotConfirmed: nothing proves that a node which had the image has let go.
	NodeNotConfirmed = "NodeNotConfirmed"
	// AttachmentNotGone: a VolumeAttachment is there, and no pod needs it.
	AttachmentNotGone = "AttachmentNotGone"
	// VolumeNotUnmounted: a node lists the volume as in use, and no pod needs it.
	VolumeNotUnmounted = "VolumeNotUnmounted"
	// VolumeGone: a node uses a volume whose PersistentVolume is gone, and which may be this one.
	VolumeGone = "VolumeGone"
	// ClientUnknown: a client has the image open that nothing in the cluster accounts for.
	ClientUnknown = "ClientUnknown"
	// LeaderGone: the owner's webhook does not seem to write any more.
	LeaderGone = "LeaderGone"
)

const (
	// Patience is how long something has to last before people are told of it.
	Patience = 30 * time.Second
	// LeaderPatience is after what time without a registration, which is written once a minute,
	// people are told that the owner's leader may be gone. The registration has the owner's
	// time, which is compared with this cluster's: a difference of minutes between the two
	// clocks tells people too early or too late. No decision rests on it.
	LeaderPatience = 3 * time.Minute
)

// Facts are what was seen of an image.
type Facts struct {
	// Self is the cluster that asks.
	Self ceph.Party
	// Claim is the claim here, as namespace/name.
	Claim string
	// Release is the command by which a person releases the image here.
	Release string
	Record  ceph.Record
	// Evidence is what this cluster does with the image; it matters if it is the owner.
	Evidence usage.Evidence
	// Stray alone keeps the image from being released, unless it is nil.
	Stray *usage.Stray
	// Grace is after what time an admitted pod that was not seen is given up.
	Grace time.Duration
	// Note is the owner's, and Leader when the owner has written its registration last, zero if
	// that is not known. They matter if another cluster is the owner.
	Note   ceph.Note
	Leader time.Time
	Now    time.Time
}

// Of returns what is missing, the next thing to see to first. Where nothing in the cluster tells
// since when, Since is zero, and [Remember] fills it in.
//
//	owner          what it rests on
//	nobody         nothing is missing
//	this cluster   pods, then attachments, nodes, clients, admitted pods, holders; nothing while a pod runs
//	another one    whether its leader writes, then what its leader has noted
func Of(f Facts) []ceph.Missing {
	switch {
	case f.Record.State != ceph.Held:
		return nil
	case !ownership.Owns(f.Record, f.Self):
		return elsewhere(f)
	}
	return Here(f)
}

// Remember fills in since when something is missing: since it was noted first, or since now.
func Remember(before, now []ceph.Missing, at time.Time) []ceph.Missing {
	known := map[[2]string]time.Time{}
	for _, m := range before {
		known[[2]string{m.Kind, m.Subject}] = m.Since
	}
	for i := range now {
		m := &now[i]
		if m.Since.IsZero() {
			m.Since = known[[2]string{m.Kind, m.Subject}]
		}
		if m.Since.IsZero() {
			m.Since = at
		}
		m.Since = m.Since.UTC().Truncate(time.Second)
	}
	return now
}

// Lasting are those that have lasted, and after what time the next one has; zero: none will.
func Lasting(all []ceph.Missing, now time.Time) (lasting []ceph.Missing, next time.Duration) {
	for _, m := range all {
		switch rest := m.Since.Add(Patience).Sub(now); {
		case rest <= 0:
			lasting = append(lasting, m)
		case next == 0 || rest < next:
			next = rest
		}
	}
	return lasting, next
}
