package page

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/slim"
)

// CacheOptions are for the cache of a Look: it keeps of an object what the page shows of all
// of them, and lists page by page.
func CacheOptions() cache.Options {
	objects := map[client.Object]cache.ByObject{
		&v1alpha1.MigratableVolume{}: {Transform: transform(reduceVolume)},
		&v1alpha1.FerryCluster{}:     {Transform: transform(reduceCluster)},
		&v1alpha1.Takeover{}:         {Transform: transform(reduceTakeover)},
	}
	return cache.Options{ByObject: objects, NewInformer: slim.Informers(objects)}
}

// Cache is a cache that can be started, and ends with its context.
type Cache interface {
	client.Reader
	Start(context.Context) error
	WaitForCacheSync(context.Context) bool
}

const (
	// patience is how long a cache is kept after the last request.
	patience = time.Minute
	// fresh is how old the table may be. Pages ask every other second.
	fresh = time.Second
	// probed is for how long an API server that has answered counts as alive.
	probed = 3 * time.Second
	// probeLimit bounds one probe.
	probeLimit = 3 * time.Second
)

// Look has the objects in memory while somebody looks, and for a minute after.
type Look struct {
	// New makes a cache with CacheOptions.
	New func() (Cache, error)
	// Probe asks the API server for something small. A cache does not tell that its watch
	// has ended and cannot begin again.
	Probe func(context.Context) error
	Now   func() time.Time
	// AfterFunc is time.AfterFunc, as far as it is needed.
	AfterFunc func(time.Duration, func()) Timer

	mu    sync.Mutex
	cache Cache
	end   context.CancelFunc
	timer Timer
	used  time.Time // when somebody looked last
	// table is made of the cache's volumes.
	table     []*row
	tableMade time.Time
	// making is held by the one who makes it.
	making sync.Mutex

	answered time.Time // when the API server did that last
	asked    time.Time // when it was asked last
	broken   error     // what it answered then
}

// Timer is a *time.Timer.
type Timer interface {
	Reset(time.Duration) bool
}

// reader returns what has the objects. It begins to read them if nobody has looked for a
// while.
func (l *Look) reader(ctx context.Context) (Cache, error) {
	now, err := l.current() //nolint:contextcheck // the objects are there for the next who looks, too
	if err != nil {
		return nil, err
	}
	if !now.WaitForCacheSync(ctx) {
		return nil, errors.New("read the objects of cephferry: out of time")
	}
	return now, nil
}

func (l *Look) current() (Cache, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = l.Now()
	if l.cache != nil {
		return l.cache, nil
	}
	begun, err := l.New()
	if err != nil {
		return nil, fmt.Errorf("make a cache: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cache, l.end = begun, cancel
	go func() {
		// It fails only when it is started twice.
		_ = begun.Start(ctx)
	}()
	l.timer = l.AfterFunc(patience, l.expire)
	return begun, nil
}

// list lists objects of a kind.
func (l *Look) list(ctx context.Context, into client.ObjectList) error {
	from, err := l.reader(ctx)
	if err != nil {
		return err
	}
	// Nothing here changes an object.
	return from.List(ctx, into, client.UnsafeDisableDeepCopy)
}

// rows are all volumes, sorted by namespace and claim. All who look share them, and nobody
// may change them.
func (l *Look) rows(ctx context.Context) ([]*row, error) {
	from, err := l.reader(ctx)
	if err != nil {
		return nil, err
	}
	table, isFresh := l.made(from)
	if isFresh {
		return table, nil
	}
	// Whoever comes while it is made anew gets the one before.
	if !l.making.TryLock() {
		if table != nil {
			return table, nil
		}
		l.making.Lock() // who has it is out of time some day
	}
	defer l.making.Unlock()
	if table, isFresh = l.made(from); isFresh {
		return table, nil
	}
	begun := l.Now()
	var all v1alpha1.MigratableVolumeList
	if err := from.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	rows := make([]row, len(all.Items))
	sorted := make([]*row, len(all.Items))
	for i := range all.Items {
		rows[i] = newRow(&all.Items[i])
		sorted[i] = &rows[i]
	}
	slices.SortFunc(sorted, orders["claim"])

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cache == from {
		l.table, l.tableMade = sorted, begun
	}
	return sorted, nil
}

// made is the table that was made of a cache, and whether it is fresh.
func (l *Look) made(from Cache) (table []*row, isFresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.table == nil || l.cache != from {
		return nil, false
	}
	return l.table, l.Now().Sub(l.tableMade) < fresh
}

// expire gives up what is in memory if nobody has looked for a while.
func (l *Look) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := patience - l.Now().Sub(l.used); left > 0 {
		l.timer.Reset(left)
		return
	}
	l.close()
}

// Close gives up what is in memory, until the next request.
func (l *Look) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
}

func (l *Look) close() {
	if l.cache != nil {
		l.end()
		l.cache, l.end, l.table = nil, nil, nil
	}
}

// Stale returns since when the API server has not answered, and why; no error if it has just
// now. What is in memory is of that time then.
func (l *Look) Stale(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	if now := l.Now(); now.Sub(l.asked) < probed {
		defer l.mu.Unlock()
		return l.answered, l.broken
	}
	// Those who come meanwhile go by the last answer.
	l.asked = l.Now()
	l.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	err := l.Probe(ctx)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.answered = l.Now()
	}
	l.broken = err
	return l.answered, err
}
