package objects

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// rereads is how often all objects are read again: somebody may have deleted one.
	rereads = 10 * time.Minute
	// retry is after what time it is tried again to read them. So long does it take to see
	// that the CRDs are there.
	retry = 30 * time.Second
	// pause is after what time a volume is tried again that could not be written, and tries
	// how often, before it is left to the next sweep.
	pause = time.Second
	tries = 3
	// maxNews and maxOld bound the volumes that wait to be written: those that something has
	// just happened to, and those of which there was no object yet, as when a leader begins.
	// What finds no place is said again by the next sweep.
	maxNews = 2000
	maxOld  = 500
	// few volumes are shown at once when something has happened to them. More wait until
	// nothing has happened for the time of a lull, and each for longest at most.
	few     = 10
	lull    = time.Second
	longest = 5 * time.Second
	// limit bounds the writing of one object, and that of reading a page of them.
	limit = 20 * time.Second
)

// Volumes shows volumes as MigratableVolumes. It implements keeper.Shown for them.
type Volumes struct {
	// Client writes and reads at the API server, at a rate that leaves it to others. Cache
	// has claims and PersistentVolumes.
	Client client.Client
	Cache  client.Reader
	Finder volumes.Finder
	Self   ceph.Party
	Log    logr.Logger
	Now    func() time.Time

	mu sync.Mutex
	// known is what the objects show that are there, once they were read.
	known map[types.NamespacedName]entry
	// queued are the volumes that wait to be written, in these orders; news first.
	queued    map[types.NamespacedName]*item
	news, old []types.NamespacedName
	// latest is when something happened to a volume last.
	latest time.Time
	// wake has something in it when one came.
	wake chan struct{}

	failing string
}

// entry is of one object.
type entry struct {
	// signature is that of what was shown last, 0 if that is not known, and content that of
	// the object, 0 if it has to be read before it is compared.
	signature, content uint64
}

// item is a volume that waits to be written.
type item struct {
	is        shown
	signature uint64
	tries     int
	// since is when it was queued.
	since time.Time
}

// Show implements keeper.Shown.
func (v *Volumes) Show(volume volumes.Volume, seen keeper.Seen) {
	is := shown{pv: volume.PV.Name, image: volume.Image.Spec(seen.Space).String(), seen: seen}
	v.put(types.NamespacedName{Namespace: volume.Namespace, Name: volume.Claim}, claimUID(volume), is)
}

// Waits shows a claim that has no volume yet, and why: another cluster has the image.
func (v *Volumes) Waits(claim *corev1.PersistentVolumeClaim, image ceph.ImageSpec, record ceph.Record, why string) {
	is := shown{image: image.String(), seen: keeper.Seen{Record: record, News: true}, claimWaits: why}
	v.put(client.ObjectKeyFromObject(claim), string(claim.UID), is)
}

func (v *Volumes) put(claim types.NamespacedName, uid string, is shown) {
	now := v.Now()
	one := &item{is: is, signature: signature(uid, is), since: now}
	v.mu.Lock()
	defer v.mu.Unlock()
	before, known := v.queued[claim], v.known[claim]
	if before == nil && (known.signature == one.signature || v.isShown(claim.Name, uid, is, known)) {
		if known.content != 0 {
			v.known[claim] = entry{one.signature, known.content}
		}
		return
	}
	if is.seen.News {
		v.latest = now
	}
	if before != nil {
		one.since = before.since
		*before = *one
		return
	}
	queue, most := &v.old, maxOld
	if is.seen.News {
		queue, most = &v.news, maxNews
	}
	if len(*queue) >= most {
		return
	}
	if v.queued == nil {
		v.queued = map[types.NamespacedName]*item{}
	}
	v.queued[claim] = one
	*queue = append(*queue, claim)
	select {
	case v.wakes() <- struct{}{}:
	default: // it is awake
	}
}

// isShown reports whether an object shows this already: a record may have been written and say
// nothing else that is shown, and a leader that begins has seen only the objects.
func (v *Volumes) isShown(claim, uid string, is shown, known entry) bool {
	return known.content != 0 && is.seen.Err == nil &&
		content(uid, status(v.Self, v1alpha1.MigratableVolumeStatus{}, claim, is, v.Now())) == known.content
}

// wakes is for a caller that has mu.
func (v *Volumes) wakes() chan struct{} {
	if v.wake == nil {
		v.wake = make(chan struct{}, 1)
	}
	return v.wake
}

// next takes a volume out of the queue whose time has come, or returns how long that takes, 0
// if none waits. Where news wait for a lull, what is old waits, too.
func (v *Volumes) next() (types.NamespacedName, *item, time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, queue := range []*[]types.NamespacedName{&v.news, &v.old} {
		if len(*queue) == 0 {
			continue
		}
		claim := (*queue)[0]
		one := v.queued[claim]
		if queue == &v.news {
			if wait := due(one.since, v.latest, len(*queue)).Sub(v.Now()); wait > 0 {
				return types.NamespacedName{}, nil, wait
			}
		}
		if *queue = (*queue)[1:]; len(*queue) == 0 {
			*queue = nil
		}
		delete(v.queued, claim)
		return claim, one, 0
	}
	return types.NamespacedName{}, nil, 0
}

// due is when a volume is written that something has happened to, and that is one of so many:
// at once if these are few. Much happens to one in a crowd, as where a release is
// installed or moves, and whoever waits for its pods waits for the same API server. So a crowd
// is written when nothing has happened to any volume for a moment, and each within
// some seconds.
func due(since, latest time.Time, waiting int) time.Time {
	if waiting <= few {
		return since
	}
	quiet, last := latest.Add(lull), since.Add(longest)
	if quiet.Before(last) {
		return quiet
	}
	return last
}

// again puts a volume back that could not be written, unless something newer is queued.
func (v *Volumes) again(claim types.NamespacedName, one *item) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if one.tries++; one.tries >= tries || v.queued[claim] != nil {
		return
	}
	v.queued[claim] = one
	v.news = append(v.news, claim)
}

// Start runs until ctx ends. The manager starts it in the leader only.
func (v *Volumes) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := v.read(ctx); err != nil {
			v.cannot(err)
			v.forget()
			wait(ctx, retry)
			continue
		}
		debug.FreeOSMemory() // what the pages took, of which next to nothing is kept
		if err := v.run(ctx); err != nil {
			v.cannot(err)
			v.forget()
			wait(ctx, retry)
		}
	}
	return nil
}

// run writes until the objects are to be read again. It fails if the API server does not know
// them.
func (v *Volumes) run(ctx context.Context) error {
	v.mu.Lock()
	wake := v.wakes()
	v.mu.Unlock()
	until := time.NewTimer(rereads)
	defer until.Stop()
	for {
		claim, one, after := v.next()
		if one == nil {
			var ripe <-chan time.Time
			if after > 0 {
				ripe = time.After(after)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-until.C:
				return nil
			case <-wake:
			case <-ripe:
			}
			continue
		}
		select {
		case <-until.C:
			v.again(claim, one)
			return nil
		default:
		}
		err := v.write(ctx, claim, one)
		switch {
		case err == nil:
			v.can()
		case ctx.Err() != nil:
			return nil
		case isUnknownKind(err):
			return err
		default:
			v.cannot(err)
			v.again(claim, one)
			wait(ctx, pause)
		}
	}
}

// forget forgets all that waits, and what is there.
func (v *Volumes) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known, v.queued, v.news, v.old = nil, nil, nil, nil
}

// cannot logs an error when it begins.
func (v *Volumes) cannot(err error) {
	if text := err.Error(); text != v.failing {
		v.failing = text
		if isUnknownKind(err) {
			v.Log.Info("volumes are not shown as MigratableVolumes: the API server does not know these; apply the CustomResourceDefinitions of the chart cephferry (value crds.enabled)")
			return
		}
		v.Log.Error(err, "cannot show volumes as MigratableVolumes; nothing else depends on it")
	}
}

func (v *Volumes) can() {
	if v.failing != "" {
		v.failing = ""
		v.Log.Info("volumes are shown as MigratableVolumes again")
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
