package cephtest

import (
	"context"
	"maps"
	"slices"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (c *client) Records(ctx context.Context, pool, namespace string) ([]ceph.RecordOf, error) {
	spec := ceph.ImageSpec{Pool: pool, Namespace: namespace}
	return do(ctx, c, Call{Method: "Records", Image: spec}, Observer, func() ([]ceph.RecordOf, error) {
		space, err := c.ceph.namespace(spec)
		if err != nil {
			return nil, err
		}
		var records []ceph.RecordOf
		for _, name := range slices.Sorted(maps.Keys(space.images)) {
			stored, ok := space.records[ceph.RecordObject(space.images[name].id)]
			if !ok || space.images[name].listed != name {
				continue
			}
			spec.Name, spec.Key = name, ""
			record, err := ceph.DecodeRecord(stored.data)
			if err == nil {
				record.Revision = stored.version
			}
			if record.Keyed {
				spec.Name, spec.Key = ceph.SplitName(name)
			}
			records = append(records, ceph.RecordOf{Image: spec, Record: record, Err: err})
		}
		return records, nil
	})
}

func (c *client) Daemons(ctx context.Context) ([]ceph.Daemon, error) {
	return do(ctx, c, Call{Method: "Daemons"}, Observer, func() ([]ceph.Daemon, error) {
		return slices.Clone(c.ceph.daemons), nil
	})
}

// SetDaemons says where Ceph's daemons are, sorted by name; at first, nowhere.
func (c *Ceph) SetDaemons(daemons ...ceph.Daemon) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.daemons = daemons
}
