package keeper

import (
	"context"
	"sync"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Shown is where people see what the keeper sees. Nothing is decided by it, and its methods
// return at once: what cannot be shown now is said again by the next sweep.
type Shown interface {
	// Show shows a volume. Most calls say what was said before.
	Show(volume volumes.Volume, seen Seen)
	// Owned shows how many images each cluster owns in the pools that a sweep has read, by the
	// UIDs of the clusters.
	Owned(images map[string]int)
}

// Seen is what the keeper knows of a volume.
type Seen struct {
	// Space is the rados namespace of the image.
	Space  string
	Record ceph.Record
	// Err is why the record is not known; it is nil if it is.
	Err error
	// Elsewhere is why what this cluster does with the image is wrong, if another cluster owns
	// it.
	Elsewhere string
	// Node may use the image still, so that it is not released, and Use says how.
	Node, Use string
	// Missing is what keeps an image of this cluster from being released, once it has lasted.
	Missing []ceph.Missing
	// News: something has just happened to the volume.
	News bool
}

// remark is what a look finds out and a record does not say.
type remark struct {
	err       error
	elsewhere string
	node, use string
	missing   []ceph.Missing
}

// remarks are those of the last looks, by the names of the PersistentVolumes: a sweep repeats
// them. Of almost all volumes there is none. The zero value is ready.
type remarks struct {
	mu  sync.Mutex
	all map[string]remark
}

func (r *remarks) note(pv string, is remark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if is.err == nil && is.elsewhere == "" && is.use == "" && len(is.missing) == 0 {
		delete(r.all, pv)
		return
	}
	if r.all == nil {
		r.all = map[string]remark{}
	}
	r.all[pv] = is
}

func (r *remarks) of(pv string) remark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[pv]
}

// show shows what a look has found, with the record as it is now.
func (k *Keeper) show(look idle.Look, record ceph.Record, lasting []ceph.Missing) {
	is := remark{missing: lasting}
	if look.Step == ownership.Conflict {
		is.elsewhere = look.Reason
	}
	if look.Stray != nil {
		is.node, is.use = look.Stray.Node, look.Stray.What
	}
	k.remarks.note(look.Volume.PV.Name, is)
	k.say(look.Volume, look.Image.Namespace, record, true)
}

// showAgain shows a volume that nothing has happened to.
func (k *Keeper) showAgain(volume volumes.Volume, space string, record ceph.Record) {
	k.say(volume, space, record, false)
}

// showUnknown shows that the record of a volume cannot be read.
func (k *Keeper) showUnknown(ctx context.Context, volume volumes.Volume, err error) {
	_, space, _ := k.Storage(ctx, volume.Image.ClusterID) // it has just answered
	k.remarks.note(volume.PV.Name, remark{err: err})
	k.say(volume, space, ceph.Record{}, true)
}

func (k *Keeper) say(volume volumes.Volume, space string, record ceph.Record, news bool) {
	if k.Shown == nil || volume.Orphan {
		return
	}
	is := k.remarks.of(volume.PV.Name)
	k.Shown.Show(volume, Seen{Space: space, Record: record, Err: is.err, Elsewhere: is.elsewhere, Node: is.node, Use: is.use, Missing: is.missing, News: news})
}

// silence is how often in a row, and why, the records of a place could not be read.
type silence struct {
	times int
	err   error
}

// patientSilence is after how many sweeps without an answer it is shown: a Ceph that is slow for
// a moment has not lost all its volumes.
const patientSilence = 3

// showSilence shows that nothing is known of a volume, because Ceph has not told for a while.
func (s *Sweep) showSilence(volume volumes.Volume, place volumes.Place) {
	if silent := s.silent[place]; s.Keeper.Shown != nil && silent.times >= patientSilence {
		s.Keeper.Shown.Show(volume, Seen{Err: silent.err})
	}
}

// count shows how many images each cluster owns. Two clusterIDs may lead to one pool, so
// records are told apart by their tokens.
func (s *Sweep) count(all map[volumes.Place]records) {
	if s.Keeper.Shown == nil {
		return
	}
	pools := map[string]int{}
	for place := range all {
		pools[place.Pool]++
	}
	owned, counted := map[string]int{}, map[string]bool{}
	for place, found := range all {
		for _, of := range found {
			switch owner := of.Record.Owner; {
			case owner == nil || pools[place.Pool] > 1 && counted[of.Record.Token]:
				continue
			case pools[place.Pool] > 1:
				counted[of.Record.Token] = true
				fallthrough
			default:
				owned[owner.UID]++
			}
		}
	}
	if len(s.silent) == 0 {
		s.Keeper.Shown.Owned(owned)
	}
}
