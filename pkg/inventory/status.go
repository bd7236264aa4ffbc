package inventory

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Status is one guarded volume.
type Status struct {
	Namespace        string `json:"namespace"`
	Claim            string `json:"claim"`
	PersistentVolume string `json:"persistentVolume"`
	// Image is pool/name or pool/namespace/name.
	Image string `json:"image,omitempty"`
	// State is free, held or fencing; unknown if the record could not be read.
	State string `json:"state"`
	// Owner, Takeover and Fenced are those of the image's record.
	Owner    *ceph.Owner       `json:"owner,omitempty"`
	Takeover *ceph.Takeover    `json:"takeover,omitempty"`
	Fenced   []ceph.FencedNode `json:"fenced,omitempty"`
	Watchers []Watcher         `json:"watchers,omitempty"`
	// Error is what could not be found out.
	Error string `json:"error,omitempty"`
}

// Watcher is a client that has the image open.
type Watcher struct {
	Address string `json:"address"`
	Client  string `json:"client"`
	// Foreign says why this cluster does not account for it; empty if it does.
	Foreign string `json:"foreign,omitempty"`
	// Exempt: it is rbd-mirror or the like.
	Exempt bool `json:"exempt,omitempty"`
}

// unknown is the state of an image whose record cannot be read.
const unknown = "unknown"

const (
	// parallel is how many volumes are looked at at a time.
	parallel = 16
	// lookLimit bounds one volume, and what is looked at once for all of them.
	lookLimit = 20 * time.Second
)

// Status looks at all volumes. What cannot be found out about one stands in its row. Each
// image takes one call of Ceph. The API server is asked once for all of them, after that:
// a node that has opened an image meanwhile accounts for it by then.
func (i *Inventory) Status(ctx context.Context, all []Found) []Status {
	places := i.places(ctx, all)
	rows, watchers := make([]Status, len(all)), make([][]ceph.Watcher, len(all))
	var group errgroup.Group
	group.SetLimit(parallel)
	for n, found := range all {
		rows[n] = Status{Namespace: found.Namespace, Claim: found.Claim, PersistentVolume: found.PV.Name, State: unknown}
		group.Go(func() error {
			err := found.Err
			if err == nil {
				watchers[n], err = places[found.Image.ClusterID].look(ctx, found, &rows[n])
			}
			rows[n].cannot(err)
			return nil
		})
	}
	_ = group.Wait() // errors are in the rows
	i.explain(ctx, all, watchers, rows)
	return rows
}

// cannot says in the row what could not be found out.
func (s *Status) cannot(err error) {
	if err == nil {
		return
	}
	if s.Error != "" {
		s.Error += "\n"
	}
	s.Error += err.Error()
	if advice := ceph.Advice(err); advice != "" {
		s.Error += "; " + advice
	}
}

// place is where the images of a clusterID are. It is found when it is needed first.
type place func() (storage ceph.Cluster, namespace string, err error)

func (i *Inventory) places(ctx context.Context, all []Found) map[string]place {
	places := map[string]place{}
	for _, found := range all {
		id := found.Image.ClusterID
		if places[id] != nil {
			continue
		}
		var once sync.Once
		var storage ceph.Cluster
		var namespace string
		var err error
		places[id] = func() (ceph.Cluster, string, error) {
			once.Do(func() {
				ctx, cancel := context.WithTimeout(ctx, lookLimit)
				defer cancel()
				storage, namespace, err = i.Storages.Cluster(ctx, id)
			})
			return storage, namespace, err
		}
	}
	return places
}

// look fills in what it can, and returns the watchers. They are worth something without a
// record that can be read.
func (p place) look(ctx context.Context, found Found, row *Status) ([]ceph.Watcher, error) {
	storage, namespace, err := p()
	spec := found.Image.Spec(namespace)
	row.Image = spec.String()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	look, err := storage.Look(ctx, spec)
	if errors.Is(err, ceph.ErrRecordUnknown) {
		watchers, watchErr := storage.Watchers(ctx, spec)
		return watchers, errors.Join(err, watchErr)
	}
	if err != nil {
		return nil, err
	}
	record := look.Record
	row.State, row.Owner, row.Takeover, row.Fenced = record.State.String(), record.Owner, record.Takeover, record.Fenced
	return look.Watchers, nil
}

// explain says of each watcher whether this cluster accounts for it.
func (i *Inventory) explain(ctx context.Context, all []Found, watchers [][]ceph.Watcher, rows []Status) {
	overview := sync.OnceValues(func() (*usage.Overview, error) {
		ctx, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		return i.Usage.Overview(ctx)
	})
	for n, found := range all {
		if len(watchers[n]) == 0 {
			continue
		}
		seen, err := overview()
		if err != nil {
			rows[n].cannot(err)
			continue
		}
		local, err := seen.Local(ctx, found.Volume)
		if err != nil {
			rows[n].cannot(err)
			continue
		}
		for _, watcher := range watchers[n] {
			rows[n].Watchers = append(rows[n].Watchers, Watcher{watcher.Addr, watcher.Client, local.Unexplained(watcher), local.IsExempt(watcher)})
		}
	}
}
