package keeper

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// comers are volumes that came for their claims a while ago. The volume endpoint has looked
// at the pods that waited then. A pod that was admitted before, when its claim had nothing
// to look at, may have been stored since; after the grace there is no further one, and the
// pods are looked at again, once, whoever owns the image. The zero value is ready.
type comers struct {
	mu  sync.Mutex
	all map[string]comer
}

type comer struct {
	claim  claim
	since  time.Time
	looked bool
}

// claim is who a volume is for.
type claim struct {
	namespace, name string
	uid             types.UID
}

// due reports whether the volume's pods are to be looked at, or after what time they will
// be. It is zero when that is done. A leader that begins counts from then.
func (c *comers) due(pv *corev1.PersistentVolume, grace time.Duration, now time.Time) (due bool, rest time.Duration) {
	var of claim
	if ref := pv.Spec.ClaimRef; ref != nil {
		of = claim{ref.Namespace, ref.Name, ref.UID}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last, known := c.all[pv.Name]
	switch lasted := now.Sub(last.since); {
	case !known || last.claim != of:
		if c.all == nil {
			c.all = map[string]comer{}
		}
		c.all[pv.Name] = comer{claim: of, since: now}
		return false, grace
	case last.looked:
		return false, 0
	case lasted <= grace:
		return false, grace - lasted + time.Millisecond
	}
	return true, 0
}

// looked ends it for the volume's present claim.
func (c *comers) looked(pv *corev1.PersistentVolume) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.all[pv.Name]
	last.looked = true
	c.all[pv.Name] = last
}

func (c *comers) forget(pv string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, pv)
}
