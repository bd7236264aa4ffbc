package failover

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Wish is what a person asks for.
type Wish struct {
	ownership.Taker
	// From is the name of the cluster that is dead; empty: whoever the record names,
	// whom somebody confirms later.
	From string
	// Namespace and Claim name the PVC in the cluster that takes the image.
	Namespace, Claim string
	// Also are further addresses to fence, see [ParseAddress].
	Also []string
	// Spare are machines that are not fenced as a whole, although the record names
	// them.
	Spare []netip.Addr
	// Nodes are the names of nodes of the dead cluster. Where the record leaves open which
	// of them may have the image, only these are fenced besides; none: all.
	Nodes []string
	// Lost is the name of a node of the cluster that asks: only that is cut off from the
	// cluster's own images. AlthoughReporting: it is lost although its kubelet reports.
	Lost              string
	AlthoughReporting bool
}

// Situation is what is known about one image before anything is done.
type Situation struct {
	Image    ceph.ImageSpec
	Record   ceph.Record
	Watchers []ceph.Watcher
	// Others are the records of images on the same Ceph. That of Image itself may be among
	// them and does not count.
	Others []ceph.RecordOf
	index  *index
	// Daemons are Ceph's own machines.
	Daemons []ceph.Daemon
	// Clusters are the registrations of clusters on the same Ceph, one or more of each, and
	// Unread those that this version cannot read: nothing is known of their nodes.
	Clusters []ceph.Registration
	Unread   []ceph.RegistrationOf
	// Nodes are the nodes of the cluster that takes the image, and Local further ranges
	// from which it reaches Ceph.
	Nodes []ceph.Node
	Local []netip.Prefix
	// Explained are the watchers that the cluster that takes the image accounts for.
	Explained []string
	// Exempt are rbd-mirror and the like.
	Exempt []netip.Prefix
	// Entries are the blocklist as it was at that time.
	Entries []ceph.BlocklistEntry
	Now     time.Time
	// Of an image that carries its owner's name: Holder has its lock, if anybody has; Keys are
	// those of the clusters; and Self is the client instance that asks all this, and that
	// would rename.
	Holder *ceph.LockedError
	Keys   []ceph.Key
	Self   string
	// Lost is the node of Wish.Lost.
	Lost Lost
}

// Plan is a failover of one image that may be carried out.
type Plan struct {
	Wish  Wish
	Image ceph.ImageSpec
	// Done: there is nothing to take, and Why says so.
	Done bool
	Why  string
	// Record is the one that was decided about.
	Record ceph.Record
	Fence  Fence
	// Exact: the fence cuts off the clients of this volume, and not their machines.
	// Otherwise Because says why not, unless Doubts do.
	Exact   bool
	Because string
	// Theirs are addresses that are known to be the dead cluster's, and nobody else's. A
	// client that comes from there while the image gets its name is fenced as well.
	Theirs []netip.Addr
	// From is the cluster that is cut off, Nodes are those of its nodes that are fenced as
	// machines or would be if they were not spared.
	From  ceph.Party
	Nodes []ceph.Node
	// Over are boots of a lost node of the own cluster, by their ids: the record of an image that is this
	// cluster's names them, and they are proven to be over.
	Over []string
	// Doubts are why nodes are fenced that the record does not name.
	Doubts []string
	// Ours: the image is this cluster's already, and stays so. Only strangers are fenced.
	Ours bool
	// Own are the clients of this cluster that have the image open then.
	Own []string
	// Carried are other volumes of the holder that lose Ceph as well.
	Carried []Carried
	// Unknown are images whose record this version cannot read.
	Unknown []ceph.ImageSpec
}

// Carried is a volume that a fence cuts off besides.
type Carried struct {
	Image ceph.ImageSpec
	Owner ceph.Owner
	// By are the addresses, out of the fence.
	By []string
}

// Refusal is why a failover, or the lifting of a fence, is not carried out. Nothing
// was changed.
type Refusal struct {
	What string
	// Do is the next step.
	Do string
}

func (r *Refusal) Error() string { return r.What + "\n  do this   " + r.Do }

func refuse(do, what string, arguments ...any) *Refusal {
	return &Refusal{fmt.Sprintf(what, arguments...), do}
}

// Decide says what a failover of one image fences, or why it does not take place:
// all refusals together. If the record is certain, see [Situation.inexact], that is the
// client instances in it; else, the machines too. Where the record leaves open who may have
// the image mapped, see [Situation.doubts], every node of the owner that is registered is
// fenced.
//
//	nobody owns it                                          nothing to take
//	who asks owns it                                        nothing to take, or strangers to fence
//	who asks owns it, and has lost a node                   see [Situation.lost]
//	another person or cluster takes it                      refused
//	the record names another cluster than the person        refused
//	the record leaves open who may have it, and the         refused, unless the person names
//	register does not tell either                           addresses to fence
//	the fence hits this cluster, a third one, or Ceph       refused, unless that machine is spared
//	a watcher is not covered by the fence                   refused
//	the lock's holder is not one of the dead cluster        refused
//	this cluster's volume leads to another name             refused
func Decide(s Situation, wish Wish) (Plan, error) {
	plan := Plan{Wish: wish, Image: s.Image, Record: s.Record}
	if wish.Lost != "" {
		return s.lost(plan)
	}
	_, err := ownership.BeginFence(s.Record, wish.Taker)
	switch {
	case errors.Is(err, ownership.OwnedHere):
		return s.ours(plan)
	case errors.Is(err, ownership.NotOwned) && s.free():
		plan.Done, plan.Why = true, "nobody owns it"
		return plan, nil
	case errors.Is(err, ownership.NotOwned):
		return Plan{}, s.refuseWatchers(Fence{}, "which no record accounts for")
	case errors.Is(err, ownership.BeingFenced):
		return Plan{}, refuseTaken(s.Record, wish)
	case err != nil:
		return Plan{}, err
	}
	owner := *s.Record.Owner
	name := "cluster " + owner.Name
	if wish.From != "" && wish.From != owner.Name {
		return Plan{}, refuse("look at `kubectl cephferry status`; if that cluster is the dead one, name it with --from",
			"the record says that %s has owned it since %s, not cluster %s", name, owner.Since.Format(time.RFC3339), wish.From)
	}
	if err := s.checkKey(wish.Cluster); err != nil {
		return Plan{}, err
	}
	plan.Wish.Self = s.Self
	plan.From, plan.Nodes = owner.Party, s.alive(owner.Nodes)
	if plan.Because = s.inexact(plan.Nodes); plan.Because == "" {
		plan.Exact = true
	} else if err := s.addRegistered(&plan); err != nil {
		return Plan{}, err
	}
	if s.Record.Keyed {
		plan.Theirs = s.theirs(plan)
	}
	if plan.Fence, err = s.fence(plan); err != nil {
		return Plan{}, refuse("look at `kubectl cephferry history`; name the addresses of all nodes of "+name+" with --also-fence", "%v", err)
	}
	s.coverShort(&plan)
	if err := errors.Join(append(s.collisions(plan.Fence, owner), s.refuseHolder(plan),
		s.refuseWatchers(plan.Fence, "and the record does not say that it is one of "+name))...); err != nil {
		return Plan{}, err
	}
	plan.Fence = plan.Fence.withThere(s.opened())
	if len(plan.Fence.Machines) == 0 || len(plan.Doubts) > 0 {
		plan.Because = ""
	}
	plan.Carried, plan.Unknown = s.carried(plan.Fence, owner)
	return plan, nil
}

// addRegistered adds the nodes that the register has, where the record leaves open which
// may have the image mapped.
func (s Situation) addRegistered(plan *Plan) error {
	open := s.doubts()
	if len(open) == 0 {
		return nil
	}
	more, err := s.registered(plan.From, plan.Wish.Nodes, open, len(plan.Wish.Also) > 0)
	if err != nil {
		return err
	}
	for _, node := range more {
		plan.Nodes = ownership.WithBoot(plan.Nodes, node)
	}
	for _, doubt := range open {
		plan.Doubts = append(plan.Doubts, doubt.what)
	}
	return nil
}

func refuseTaken(record ceph.Record, wish Wish) *Refusal {
	what := fmt.Sprintf("%s has been taking it for cluster %s since %s", record.Takeover.By, record.Takeover.Name, record.Takeover.Since.Format(time.RFC3339))
	if record.Takeover.UID != wish.Cluster.UID {
		return refuse("ask them; the image will be in that cluster", "%s", what)
	}
	return refuse("ask them; if they were interrupted, continue for them with --resume", "%s", what)
}

// free reports whether no client has the image open, apart from exempt ones.
func (s Situation) free() bool { return len(s.uncovered(Fence{})) == 0 }

func (s Situation) uncovered(fence Fence) []ceph.Watcher {
	return uncovered(s.Watchers, fence, s.Exempt)
}

// uncovered are the watchers that the fence does not cut off, without exempt ones.
func uncovered(watchers []ceph.Watcher, fence Fence, exempt []netip.Prefix) []ceph.Watcher {
	return slices.DeleteFunc(slices.Clone(watchers), func(w ceph.Watcher) bool {
		address, err := ceph.ParseAddress(w.Addr)
		return fence.covers(w.Addr) || err == nil && within(exempt, address)
	})
}

// refuseWatchers is nil when the fence covers all of them.
func (s Situation) refuseWatchers(fence Fence, because string) error {
	var all []error
	for _, watcher := range s.uncovered(fence) {
		all = append(all, refuse(
			"find out who that is; if it is a client of the dead cluster, add --also-fence "+watcher.Addr+"; if it is one of any other cluster, scale its workload down there",
			"client %s (%s) has the image open, %s", watcher.Addr, watcher.Client, because))
	}
	return errors.Join(all...)
}
