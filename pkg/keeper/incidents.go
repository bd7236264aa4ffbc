package keeper

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// repeat is how often an incident that lasts is told again. The API server forgets events
// after an hour, unless its flag --event-ttl says otherwise.
const repeat = 30 * time.Minute

// incident is a volume that this cluster uses although it does not own the image.
type incident struct {
	volume volumes.Volume
	// cause is that of [causeOf].
	cause string
	// pods are bound to nodes with the volume.
	pods []types.UID
	// told is when people were last told of it.
	told time.Time
}

// telling is who is told of an incident now: the volume with its claim, and pods.
type telling struct {
	volume bool
	pods   []types.UID
}

// decideTelling says who is told of what is seen now, and what to remember.
//
//	before                          now                 told
//	no incident                     any                 volume and pods
//	an incident                     another cause       volume and pods
//	an incident                     a pod that is new   volume and that pod
//	told at least half an hour ago  the same, or less   volume and pods
//	told since                      the same, or less   nobody
func decideTelling(before *incident, seen incident, now time.Time) (telling, incident) {
	if before == nil || before.cause != seen.cause || now.Sub(before.told) >= repeat {
		seen.told = now
		return telling{volume: true, pods: seen.pods}, seen
	}
	var fresh []types.UID
	for _, pod := range seen.pods {
		if !slices.Contains(before.pods, pod) {
			fresh = append(fresh, pod)
		}
	}
	seen.told = before.told
	return telling{volume: len(fresh) > 0, pods: fresh}, seen
}

// incidents are those that last, by the names of their PersistentVolumes. The zero value is
// ready. A leader that begins knows none, and tells of all that it sees.
type incidents struct {
	mu  sync.Mutex
	all map[string]incident
}

// see notes what is seen now, and returns who is told.
func (i *incidents) see(seen incident, now time.Time) telling {
	i.mu.Lock()
	defer i.mu.Unlock()
	var before *incident
	if known, ok := i.all[seen.volume.PV.Name]; ok {
		before = &known
	}
	who, next := decideTelling(before, seen, now)
	if i.all == nil {
		i.all = map[string]incident{}
	}
	i.all[seen.volume.PV.Name] = next
	return who
}

// of is the incident of a PersistentVolume, if there is one.
func (i *incidents) of(pv string) (incident, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	known, ok := i.all[pv]
	return known, ok
}

func (i *incidents) end(pv string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.all, pv)
}

func (i *incidents) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.all)
}
