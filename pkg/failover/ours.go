package failover

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// ours is the plan for an image that is this cluster's already. A client that this cluster
// does not account for has its pods refused; it is fenced if the person names it, and
// says of which cluster it is if it has volumes of its own.
func (s Situation) ours(plan Plan) (Plan, error) {
	fence := alsoFence(plan.Wish.Also)
	for _, addr := range s.Explained {
		if fence.covers(addr) {
			return Plan{}, refuse("scale the workload down here instead", "client %s, which the fence would cut off, is one of this cluster", addr)
		}
	}
	strangers := s
	strangers.Watchers = notAmong(s.Watchers, s.Explained)
	if err := strangers.refuseWatchers(fence, "and this cluster, which owns it, does not account for it"); err != nil {
		return Plan{}, err
	}
	if len(fence.all()) == 0 {
		plan.Done, plan.Why = true, fmt.Sprintf("cluster %s has owned it since %s", s.Record.Owner.Name, s.Record.Owner.Since.Format(time.RFC3339))
		return plan, nil
	}
	plan.Ours, plan.Own, plan.From = true, s.Explained, s.party(plan.Wish.From)
	if err := errors.Join(s.collisions(fence, ceph.Owner{Party: plan.From})...); err != nil {
		return Plan{}, err
	}
	plan.Fence = fence.withThere(strangers.Watchers)
	plan.Carried, plan.Unknown = s.carried(plan.Fence, ceph.Owner{Party: plan.From})
	return plan, nil
}

// party is the cluster of that name by the register, or by the records.
func (s Situation) party(name string) ceph.Party {
	for _, registration := range s.Clusters {
		if name != "" && registration.Name == name && registration.UID != s.Record.Owner.UID {
			return registration.Party
		}
	}
	for _, other := range s.Others {
		if owner := other.Record.Owner; owner != nil && name != "" && owner.Name == name && owner.UID != s.Record.Owner.UID {
			return owner.Party
		}
	}
	return ceph.Party{Name: name}
}

func notAmong(watchers []ceph.Watcher, addrs []string) []ceph.Watcher {
	return slices.DeleteFunc(slices.Clone(watchers), func(w ceph.Watcher) bool { return slices.Contains(addrs, w.Addr) })
}
