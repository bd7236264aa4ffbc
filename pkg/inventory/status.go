package inventory

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
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
	parallel = 8
	// lookLimit bounds one volume.
	lookLimit = 20 * time.Second
)

// Status looks at all volumes. What cannot be found out about one stands in its row.
func (i *Inventory) Status(ctx context.Context, all []Found) []Status {
	rows := make([]Status, len(all))
	var group errgroup.Group
	group.SetLimit(parallel)
	for n, found := range all {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, lookLimit)
			defer cancel()
			rows[n] = i.status(ctx, found)
			return nil
		})
	}
	_ = group.Wait() // errors are in the rows
	return rows
}

func (i *Inventory) status(ctx context.Context, found Found) Status {
	row := Status{
		Namespace: found.Namespace, Claim: found.Claim, PersistentVolume: found.PV.Name, State: unknown,
	}
	err := found.Err
	if err == nil {
		err = i.look(ctx, found, &row)
	}
	if err != nil {
		row.Error = err.Error()
		if advice := ceph.Advice(err); advice != "" {
			row.Error += "; " + advice
		}
	}
	return row
}

// look fills in what it can. The record and the watchers are worth something without
// each other.
func (i *Inventory) look(ctx context.Context, found Found, row *Status) error {
	storage, spec, err := i.Image(ctx, found.Volume)
	row.Image = spec.String()
	if err != nil {
		return err
	}
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return err
	}
	record, recordErr := ownership.Read(ctx, storage, image)
	if recordErr == nil {
		row.State, row.Owner, row.Takeover, row.Fenced = record.State.String(), record.Owner, record.Takeover, record.Fenced
	}
	watchers, watchErr := storage.Watchers(ctx, spec)
	if watchErr == nil {
		row.Watchers, watchErr = i.explain(ctx, found, watchers)
	}
	return errors.Join(recordErr, watchErr)
}

func (i *Inventory) explain(ctx context.Context, found Found, watchers []ceph.Watcher) ([]Watcher, error) {
	if len(watchers) == 0 {
		return nil, nil
	}
	local, err := i.Usage.Local(ctx, i.Usage.Live(), found.Volume)
	if err != nil {
		return nil, err
	}
	var all []Watcher
	for _, watcher := range watchers {
		all = append(all, Watcher{watcher.Addr, watcher.Client, local.Unexplained(watcher), local.IsExempt(watcher)})
	}
	return all, nil
}
