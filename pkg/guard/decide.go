package guard

import (
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Foreign is a watcher that this cluster does not account for.
type Foreign struct {
	ceph.Watcher
	// Why says what is known about it, for people, and Node is the node of this cluster that
	// has its address, if one has.
	Why, Node string
}

// Verdict is the answer for one volume.
type Verdict struct {
	Allowed bool
	Reason  Reason
	// Foreign are the watchers that led to a refusal.
	Foreign []Foreign
}

// Reason is why, for yes as well as for no. It is a label of metrics.
type Reason string

// The reasons of [Decide].
const (
	NoWatcher       Reason = "no-watcher"
	OwnWatchers     Reason = "own-watchers"
	ForeignWatchers Reason = "foreign-watchers"
	// OwnedElsewhere: no foreign watcher, but another cluster is the owner.
	OwnedElsewhere Reason = "owned-elsewhere"
	// BeingFenced: no foreign watcher, but somebody is taking the image from its
	// owner.
	BeingFenced Reason = "being-fenced"
)

// Decide is the guard's only source of yes and no.
//
//	watchers            owner               result
//	any not explained   any                 refused, foreign-watchers
//	otherwise           being taken from    refused, being-fenced
//	otherwise           another cluster     refused, owned-elsewhere
//	all explained       this one or none    allowed, own-watchers
//	none                this one or none    allowed, no-watcher
//
// Which watchers are explained, see [usage.Local.Unexplained]; those besides that give the
// image this cluster's name.
func Decide(watchers []ceph.Watcher, record ceph.Record, self ceph.Party, local usage.Local) Verdict {
	var foreign []Foreign
	for _, watcher := range watchers {
		renames := ownership.Owns(record, self) && slices.Contains(record.Renamers, watcher.Addr)
		if why := local.Unexplained(watcher); why != "" && !renames {
			foreign = append(foreign, Foreign{watcher, why, local.NodeOf(watcher)})
		}
	}
	switch {
	case len(foreign) > 0:
		return Verdict{Reason: ForeignWatchers, Foreign: foreign}
	case record.State == ceph.Fencing:
		return Verdict{Reason: BeingFenced}
	case record.Owner != nil && !ownership.Owns(record, self):
		return Verdict{Reason: OwnedElsewhere}
	case len(watchers) > 0:
		return Verdict{Allowed: true, Reason: OwnWatchers}
	default:
		return Verdict{Allowed: true, Reason: NoWatcher}
	}
}
