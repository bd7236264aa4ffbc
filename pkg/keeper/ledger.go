package keeper

import (
	"slices"
	"sync"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// ledger is what the keeper knows of the volumes that it has looked at, or need not look at, by
// the names of their PersistentVolumes: so it finds out which of them a change concerns. The
// zero value is ready.
type ledger struct {
	mu  sync.Mutex
	all map[string]entry
	// held is how many of them have a holder.
	held int
}

// entry is of one volume.
type entry struct {
	// token is that of the record.
	token string
	// holders are those in the record, if the image is this cluster's.
	holders []ceph.Node
}

func (l *ledger) note(pv string, record ceph.Record, ours bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]entry{}
	}
	now := entry{token: record.Token}
	if ours {
		now.holders = record.Owner.Nodes
	}
	l.count(pv, -1)
	l.all[pv] = now
	l.count(pv, 1)
}

// count is for a caller that has mu.
func (l *ledger) count(pv string, by int) {
	if len(l.all[pv].holders) > 0 {
		l.held += by
	}
}

// at is the token of the record when the volume was looked at.
func (l *ledger) at(pv string) (token string, looked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.all[pv]
	return known.token, ok
}

// heldBy are the volumes with such a holder.
func (l *ledger) heldBy(is func(ceph.Node) bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for pv, known := range l.all {
		if slices.ContainsFunc(known.holders, is) {
			all = append(all, pv)
		}
	}
	return all
}

// onNodes is how many of the volumes this cluster holds on a node.
func (l *ledger) onNodes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *ledger) forget(pv string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(pv, -1)
	delete(l.all, pv)
}
