package failover

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// parallel is how many images are worked on at a time.
const parallel = 16

// Seen is what Ceph knows of one image of several, or why nobody can say.
type Seen struct {
	Situation
	Err error
}

// See is what Ceph knows of images, and of all images and clusters in the spaces, which is
// read once for all of them. What the Kubernetes cluster knows of itself is for the caller to
// add.
func See(ctx context.Context, storage Ceph, specs []ceph.ImageSpec, spaces []Space) ([]Seen, error) {
	all := make([]Seen, len(specs))
	each(len(all), func(i int) {
		all[i].Image = specs[i]
		all[i].Err = all[i].look(ctx, storage)
	})
	common, err := survey(ctx, storage, spaces)
	if err != nil {
		return nil, err
	}
	for i := range all {
		image, record, watchers := all[i].Image, all[i].Record, all[i].Watchers
		all[i].Situation = common
		all[i].Image, all[i].Record, all[i].Watchers = image, record, watchers
	}
	each(len(all), func(i int) {
		if all[i].Err == nil && all[i].Record.Keyed {
			all[i].Holder, all[i].Err = storage.LockHolder(ctx, specs[i])
		}
	})
	return all, keys(ctx, storage, all)
}

// each calls f for each number below n, some of them at a time.
func each(n int, f func(i int)) {
	var group errgroup.Group
	group.SetLimit(parallel)
	for i := range n {
		group.Go(func() error {
			f(i)
			return nil
		})
	}
	_ = group.Wait() // errors are the caller's
}

// look finds the record, and then the watchers.
func (s *Situation) look(ctx context.Context, storage Ceph) error {
	look, err := storage.Look(ctx, s.Image)
	s.Record, s.Watchers = look.Record, look.Watchers
	return err
}

// survey is what all images have in common.
func survey(ctx context.Context, storage Ceph, spaces []Space) (Situation, error) {
	var s Situation
	var err error
	if s.Others, err = Records(ctx, storage, spaces); err != nil {
		return Situation{}, err
	}
	s.index = newIndex(s.Others)
	if s.Clusters, s.Unread, err = Registrations(ctx, storage, spaces); err != nil {
		return Situation{}, err
	}
	if s.Daemons, err = storage.Daemons(ctx); err != nil {
		return Situation{}, err
	}
	s.Now = time.Now()
	s.Entries, err = storage.Blocklisted(ctx)
	return s, err
}

// keys adds the keys of each pool in which an image carries its owner's name, and who asks.
func keys(ctx context.Context, storage Ceph, all []Seen) error {
	known := map[Space][]ceph.Key{}
	self := ""
	for i := range all {
		s := &all[i]
		if s.Err != nil || !s.Record.Keyed {
			continue
		}
		space := Space{s.Image.Pool, s.Image.Namespace}
		if _, ok := known[space]; !ok {
			keys, err := storage.Keys(ctx, space.Pool, space.Namespace)
			if err == nil && self == "" {
				self, err = storage.Self(ctx)
			}
			if err != nil {
				return err
			}
			known[space] = keys
		}
		s.Keys, s.Self = known[space], self
	}
	return nil
}
