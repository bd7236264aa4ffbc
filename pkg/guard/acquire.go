package guard

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// start is a pod that is about to start. Nil: somebody only wants to know.
type start struct {
	// pod is its UID, which the API server sets before it calls the webhook. It is empty for a pod
	// that is already stored.
	pod types.UID
	// nodes are where it goes, if that is known.
	nodes []ceph.Node
	// unbound are the UIDs of pods that have no node yet. bound is the UID of a pod that gets its
	// node now.
	unbound []string
	bound   types.UID
	dryRun  bool
	// scc is how OpenShift confines the pod, as far as that is known.
	scc *ceph.SCC
	// unasked: the pod names its node, so no admission of its binding follows.
	unasked bool
}

// refused carries a denied or unknown Answer as an error.
type refused struct{ Answer }

func (r refused) Error() string { return r.Message }

// acquire looks at the volumes, and if all of them may be used, makes this cluster
// the owner of their images, or of none.
func (g *Guard) acquire(ctx context.Context, all []volumes.Volume, start *start) Answer {
	answer, sights := g.look(ctx, all)
	return g.take(ctx, answer, sights, start)
}

// take acquires what was looked at, if it may be used and a pod starts.
func (g *Guard) take(ctx context.Context, answer Answer, sights []sight, start *start) Answer {
	if answer.Result != Allowed || start == nil || start.dryRun {
		return answer
	}
	all, bases := answer.Volumes, answer.Bases
	targets := make([]ownership.Target, len(sights))
	for i := range sights {
		s := &sights[i]
		if s.record.Keyed {
			var err error
			if s.self, err = s.ceph.Self(ctx); err != nil {
				answer = cannotKnow(CephUnknown, describe(s.volume, s.spec), err)
				answer.Volumes, answer.Bases = all, bases // who waits for them is woken
				return answer
			}
		}
		if refusal := g.alone(ctx, *s, start); refusal != nil {
			refusal.Volumes, refusal.Bases = all, bases
			return *refusal
		}
		targets[i] = g.target(s, start)
	}
	acquired, failed, err := ownership.AcquireAll(ctx, targets)
	var seen refused
	switch {
	case err == nil:
		answer.Acquired, answer.Bases = acquired, basesOf(sights)
		answer.Warnings = append(answer.Warnings, g.growAll(ctx, sights, targets)...)
		for i, volume := range all {
			if g.Acquired != nil {
				g.Acquired(volume)
			}
			if g.Taken != nil && targets[i].Seen.State == ceph.Free {
				g.Taken(volume)
			}
		}
		return answer
	case errors.As(err, &seen):
		answer = seen.Answer
	default:
		answer = Answer{Result: Unknown, Reason: CephUnknown, Message: notTaken(g.Self, describe(sights[failed].volume, sights[failed].spec), err)}
	}
	answer.Volumes, answer.Bases = all, basesOf(sights)
	return answer
}

// target is one image to acquire. It is looked at again, watchers and all, when
// somebody else has changed its record.
func (g *Guard) target(s *sight, start *start) ownership.Target {
	capacity := s.volume.PV.Spec.Capacity[corev1.ResourceStorage]
	return ownership.Target{
		Records: s.ceph,
		Request: ownership.Request{
			Cluster:   g.Self,
			Namespace: s.volume.Namespace,
			Claim:     s.volume.Claim,
			Pod:       string(start.pod),
			Nodes:     start.nodes,
			Unbound:   start.unbound,
			ClaimSize: uint64(max(0, capacity.Value())),
			Exclusive: staticpv.IsExclusive(s.volume.PV),
			Renamer:   s.self,
			SCC:       start.scc,
			Now:       g.Now(),
		},
		Name: func(ctx context.Context, image ceph.Image, written ceph.Record) error {
			return g.name(ctx, s, image, written)
		},
		Turn:  func(ctx context.Context) (func(), error) { return g.turns.take(ctx, s.image.String()) },
		Image: s.image,
		Seen:  s.record,
		Look: func(ctx context.Context) (ceph.Image, ceph.Record, error) {
			again := g.lookAt(ctx, s.volume)
			s.record, s.answer = again.record, again.answer
			if again.answer.Result != Allowed {
				return ceph.Image{}, ceph.Record{}, refused{again.answer}
			}
			if refusal := g.alone(ctx, again, start); refusal != nil {
				return ceph.Image{}, ceph.Record{}, refused{*refusal}
			}
			return again.image, again.record, nil
		},
	}
}
