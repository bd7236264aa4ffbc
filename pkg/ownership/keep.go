package ownership

import (
	"cmp"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Seen is what a cluster saw of its own use of an image, at its API server and in
// Ceph, all of it after it had read the record that Keep is asked about, and in this
// order: pods, nodes, watchers. A proof of idleness rests on it. Without a pod nothing
// new begins; but a pod that is seen last may have been attached, and have mapped the
// image, after nodes and watchers were looked at, and have ended before the kubelet
// has unmapped.
type Seen struct {
	// Pods are the UIDs of the pods that use the claim and are not finished.
	Pods []string
	// Unbound are those of them that have no node yet, and may get any.
	Unbound []string
	// Attached are the nodes that have the volume or may get it: those with a
	// VolumeAttachment of it, those whose status.volumesInUse lists it, and those to
	// which one of the pods is bound. The attachment alone can be taken away by force
	// while the node has the image mapped. The kubelet reports a volume in use before
	// it mounts, and until it has unmounted, so that errs on the safe side however old
	// the status is.
	Attached []ceph.Node
	// Watchers are the addresses of all watchers of the image, Explained those that
	// this cluster accounts for.
	Watchers, Explained []string
	// Present are the nodes of this cluster that [Concerns] holds for and a holder in the
	// record.
	Present []Present
	// Cached: not all of it is from the API server. Then nothing leaves the record because it
	// is not seen: a cache that lags shows a node as it was before it mapped the image, and no
	// pod that was stored a moment ago.
	Cached bool
	// WithoutProof: a person answers for the holders that nothing shows to use the image.
	WithoutProof bool
	// Quiet: the admissions have been the same for longer than a request to the API
	// server may take, on one monotonic clock. No pod that was admitted before can
	// still appear.
	Quiet bool
}

// used: something of this cluster uses the image or may be about to.
func (s Seen) used() bool { return len(s.Pods) > 0 || len(s.Attached) > 0 || len(s.Explained) > 0 }

// Step is what Keep does with a record.
type Step string

// The steps.
const (
	// Leave: nothing is to be done; the reason says what stands in the way of a
	// release, if the image is ours.
	Leave Step = "leave"
	// Adopt: this cluster uses what nobody owns, since before there were records, or
	// because the volume came after its pod.
	Adopt Step = "adopt"
	// Refresh: the holders in the record are not those that there are.
	Refresh Step = "refresh"
	// LetGo: the image is idle, and is released.
	LetGo Step = "release"
	// Conflict: this cluster uses what another one owns.
	Conflict Step = "conflict"
)

// Keep says what the owner's leader does, and returns the record after it, with
// request for what is adopted.
//
//	record           seen                                        step
//	free             unused                                      leave
//	free             used, and a watcher is not explained        conflict
//	free             used, and was taken from us the last time   conflict
//	free             used otherwise                              adopt
//	held by another  used                                        conflict
//	held by another  unused                                      leave
//	fencing          any                                         leave
//	held by us       a pod, an attachment or any watcher         refresh, or leave
//	held by us       a holder is not known to have let go        refresh, or leave
//	held by us       a pod was admitted and may still appear    refresh, or leave
//	held by us       nothing of all that                         release
//
// A pod may still appear while it stands in Pending: it was admitted, and the API
// server may yet store it. It is taken from there when it was seen, or when it is
// quiet.
func Keep(stored ceph.Record, request Request, seen Seen) (ceph.Record, Step, string) {
	switch {
	case stored.State == ceph.Fencing:
		return stored, Leave, "the image is being taken from its owner"
	case stored.State == ceph.Free && !seen.used():
		return stored, Leave, "nobody uses it"
	case stored.State == ceph.Free && len(seen.Watchers) > len(seen.Explained):
		return stored, Conflict, "another cluster has the image open"
	case stored.State == ceph.Free && takenFrom(stored, request.Cluster):
		return stored, Conflict, "the image was taken from this cluster, whose clients are fenced"
	case stored.State == ceph.Free:
		request.Pod = ""
		next, _ := Acquire(stored, request) // free is never refused
		next = refresh(next, seen)
		return next, Adopt, "this cluster uses it"
	case !Owns(stored, request.Cluster) && seen.used():
		return stored, Conflict, "cluster " + stored.Owner.Name + " owns the image"
	case !Owns(stored, request.Cluster):
		return stored, Leave, "another cluster owns it"
	}
	next := refresh(stored, seen)
	if reason := busy(next, seen); reason != "" {
		if equal(next, stored) {
			return stored, Leave, reason
		}
		return next, Refresh, reason
	}
	next, _ = Release(stored, request.Cluster, "", request.Now) // it is ours
	return next, LetGo, "nobody uses it"
}

// busy is why the image cannot be released, or empty.
func busy(record ceph.Record, seen Seen) string {
	switch {
	case len(seen.Pods) > 0:
		return "a pod uses it"
	case len(seen.Attached) > 0:
		return "it is attached to node " + seen.Attached[0].Name
	case len(seen.Watchers) > 0:
		return "client " + seen.Watchers[0] + " has it open"
	case len(record.Pending) > 0:
		return "an admitted pod may still appear"
	case len(record.Unbound) > 0:
		return "an admitted pod may have been bound to a node"
	case len(record.Owner.Nodes) > 0:
		// refresh keeps only those that are attached or may still have it mapped.
		return cmp.Or(held(record.Owner.Nodes[0], seen.Present), "it may be on node "+record.Owner.Nodes[0].Name)
	}
	return ""
}

// uses reports whether something shows that the holder uses the image.
func (s Seen) uses(holder ceph.Node) bool {
	return slices.ContainsFunc(s.Attached, func(n ceph.Node) bool { return Same(holder, n) })
}

// takenFrom reports whether the cluster lost the image by a takeover, and has not had
// it since. What it still runs there cannot write, and would only keep others away.
func takenFrom(record ceph.Record, cluster ceph.Party) bool {
	for _, change := range slices.Backward(record.History) {
		switch {
		case change.Event == ceph.TakenOver && change.From != nil && change.From.UID == cluster.UID:
			return true
		case (change.Event == ceph.Acquired || change.Event == ceph.TakenOver) && change.UID == cluster.UID:
			return false
		}
	}
	return false
}

// refresh is the record with the holders that there are, and the pods that were not
// seen yet, or have no node.
//
// A holder goes when nothing shows that it uses the image, and it is known to have let go.
// While a pod has no node, all stay: the one that a binding was just allowed to is among
// them. A pod without a node goes when it is seen with one, which is a holder then, or when
// it is gone for good.
func refresh(stored ceph.Record, seen Seen) ceph.Record {
	next := stored
	next.Pending = nil
	for _, pod := range stored.Pending {
		never := seen.Quiet && !seen.Cached
		if !never && !slices.Contains(seen.Pods, pod) {
			next.Pending = append(next.Pending, pod)
		}
	}
	next.Unbound = nil
	for _, pod := range stored.Unbound {
		gone := !slices.Contains(seen.Pods, pod) && len(next.Pending) == 0 && !seen.Cached
		bound := slices.Contains(seen.Pods, pod) && !slices.Contains(seen.Unbound, pod)
		if !gone && !bound {
			next.Unbound = append(next.Unbound, pod)
		}
	}
	for _, pod := range seen.Unbound {
		next.Unbound = noteUID(next.Unbound, pod)
	}
	owner := *stored.Owner
	owner.Nodes = nil
	stay := len(next.Unbound) > 0 || len(next.Pending) > 0 || seen.Cached
	for _, holder := range stored.Owner.Nodes {
		switch {
		case seen.uses(holder), stay, !seen.WithoutProof && held(holder, seen.Present) != "":
			owner.Nodes = append(owner.Nodes, holder)
		}
	}
	for _, node := range seen.Attached {
		owner.Nodes = WithBoot(owner.Nodes, node)
	}
	if len(owner.Nodes) == 0 {
		owner.Clients = nil
	}
	assign(&owner, seen.Explained)
	next.Owner = &owner
	return next
}

// Release is the record of an image that its owner does not need any more, or a
// [*Refused] when cluster is not the owner. The person, if there is one, answers for
// what Keep could not prove. The caller has fenced those that may be renaming the image,
// see [ceph.Record.Renamers].
func Release(stored ceph.Record, cluster ceph.Party, person string, now time.Time) (ceph.Record, error) {
	if stored.State != ceph.Held || !Owns(stored, cluster) {
		return ceph.Record{}, refuse(stored)
	}
	next := stored
	next = freed(next)
	next.History = noted(stored.History, ceph.Change{At: now, Event: ceph.Released, Party: cluster, By: person})
	return next, nil
}
