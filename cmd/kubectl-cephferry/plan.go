package main

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// job is a failover of one volume.
type job struct {
	claim   claim
	volume  volumes.Volume
	storage ceph.Cluster
	spec    ceph.ImageSpec
	spaces  []failover.Space
	plan    failover.Plan
	// err is why it does not take place.
	err error
}

// plan decides about all volumes before anything is done to one. All refusals are shown
// together. What the volumes have in common is read once.
func (f *failoverOptions) plan(ctx context.Context, c *connection, claims []claim, wish failover.Wish) ([]job, error) {
	jobs, err := c.jobs(ctx, claims, wish.Cluster)
	if err != nil {
		return nil, err
	}
	situations, err := c.see(ctx, jobs)
	if err != nil {
		return nil, err
	}
	var refused []error
	for i := range jobs {
		j := &jobs[i]
		if j.err == nil {
			wish.Namespace, wish.Claim = j.claim.namespace, j.claim.name
			j.plan, j.err = failover.Decide(situations[i], wish)
		}
		if j.err != nil {
			refused = append(refused, fmt.Errorf("volume %s: %w", j.claim, withAdvice(j.err)))
		}
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("nothing was changed\n%w", errors.Join(refused...))
	}
	return jobs, nil
}

// names are the claims as the API server names them.
func names(claims []claim) []types.NamespacedName {
	var all []types.NamespacedName
	for _, claim := range claims {
		all = append(all, types.NamespacedName{Namespace: claim.namespace, Name: claim.name})
	}
	return all
}

// jobs finds the image of each claim, and where to look for whom a fence would hit.
func (c *connection) jobs(ctx context.Context, claims []claim, self ceph.Party) ([]job, error) {
	found, err := c.Find(ctx, names(claims))
	if err != nil {
		return nil, err
	}
	all, err := c.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	all = append(all, found...) // some are not there yet
	spaces := map[string][]failover.Space{}
	jobs := make([]job, len(claims))
	for i, claim := range claims {
		j := &jobs[i]
		j.claim, j.volume, j.err = claim, found[i].Volume, found[i].Err
		if j.err != nil {
			continue
		}
		if j.storage, j.spec, j.err = c.named(ctx, j.volume, self); j.err != nil {
			continue
		}
		id := j.volume.Image.ClusterID
		if spaces[id] == nil {
			if spaces[id], j.err = c.spaces(ctx, all, id); j.err != nil {
				continue
			}
		}
		j.spaces = spaces[id]
	}
	return jobs, nil
}

// named is the image of a volume. One that the provisioner has not made yet leads to it by
// the name that it gets here, if it turns out to be keyed.
func (c *connection) named(ctx context.Context, volume volumes.Volume, self ceph.Party) (ceph.Cluster, ceph.ImageSpec, error) {
	storage, spec, err := c.Image(ctx, volume)
	if err != nil || !isPlanned(volume) {
		return storage, spec, err
	}
	keys, err := storage.Keys(ctx, spec.Pool, spec.Namespace)
	spec.Key = failover.OwnKey(keys, self)
	return storage, spec, err
}

// isPlanned reports whether the PersistentVolume is not there yet.
func isPlanned(volume volumes.Volume) bool { return volume.PV.UID == "" }

// byCeph are the jobs of each Ceph, without those that do not take place.
func byCeph(jobs []job) [][]job {
	var all [][]job
	at := map[ceph.Cluster]int{}
	for _, j := range jobs {
		if j.err != nil {
			continue
		}
		n, known := at[j.storage]
		if !known {
			n = len(all)
			at[j.storage] = n
			all = append(all, nil)
		}
		all[n] = append(all[n], j)
	}
	return all
}

// see is the situation of each job. What cannot be seen of one stands in it.
func (c *connection) see(ctx context.Context, jobs []job) ([]failover.Situation, error) {
	seen := map[claim]failover.Seen{}
	for _, together := range byCeph(jobs) {
		specs := make([]ceph.ImageSpec, len(together))
		for i, j := range together {
			specs[i] = j.spec
		}
		all, err := failover.See(ctx, together[0].storage, specs, together[0].spaces)
		if err != nil {
			return nil, err
		}
		for i, j := range together {
			seen[j.claim] = all[i]
		}
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	overview, err := c.Usage.Overview(ctx)
	if err != nil {
		return nil, err
	}
	situations := make([]failover.Situation, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		if j.err != nil {
			continue
		}
		s := seen[j.claim].Situation
		if j.err = seen[j.claim].Err; j.err != nil {
			continue
		}
		if isPlanned(j.volume) && !s.Record.Keyed {
			s.Image = j.spec.Base()
		}
		s.Nodes, s.Local, s.Exempt = nodes, c.settings.local, c.settings.exempt
		local, err := overview.Local(ctx, j.volume)
		if err != nil {
			j.err = err
			continue
		}
		for _, watcher := range s.Watchers {
			if local.Unexplained(watcher) == "" {
				s.Explained = append(s.Explained, watcher.Addr)
			}
		}
		situations[i] = s
	}
	return situations, nil
}
