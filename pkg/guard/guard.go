package guard

import (
	"context"
	"net/netip"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Clusters leads from a clusterID to its Ceph cluster and to the rados namespace
// of its images.
type Clusters interface {
	Cluster(ctx context.Context, clusterID string) (ceph.WatcherLister, string, error)
}

// Guard answers for volumes.
type Guard struct {
	// Cluster is the name of this cluster, for people.
	Cluster string
	Finder  volumes.Finder
	// CIDRs and Exempt are those of [Local].
	CIDRs, Exempt []netip.Prefix
	Clusters      Clusters
}

// Result is how an endpoint answers.
type Result string

// The results.
const (
	Allowed Result = "allowed"
	Denied  Result = "denied"
	Unknown Result = "unknown"
)

// The reasons besides those of decide.
const (
	// NothingGuarded: none of the volumes is guarded, or there are none.
	NothingGuarded Reason = "nothing-guarded"
	// NotRising: the replicas do not rise.
	NotRising Reason = "not-rising"
	// PodsUnknown: the kind's pods are not known; the pod endpoint sees them.
	PodsUnknown Reason = "pods-unknown"
	// NobodyWaits: a volume gets its claim, and no pod uses the claim yet.
	NobodyWaits Reason = "nobody-waits"
	// CephUnknown and KubernetesUnknown: what has to be known cannot be found out.
	CephUnknown       Reason = "ceph-unknown"
	KubernetesUnknown Reason = "kubernetes-unknown"
	// Malformed: the review cannot be read.
	Malformed Reason = "malformed"
)

// Answer is what an endpoint says.
type Answer struct {
	Result  Result
	Reason  Reason
	Message string
	// Warnings are shown to people whatever the result.
	Warnings []string
}

// cannotKnow is the answer when what is needed cannot be found out.
func cannotKnow(reason Reason, what string, err error) Answer {
	return Answer{Result: Unknown, Reason: reason, Message: unknown(what, err)}
}

// parallel bounds how many volumes of one request are looked at at a time.
const parallel = 8

// check answers for all volumes together: the worst answer is the answer.
func (g *Guard) check(ctx context.Context, all []volumes.Volume) Answer {
	answers := make([]Answer, len(all))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, volume := range all {
		group.Go(func() error {
			answers[i] = g.checkOne(ctx, volume)
			return nil
		})
	}
	_ = group.Wait() // errors are in the answers
	return worst(answers)
}

// worst combines the answers for several volumes. Refusals go before what is not
// known, because they say what to do. There is no answer without a volume.
func worst(answers []Answer) Answer {
	combined := Answer{Result: Allowed, Reason: NothingGuarded}
	for _, answer := range answers {
		if rank(answer.Result) > rank(combined.Result) {
			combined = Answer{Result: answer.Result}
		}
		if answer.Result != combined.Result {
			continue
		}
		if combined.Reason != OwnWatchers {
			combined.Reason = answer.Reason
		}
		if combined.Message != "" {
			combined.Message += "\n"
		}
		combined.Message += answer.Message
	}
	return combined
}

// rank orders results from good to bad. What is not a result is not allowed.
func rank(result Result) int {
	switch result {
	case Allowed:
		return 0
	case Denied:
		return 2
	default:
		return 1
	}
}

// checkOne decides about one volume. A refusal that rests on the cache is decided
// again on what the API server says: a VolumeAttachment may be a moment old.
func (g *Guard) checkOne(ctx context.Context, volume volumes.Volume) Answer {
	spec := ceph.ImageSpec{Pool: volume.Image.Pool, Name: volume.Image.Name}
	cluster, radosNamespace, err := g.Clusters.Cluster(ctx, volume.Image.ClusterID)
	if err != nil {
		return cannotKnow(CephUnknown, describe(volume, spec), err)
	}
	spec.Namespace = radosNamespace
	watchers, err := cluster.Watchers(ctx, spec)
	if err != nil {
		return cannotKnow(CephUnknown, describe(volume, spec), err)
	}
	// What nobody watches is free, whatever this cluster knows of itself.
	verdict := decide(watchers, Local{})
	if verdict.Allowed {
		return Answer{Result: Allowed, Reason: verdict.Reason}
	}
	for _, reader := range []client.Reader{g.Finder.Cache, g.Finder.API} {
		local, err := g.local(ctx, reader, volume)
		if err != nil {
			return cannotKnow(KubernetesUnknown, describe(volume, spec), err)
		}
		if verdict = decide(watchers, local); verdict.Allowed {
			return Answer{Result: Allowed, Reason: verdict.Reason}
		}
	}
	return Answer{Result: Denied, Reason: verdict.Reason, Message: refusal(g.Cluster, volume, spec, verdict.Foreign)}
}
