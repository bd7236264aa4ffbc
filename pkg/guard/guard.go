package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/imagename"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Ceph is the part of ceph.Cluster that this package uses.
type Ceph interface {
	ceph.Looker
	ceph.ImageGrower
	ceph.WatcherLister
	ceph.RecordStore
	ceph.NoteStore
	ceph.Registrar
	ceph.Identified
	imagename.Ceph
}

// Storages leads from a clusterID to its Ceph and to the rados namespace
// of its images.
type Storages interface {
	Cluster(ctx context.Context, clusterID string) (Ceph, string, error)
}

// Guard answers for volumes.
type Guard struct {
	// Self is this cluster, as records of owners name it.
	Self   ceph.Party
	Finder volumes.Finder
	// Usage is what this cluster accounts for.
	Usage *usage.Gatherer
	// Storages leads to Ceph.
	Storages Storages
	// Installed, unless nil, fails for a driver whose ceph-csi uses a configuration that Storages
	// does not read.
	Installed func(ctx context.Context, driver string) error
	// Now is for the times in records, which people read.
	Now func() time.Time
	// Moment is how long to wait before looking again at an image that is refused only for a
	// watcher that may be gone by then. Zero: do not look again.
	Moment time.Duration
	// Acquired, unless nil, hears of each volume whose image a pod has acquired, again
	// or for the first time.
	Acquired func(volumes.Volume)
	// Taken, unless nil, hears of each volume whose image became this cluster's for a pod.
	Taken func(volumes.Volume)

	turns  turns
	locals shared[usage.Local]
	tells  shared[told]
}

// Result is how an endpoint answers.
type Result string

// The results.
const (
	Allowed Result = "allowed"
	Denied  Result = "denied"
	Unknown Result = "unknown"
)

// The reasons besides those of [Decide].
const (
	// NothingGuarded: none of the volumes is guarded, or there are none.
	NothingGuarded Reason = "nothing-guarded"
	// NotRising: the replicas do not rise.
	NotRising Reason = "not-rising"
	// PodsUnknown: the kind's pods are not known; the pod endpoint sees them.
	PodsUnknown Reason = "pods-unknown"
	// PodsWait: a workload is created, although its pods are refused for now.
	PodsWait Reason = "pods-wait"
	// NobodyWaits: a volume gets its claim, and no pod uses the claim yet.
	NobodyWaits Reason = "nobody-waits"
	// BecomesGuarded: a volume that has its claim already becomes guarded, although its
	// image may not be used here.
	BecomesGuarded Reason = "becomes-guarded"
	// UnboundClaim: the pod names its node, and one of its claims has no volume yet.
	UnboundClaim Reason = "unbound-claim"
	// TooManyClaims: the pod has more claims than are looked at.
	TooManyClaims Reason = "too-many-claims"
	// OtherName: the PersistentVolume has another kind of name for the image than the
	// image has, or not this cluster's.
	OtherName Reason = "other-name"
	// OtherNode: another node of this cluster may write to an image that is for one writer and
	// not mapped exclusively.
	OtherNode Reason = "other-node"
	// CephUnknown and KubernetesUnknown: what has to be known cannot be found out.
	CephUnknown       Reason = "ceph-unknown"
	KubernetesUnknown Reason = "kubernetes-unknown"
	// Malformed: the review cannot be read.
	Malformed Reason = "malformed"
)

// Answer is what an endpoint says.
type Answer struct {
	Result  Result
	Reason  Reason
	Message string
	// Warnings are shown to people whatever the result.
	Warnings []string
	// Acquired is how many images became this cluster's.
	Acquired int
	// Volumes are those that it is about.
	Volumes []volumes.Volume
	// Bases are what it rests on, for the audit log.
	Bases []Basis
}

// cannotKnow is the answer when what is needed cannot be found out.
func cannotKnow(reason Reason, what string, err error) Answer {
	return Answer{Result: Unknown, Reason: reason, Message: unknown(what, err)}
}

// parallel bounds how many volumes of one request are looked at at a time.
const parallel = 8

// look answers for all volumes together and changes nothing: the worst answer is the
// answer. It returns what was seen of each volume.
func (g *Guard) look(ctx context.Context, all []volumes.Volume) (Answer, []sight) {
	sights := make([]sight, len(all))
	answers := make([]Answer, len(all))
	at := func(i int) {
		sights[i] = g.lookAt(ctx, all[i])
		answers[i] = sights[i].answer
	}
	if len(all) == 1 {
		at(0) // most pods have one volume, and a goroutine would have to get its stack first
	} else {
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := range all {
			group.Go(func() error { at(i); return nil })
		}
		_ = group.Wait() // errors are in the answers
	}
	g.tell(ctx, sights, answers)
	answer := worst(answers)
	answer.Volumes, answer.Bases = all, basesOf(sights)
	return answer, sights
}

// worst combines the answers for several volumes. Refusals go before what is not
// known, because they say what to do. There is no answer without a volume.
func worst(answers []Answer) Answer {
	combined := Answer{Result: Allowed, Reason: NothingGuarded}
	for _, answer := range answers {
		if rank(answer.Result) > rank(combined.Result) {
			combined = Answer{Result: answer.Result}
		}
		if answer.Result != combined.Result {
			continue
		}
		if combined.Reason != OwnWatchers {
			combined.Reason = answer.Reason
		}
		if combined.Message != "" {
			combined.Message += "\n"
		}
		combined.Message += answer.Message
	}
	return combined
}

// rank orders results from good to bad. What is not a result is not allowed.
func rank(result Result) int {
	switch result {
	case Allowed:
		return 0
	case Denied:
		return 2
	default:
		return 1
	}
}

// sight is one volume, as it was seen.
type sight struct {
	volume volumes.Volume
	spec   ceph.ImageSpec
	ceph   Ceph
	image  ceph.Image
	record ceph.Record
	// self is this program's client instance, if the image is keyed.
	self   string
	answer Answer
	// foreign are the watchers that led to a refusal.
	foreign []Foreign
}

// looks bounds how often a volume is looked at, and one whose record has changed is looked at
// again.
const looks = 3

// lookAt reads the image's record and lists its watchers, in this order: if the
// record is still the same afterwards, nobody came between. A refusal for a watcher that may
// be gone in a moment is looked at again, see [Guard.passes].
func (g *Guard) lookAt(ctx context.Context, volume volumes.Volume) sight {
	for attempt := 1; ; attempt++ {
		s := g.lookOnce(ctx, volume)
		if s.answer.Reason != ForeignWatchers || attempt == looks || !g.passes(ctx, s) {
			return s
		}
	}
}

// passes reports whether a foreign watcher may be gone by now. Of a keyed image, another replica
// may be renaming it for this cluster, and is named in the record that it wrote before; if
// nobody owns it, its last owner may be giving it its base name. And ceph-csi in another
// cluster, which tries to stage an image of ours, opens it for a moment again and again.
func (g *Guard) passes(ctx context.Context, s sight) bool {
	if s.record.Keyed {
		if now, err := ownership.Read(ctx, s.ceph, s.image); err != nil || now.Revision != s.record.Revision {
			return err == nil
		}
	}
	left := s.record.Keyed && s.record.State == ceph.Free
	if g.Moment == 0 || !left && !ownership.Owns(s.record, g.Self) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(g.Moment):
		return true
	}
}

func (g *Guard) lookOnce(ctx context.Context, volume volumes.Volume) sight {
	s := sight{volume: volume, spec: volume.Image.Spec("")}
	watchers, err := g.ask(ctx, &s)
	if err != nil {
		s.answer = cannotKnow(CephUnknown, describe(volume, s.spec), err)
		return s
	}
	if text := otherKind(volume, s.image, s.record); text != "" {
		s.answer = Answer{Result: Denied, Reason: OtherName, Message: text}
		return s
	}
	verdict, err := g.decide(ctx, s, watchers)
	if err != nil {
		s.answer = cannotKnow(KubernetesUnknown, describe(volume, s.spec), err)
		return s
	}
	s.answer = Answer{Result: Allowed, Reason: verdict.Reason}
	if !verdict.Allowed {
		s.answer.Result = Denied
		s.foreign = verdict.Foreign
		s.answer.Message = g.refusal(volume, s.spec, verdict.Foreign, s.record, told{})
	}
	return s
}

// decide is [Decide] with what this cluster accounts for, which the cache is asked for
// first. A refusal for a watcher rests on what the API server says: a VolumeAttachment may
// be a moment old. Refusals share that look; what it would allow is looked at once more.
// Where the record alone refuses, nothing of it matters.
func (g *Guard) decide(ctx context.Context, s sight, watchers []ceph.Watcher) (Verdict, error) {
	unwatched := Decide(nil, s.record, g.Self, usage.Local{})
	if len(watchers) == 0 {
		return unwatched, nil
	}
	local, err := g.Usage.Local(ctx, g.Usage.Cached(), s.volume, watchers...)
	if err != nil {
		return Verdict{}, err
	}
	if verdict := Decide(watchers, s.record, g.Self, local); verdict.Allowed || !unwatched.Allowed {
		return verdict, nil
	}
	var holders []ceph.Node
	if ownership.Owns(s.record, g.Self) {
		holders = s.record.Owner.Nodes
	}
	live := func(ctx context.Context) (usage.Local, error) { return g.Usage.Named(ctx, s.volume, watchers, holders) }
	if local, err = g.locals.do(ctx, sharing(s, watchers), live); err != nil {
		return Verdict{}, err
	}
	if verdict := Decide(watchers, s.record, g.Self, local); !verdict.Allowed {
		return verdict, nil
	}
	if local, err = live(ctx); err != nil {
		return Verdict{}, err
	}
	return Decide(watchers, s.record, g.Self, local), nil
}

// sharing is what those who share a look at the API server have in common: volume, record
// and watchers.
func sharing(s sight, watchers []ceph.Watcher) string {
	key := fmt.Sprint(s.volume.PV.Name, " ", s.volume.PV.UID, " ", s.record.Revision)
	for _, watcher := range watchers {
		key += " " + watcher.Addr
	}
	return key
}

// ask asks Ceph about one volume.
func (g *Guard) ask(ctx context.Context, s *sight) ([]ceph.Watcher, error) {
	if g.Installed != nil {
		if err := g.Installed(ctx, s.volume.PV.Spec.CSI.Driver); err != nil {
			return nil, err
		}
	}
	watchers, err := g.askOnce(ctx, s)
	if errors.Is(err, ceph.ErrBlocklisted) {
		// Another cluster has cut this program's client off, because it may have been renaming an
		// image yet. That leads to a new client, and only a machine's fence is in the way of that one.
		watchers, err = g.askOnce(ctx, s)
	}
	return watchers, err
}

func (g *Guard) askOnce(ctx context.Context, s *sight) ([]ceph.Watcher, error) {
	var err error
	if s.ceph, s.spec.Namespace, err = g.Storages.Cluster(ctx, s.volume.Image.ClusterID); err != nil {
		return nil, err
	}
	look, err := s.ceph.Look(ctx, s.spec)
	s.image, s.record = look.Image, look.Record
	return look.Watchers, err
}

// Free reports whether pods may start on all of the volumes now. Who waits long makes it
// asked often, so it stops at the first that is not free, and rests on the cache: a pod
// that comes too early is refused once more.
func (g *Guard) Free(ctx context.Context, all []volumes.Volume) bool {
	return !slices.ContainsFunc(all, func(v volumes.Volume) bool { return !g.isFree(ctx, v) })
}

func (g *Guard) isFree(ctx context.Context, volume volumes.Volume) bool {
	s := sight{volume: volume, spec: volume.Image.Spec("")}
	watchers, err := g.ask(ctx, &s)
	if err != nil || !Decide(nil, s.record, g.Self, usage.Local{}).Allowed {
		return false
	}
	if s.record.Keyed && !(ownership.Owns(s.record, g.Self) && s.record.Named) {
		holder, err := g.inTheWay(ctx, s)
		if err != nil {
			return false
		}
		watchers = append(watchers, holder...)
	}
	if len(watchers) == 0 {
		return true
	}
	local, err := g.Usage.Local(ctx, g.Usage.Cached(), volume, watchers...)
	return err == nil && Decide(watchers, s.record, g.Self, local).Allowed
}
