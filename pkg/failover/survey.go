package failover

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

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

// Registrations are those of all clusters in the spaces, one of each cluster, by name and
// uid, and those that cannot be read. A cluster is registered in each space where it has
// volumes: its nodes are those of all of them, the rest is of the one that was written last.
func Registrations(ctx context.Context, storage ceph.Registrar, spaces []Space) (all []ceph.Registration, unread []ceph.RegistrationOf, err error) {
	byUID := map[string]ceph.Registration{}
	for _, space := range spaces {
		registered, err := storage.Registrations(ctx, space.Pool, space.Namespace)
		if err != nil {
			return nil, nil, err
		}
		for _, of := range registered {
			if of.Err != nil {
				unread = append(unread, of)
				continue
			}
			byUID[of.UID] = together(byUID[of.UID], of.Registration)
		}
	}
	all = slices.Collect(maps.Values(byUID))
	slices.SortFunc(all, func(a, b ceph.Registration) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.UID, b.UID))
	})
	return all, unread, nil
}

// together is one registration of one cluster, whose Revision is of no use any more. The
// zero one adds nothing.
func together(a, b ceph.Registration) ceph.Registration {
	if b.Written.Before(a.Written) {
		a, b = b, a
	}
	for _, node := range a.Nodes {
		b.Nodes = ownership.WithBoot(b.Nodes, node)
	}
	b.Token, b.Revision = "", 0
	return b
}
