package guard

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Binding answers for a pod that is bound to a node, and puts the node into the
// records of its images before it can use them: a fence has to name it. The pod stays
// among those without a node until the leader sees it on one, because this binding may
// fail, and the next one pass while no webhook answers. A pod that was admitted before
// its images were taken from this cluster is refused here, and so is one whose image another
// node of this cluster may write to, see [Guard.alone].
func (e *Endpoints) Binding(ctx context.Context, request admission.Request) (Answer, client.Object) {
	var binding corev1.Binding
	if err := e.Decoder.Decode(request, &binding); err != nil {
		return malformed(err)
	}
	what := "a volume of pod " + request.Namespace + "/" + binding.Name
	var pod corev1.Pod
	err := e.Finder.API.Get(ctx, client.ObjectKey{Namespace: request.Namespace, Name: binding.Name}, &pod)
	if apierrors.IsNotFound(err) {
		return allowed(NothingGuarded), nil // a pod that is gone cannot be bound either
	} else if err != nil {
		return cannotKnow(KubernetesUnknown, what, fmt.Errorf("read the pod: %w", err)), nil
	}
	claims := volumes.ClaimsOfPod(pod.Name, &pod.Spec)
	if len(claims) == 0 {
		return allowed(NothingGuarded), nil
	}
	node, err := e.node(ctx, binding.Target.Name)
	if err != nil {
		return cannotKnow(KubernetesUnknown, what, err), &pod
	}
	return e.claims(ctx, request.Namespace, claims, &start{nodes: []ceph.Node{node}, bound: pod.UID, dryRun: isDryRun(request)}), &pod
}

// node is a node as records name it. One that does not exist has no address.
func (g *Guard) node(ctx context.Context, name string) (ceph.Node, error) {
	var node corev1.Node
	for _, reader := range []client.Reader{g.Finder.Cache, g.Finder.API} {
		err := reader.Get(ctx, client.ObjectKey{Name: name}, &node)
		if err == nil {
			break
		}
		if !apierrors.IsNotFound(err) {
			return ceph.Node{}, fmt.Errorf("read node %s: %w", name, err)
		}
	}
	node.Name = name
	return usage.RecordedNode(&node), nil
}
