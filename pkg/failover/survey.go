package failover

import (
	"context"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// Space is where images are: a pool, and a rados namespace in it.
type Space struct{ Pool, Namespace string }

func (s Space) String() string {
	if s.Namespace == "" {
		return s.Pool
	}
	return s.Pool + "/" + s.Namespace
}

// Records are the records of all images in the spaces.
func Records(ctx context.Context, storage ceph.RecordLister, spaces []Space) ([]ceph.RecordOf, error) {
	var all []ceph.RecordOf
	for _, space := range spaces {
		records, err := storage.Records(ctx, space.Pool, space.Namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	return all, nil
}

// See is what Ceph knows of an image, and of all images in the spaces. What the
// Kubernetes cluster knows of itself is for the caller to add.
func See(ctx context.Context, storage Ceph, spec ceph.ImageSpec, spaces []Space) (Situation, error) {
	s := Situation{Image: spec}
	image, err := storage.Image(ctx, spec)
	if err != nil {
		return Situation{}, err
	}
	if s.Record, err = ownership.Read(ctx, storage, image); err != nil {
		return Situation{}, err
	}
	if s.Watchers, err = storage.Watchers(ctx, spec); err != nil {
		return Situation{}, err
	}
	records, err := Records(ctx, storage, spaces)
	if err != nil {
		return Situation{}, err
	}
	for _, of := range records {
		if of.Image != spec {
			s.Others = append(s.Others, of)
		}
	}
	s.Daemons, err = storage.Daemons(ctx)
	return s, err
}
