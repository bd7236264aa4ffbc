package ownership

import (
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Taker asks to take an image from a cluster that is dead, for a person.
type Taker struct {
	// Cluster takes it.
	Cluster ceph.Party
	// By is the person.
	By string
	// Resume continues what another person began for the same cluster.
	Resume bool
	// Now is for people.
	Now time.Time
	// Self is the client instance that gives the image its name.
	Self string
}

// BeginFence is the record in which nobody may start anything until the takeover is
// finished or dropped, or a [*Refused].
//
//	state     owner      fence                         result
//	free      -          -                             refused, NotOwned: just start
//	held      who asks   -                             refused, OwnedHere: just start
//	held      another    -                             fencing
//	fencing   any        the same cluster and person   fencing as before: go on
//	fencing   any        the same cluster, to resume   fencing, by this person
//	fencing   any        any other                     refused, BeingFenced
//
// The holder is the one in the record, with its nodes and clients: what is put on
// the blocklist afterwards is read from there, and stays there until the end.
//
// Of an image that carries its owner's name, who takes it stands among those who may be
// renaming it, and the record vouches for no name any more. So whoever goes on, or gives
// the image to the owner again, fences what this one may have left half done.
func BeginFence(stored ceph.Record, taker Taker) (ceph.Record, error) {
	switch {
	case stored.State == ceph.Free:
		return ceph.Record{}, &Refused{NotOwned, stored}
	case stored.State == ceph.Held && Owns(stored, taker.Cluster):
		return ceph.Record{}, &Refused{OwnedHere, stored}
	case stored.State == ceph.Fencing && stored.Takeover.UID != taker.Cluster.UID,
		stored.State == ceph.Fencing && stored.Takeover.By != taker.By && !taker.Resume:
		return ceph.Record{}, &Refused{BeingFenced, stored}
	}
	next := stored
	if stored.Keyed {
		next.Named = false
		if taker.Self != "" {
			next.Renamers = union(stored.Renamers, []string{taker.Self})
		}
	}
	if stored.State == ceph.Fencing && stored.Takeover.By == taker.By {
		return next, nil
	}
	next.State = ceph.Fencing
	next.Takeover = &ceph.Takeover{Party: taker.Cluster, By: taker.By, Since: seconds(taker.Now)}
	next.History = noted(stored.History, ceph.Change{
		At: taker.Now, Event: ceph.FenceBegun, Party: taker.Cluster, By: taker.By, From: &stored.Owner.Party,
	})
	return next, nil
}

// FinishFence gives the image to the cluster that took it, or returns a [*Refused].
// The caller has put every holder in begun, the record as BeginFence's caller has
// written it, on the blocklist and has verified that; fenced are those client
// instances, for the history. When somebody has dropped that takeover meanwhile and
// begun another, the owner may have other holders by now, and the caller begins again.
//
// If the image carries its owner's name, the caller has given it that of the cluster, and has
// seen that no other leads to it. Of those who may be renaming it, who is not fenced by
// this caller and is not the caller stays in the record.
//
// When the cluster has the image already, the record stays as it is, so that a
// person who was interrupted can do the same again.
func FinishFence(stored, begun ceph.Record, taker Taker, namespace, claim string, fenced []string) (ceph.Record, error) {
	switch {
	case stored.State == ceph.Held && Owns(stored, taker.Cluster):
		return stored, nil
	case stored.State != ceph.Fencing:
		return ceph.Record{}, &Refused{NotFencing, stored}
	case stored.Takeover.UID != taker.Cluster.UID:
		return ceph.Record{}, &Refused{BeingFenced, stored}
	case !equal(takeoverOf(stored), takeoverOf(begun)):
		return ceph.Record{}, &Refused{BegunAgain, stored}
	}
	next := stored
	next.State = ceph.Held
	next.Epoch++
	next.Owner = &ceph.Owner{Party: taker.Cluster, Namespace: namespace, Claim: claim, Since: seconds(taker.Now)}
	next.Takeover = nil
	next.Named, next.Renamers = stored.Keyed, nil
	for _, renamer := range stored.Renamers {
		if renamer != taker.Self && !slices.Contains(fenced, renamer) {
			next.Renamers = append(next.Renamers, renamer)
		}
	}
	// The person starts the workload next: until then it only looks idle.
	next.Admissions++
	next.Pending, next.Unbound = []string{Awaited}, nil
	next.History = noted(stored.History, ceph.Change{
		At: taker.Now, Event: ceph.TakenOver, Party: taker.Cluster, By: taker.By, From: &stored.Owner.Party, Fenced: fenced,
	})
	return next, nil
}

// takeoverOf is what a takeover is about: who takes the image, and from which holders.
func takeoverOf(record ceph.Record) ceph.Record {
	return ceph.Record{Owner: record.Owner, Takeover: record.Takeover, Epoch: record.Epoch, Admissions: record.Admissions, Unbound: record.Unbound}
}

// DropFence gives the image back to its owner, for a person who decided otherwise,
// or returns a [*Refused]. It is safe at any time: the owner is the only one who
// could write all along. An image that carries its owner's name may have another one by then, or
// two: the owner fences who may be renaming it, and gives it its own again.
func DropFence(stored ceph.Record, taker Taker) (ceph.Record, error) {
	switch {
	case stored.State != ceph.Fencing:
		return ceph.Record{}, &Refused{NotFencing, stored}
	case stored.Takeover.UID != taker.Cluster.UID:
		return ceph.Record{}, &Refused{BeingFenced, stored}
	}
	next := stored
	next.State = ceph.Held
	next.Takeover = nil
	next.History = noted(stored.History, ceph.Change{
		At: taker.Now, Event: ceph.FenceDropped, Party: taker.Cluster, By: taker.By, From: &stored.Owner.Party,
	})
	return next, nil
}
