package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	// mostAhead is how many claims of a workload are looked at when its replicas rise, so that no
	// sender can make a request as expensive as it likes. The rest is looked at when the pods are
	// created.
	mostAhead = 32
	// mostOfPod is how many claims a pod may have, for the same reason. Each of them must be looked
	// at before the pod starts, so a pod with more is refused.
	mostOfPod = 256
)

// claims answers for the claims that pods would use, and acquires their images for a
// pod that starts now.
//
// The owner's own restarts rest on the cache. Before an image is acquired for the first
// time, claims and volumes are read from the API server: a cache that has stood still
// while they were made again would lead to what is somebody else's by now.
func (e *Endpoints) claims(ctx context.Context, namespace string, claims []string, start *start) Answer {
	if start != nil && len(claims) > mostOfPod {
		return Answer{Result: Denied, Reason: TooManyClaims, Message: tooMany(len(claims))}
	}
	found, err := e.Finder.OfClaims(ctx, namespace, claims)
	if err != nil {
		return cannotKnow(KubernetesUnknown, "a volume of namespace "+namespace, err)
	}
	answer, sights := e.look(ctx, found.Guarded)
	if known := answer.Result == Allowed || answer.Result == Denied; known && start != nil && !start.dryRun && !e.ownsAll(sights) {
		live, err := e.live(ctx, namespace, claims, answer.Result)
		if err != nil {
			answer = cannotKnow(KubernetesUnknown, "a volume of namespace "+namespace, err)
			answer.Volumes, answer.Bases = found.Guarded, basesOf(sights) // who waits for them is woken
			return answer
		}
		if !slices.EqualFunc(found.Guarded, live.Guarded, sameVolume) {
			answer, sights = e.look(ctx, live.Guarded)
		}
		found = live
	}
	if start != nil && start.unasked && len(found.Unbound) > 0 && answer.Result == Allowed {
		answer = Answer{Result: Denied, Reason: UnboundClaim, Message: notBound(namespace, found.Unbound), Bases: answer.Bases}
	}
	if len(sights) > 0 {
		scc := e.scc(ctx, namespace)
		if start != nil {
			start.scc = scc
		}
		warnings := otherSCC(sights, namespace, scc)
		answer = e.take(ctx, answer, sights, start)
		answer.Warnings = append(answer.Warnings, warnings...)
	}
	answer.Warnings = append(answer.Warnings, found.Doubts...)
	for _, volume := range found.Unguarded {
		answer.Warnings = append(answer.Warnings, unguarded(namespace, volume))
	}
	return answer
}

// live finds the volumes at the API server, where an answer rests on the cache so far.
// Refusals share their looks.
func (e *Endpoints) live(ctx context.Context, namespace string, claims []string, answer Result) (volumes.Found, error) {
	look := func(ctx context.Context) (volumes.Found, error) {
		return e.Finder.Live().OfClaims(ctx, namespace, claims)
	}
	if answer == Allowed {
		return look(ctx)
	}
	return e.lives.do(ctx, namespace+"/"+strings.Join(claims, ","), look)
}

// ownsAll reports whether this cluster is the owner of every image that was seen.
func (g *Guard) ownsAll(sights []sight) bool {
	return !slices.ContainsFunc(sights, func(s sight) bool { return !ownership.Owns(s.record, g.Self) })
}

// sameVolume reports whether two looks at a claim have found the same: one object, for the
// same claim, that leads to the same image.
func sameVolume(a, b volumes.Volume) bool {
	return a.Namespace == b.Namespace && a.Claim == b.Claim && a.Image == b.Image &&
		a.PV.Name == b.PV.Name && a.PV.UID == b.PV.UID && equality.Semantic.DeepEqual(a.PV.Spec.CSI, b.PV.Spec.CSI)
}

// notAhead is the warning about a workload with more claims than are looked at.
func notAhead(claims, more int) string {
	return fmt.Sprintf("the volumes of the first %d claims may be used here; those of %d more are checked when their pods are created", claims, more)
}

// tooMany is the text for a pod with too many claims.
func tooMany(claims int) string {
	return fmt.Sprintf("the pod has %d claims, and at most %d volumes of a pod are checked\n"+
		"  do this   spread the volumes over several pods; nothing was changed", claims, mostOfPod)
}

// notBound is the text for a pod that names its node before its claims have volumes. No
// binding follows, so nobody is asked again when the volumes come.
func notBound(namespace string, claims []string) string {
	return fmt.Sprintf("the pod names its node, and has no volume yet for claim %s/%s: nothing would check the volume before it is mounted\n"+
		"  do this   leave spec.nodeName to the scheduler, or retry when the claim is bound; nothing was changed",
		namespace, strings.Join(claims, ", "+namespace+"/"))
}
