package planning

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
)

// Spaces are where images of volumes are on the same Ceph as clusterID's.
func (p *Planner) Spaces(ctx context.Context, all []inventory.Found, clusterID string) ([]failover.Space, error) {
	monitors, err := p.Monitors(ctx, clusterID)
	if err != nil {
		return nil, err
	}
	// There may be thousands of volumes, and there are few places.
	type pool struct{ clusterID, name string }
	pools := map[pool]bool{}
	for _, found := range all {
		if found.Image.ClusterID != "" && found.Image.Pool != "" { // it says so in status
			pools[pool{found.Image.ClusterID, found.Image.Pool}] = true
		}
	}
	var spaces []failover.Space
	for of := range pools {
		theirs, err := p.Monitors(ctx, of.clusterID)
		switch {
		case errors.Is(err, csiconfig.ErrNotFound):
			continue // nobody can mount it
		case err != nil:
			return nil, err
		case !csiconfig.SameCeph(monitors, theirs):
			continue
		}
		entry, err := p.Entry(ctx, of.clusterID)
		if err != nil {
			return nil, err
		}
		if space := (failover.Space{Pool: of.name, Namespace: entry.RadosNamespace}); !slices.Contains(spaces, space) {
			spaces = append(spaces, space)
		}
	}
	slices.SortFunc(spaces, func(a, b failover.Space) int { return cmp.Compare(a.String(), b.String()) })
	return spaces, nil
}

// Monitors say which Ceph it is, by [csiconfig.SameCeph]: two clusterIDs may share one.
func (p *Planner) Monitors(ctx context.Context, clusterID string) ([]string, error) {
	entry, err := p.Entry(ctx, clusterID)
	return slices.Sorted(slices.Values(entry.Monitors)), err
}
