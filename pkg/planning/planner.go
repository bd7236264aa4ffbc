package planning

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Planner makes plans for one Kubernetes cluster.
type Planner struct {
	*inventory.Inventory
	// Entry is ceph-csi's configuration of a clusterID, or csiconfig.ErrNotFound.
	Entry func(ctx context.Context, clusterID string) (csiconfig.Entry, error)
	// Local are further ranges from which this cluster reaches Ceph, and Exempt those of
	// rbd-mirror and the like.
	Local, Exempt []netip.Prefix
}

// Volume is the failover of one claim's image.
type Volume struct {
	Claim  types.NamespacedName
	Volume volumes.Volume
	// Storage has the image, which Spec names.
	Storage ceph.Cluster
	Spec    ceph.ImageSpec
	// Spaces are where the records are that were looked at.
	Spaces []failover.Space
	Plan   failover.Plan
	// Err is why it does not take place.
	Err error
}

// Plan decides about all claims before anything is done to one. What they have in common is
// read once. What is wrong with one stands in it; the error is about all.
func (p *Planner) Plan(ctx context.Context, claims []types.NamespacedName, wish failover.Wish) ([]Volume, error) {
	all, err := p.volumes(ctx, claims, wish.Cluster)
	if err != nil {
		return nil, err
	}
	situations, err := p.see(ctx, all, wish.Lost)
	if err != nil {
		return nil, err
	}
	for i := range all {
		v := &all[i]
		if v.Err == nil {
			wish.Namespace, wish.Claim = v.Claim.Namespace, v.Claim.Name
			v.Plan, v.Err = failover.Decide(situations[i], wish)
		}
	}
	return all, mayFence(ctx, all)
}

// mayFence asks whether the user of each Ceph may carry out what is planned: without the
// right, a failover would break off when the records say that it has begun.
func mayFence(ctx context.Context, all []Volume) error {
	asked := map[ceph.Cluster]error{}
	for i := range all {
		v := &all[i]
		if v.Err != nil || len(v.Plan.Fence.Machines)+len(v.Plan.Fence.Instances) == 0 {
			continue
		}
		err, known := asked[v.Storage]
		if !known {
			err = v.Storage.MayFence(ctx)
			asked[v.Storage] = err
		}
		if err != nil && !errors.Is(err, ceph.ErrPermission) {
			return err
		}
		v.Err = err
	}
	return nil
}

// Refused is why the failover does not take place: all refusals together, or nil.
func Refused(all []Volume) error {
	var refused []error
	for _, v := range all {
		if v.Err != nil {
			refused = append(refused, fmt.Errorf("volume %s: %w", v.Claim, failover.WithAdvice(v.Err)))
		}
	}
	return errors.Join(refused...)
}

// volumes finds the image of each claim, and where to look for whom a fence would hit.
func (p *Planner) volumes(ctx context.Context, claims []types.NamespacedName, self ceph.Party) ([]Volume, error) {
	found, err := p.Find(ctx, claims)
	if err != nil {
		return nil, err
	}
	known, err := p.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	known = append(known, found...) // some are not there yet
	spaces := map[string][]failover.Space{}
	all := make([]Volume, len(claims))
	for i, claim := range claims {
		v := &all[i]
		v.Claim, v.Volume, v.Err = claim, found[i].Volume, found[i].Err
		if v.Err != nil {
			continue
		}
		if v.Storage, v.Spec, v.Err = p.Named(ctx, v.Volume, self); v.Err != nil {
			continue
		}
		id := v.Volume.Image.ClusterID
		if spaces[id] == nil {
			if spaces[id], v.Err = p.Spaces(ctx, known, id); v.Err != nil {
				continue
			}
		}
		v.Spaces = spaces[id]
	}
	return all, nil
}

// Named is the image of a volume. One that the provisioner has not made yet leads to it by
// the name that it gets here, if it turns out to be keyed.
func (p *Planner) Named(ctx context.Context, volume volumes.Volume, self ceph.Party) (ceph.Cluster, ceph.ImageSpec, error) {
	storage, spec, err := p.Image(ctx, volume)
	if err != nil || !isPlanned(volume) {
		return storage, spec, err
	}
	keys, err := storage.Keys(ctx, spec.Pool, spec.Namespace)
	spec.Key = failover.OwnKey(keys, self)
	return storage, spec, err
}

// isPlanned reports whether the PersistentVolume is not there yet.
func isPlanned(volume volumes.Volume) bool { return volume.PV.UID == "" }

// ByCeph are the volumes of each Ceph, without those that do not take place.
func ByCeph(volumes []Volume) [][]Volume {
	var all [][]Volume
	at := map[ceph.Cluster]int{}
	for _, v := range volumes {
		if v.Err != nil {
			continue
		}
		n, known := at[v.Storage]
		if !known {
			n = len(all)
			at[v.Storage] = n
			all = append(all, nil)
		}
		all[n] = append(all[n], v)
	}
	return all
}

// see is the situation of each volume. What cannot be seen of one stands in it.
func (p *Planner) see(ctx context.Context, volumes []Volume, lost string) ([]failover.Situation, error) {
	seen := map[types.NamespacedName]failover.Seen{}
	for _, together := range ByCeph(volumes) {
		specs := make([]ceph.ImageSpec, len(together))
		for i, v := range together {
			specs[i] = v.Spec
		}
		all, err := failover.See(ctx, together[0].Storage, specs, together[0].Spaces)
		if err != nil {
			return nil, err
		}
		for i, v := range together {
			seen[v.Claim] = all[i]
		}
	}
	list, err := p.Usage.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	nodes, node := usage.RecordedNodes(list), lostAmong(list, lost)
	overview, err := p.Usage.Overview(ctx)
	if err != nil {
		return nil, err
	}
	situations := make([]failover.Situation, len(volumes))
	for i := range volumes {
		v := &volumes[i]
		if v.Err != nil {
			continue
		}
		s := seen[v.Claim].Situation
		if v.Err = seen[v.Claim].Err; v.Err != nil {
			continue
		}
		if isPlanned(v.Volume) && !s.Record.Keyed {
			s.Image = v.Spec.Base()
		}
		s.Nodes, s.Local, s.Exempt = nodes, p.Local, p.Exempt
		local, err := overview.Local(ctx, v.Volume)
		if err != nil {
			v.Err = err
			continue
		}
		for _, watcher := range s.Watchers {
			if local.Unexplained(watcher) == "" {
				s.Explained = append(s.Explained, watcher.Addr)
			}
		}
		if s.Lost = node; lost != "" {
			if s.Lost.Uses, v.Err = overview.IsUsedOn(ctx, v.Volume, lost); v.Err != nil {
				continue
			}
		}
		situations[i] = s
	}
	return situations, nil
}

// Take carries plans out, those of one Ceph together, and says what progress returns for
// these after each step of each. The errors are those of the volumes, in their order, see
// [failover.TakeAll].
func (p *Planner) Take(ctx context.Context, todo []Volume, progress func(together []Volume) func(int, failover.Step)) []error {
	of := map[types.NamespacedName]error{}
	for _, together := range ByCeph(todo) {
		plans := make([]failover.Plan, len(together))
		for i, v := range together {
			plans[i] = v.Plan
		}
		for i, err := range failover.TakeAll(ctx, together[0].Storage, plans, p.Exempt, progress(together)) {
			of[together[i].Claim] = err
		}
	}
	errs := make([]error, len(todo))
	for i, v := range todo {
		errs[i] = of[v.Claim]
	}
	return errs
}
