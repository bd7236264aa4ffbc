package guard

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// Volume answers for a PersistentVolume that gets the claim it is for, or that has one and
// becomes guarded. It opens the pod endpoint for the claim's namespace first.
//
// What becomes guarded is never refused for what is done with it now: it would be done all
// the same, without a record.
func (e *Endpoints) Volume(ctx context.Context, request admission.Request) (Answer, client.Object) {
	var pv corev1.PersistentVolume
	if err := e.Decoder.Decode(request, &pv); err != nil {
		return malformed(err)
	}
	volume, guarded, err := e.Finder.Guarded(&pv)
	if err != nil {
		return cannotKnow(KubernetesUnknown, "PersistentVolume "+pv.Name, err), nil
	}
	if !guarded || pv.Spec.ClaimRef == nil {
		return allowed(NothingGuarded), nil
	}
	becomes, err := e.becomesGuarded(request, &pv)
	if err != nil {
		return malformed(err)
	}
	answer, object := e.volume(ctx, request, volume)
	if becomes && answer.Result != Allowed {
		but := "its image is not this cluster's"
		if answer.Result != Denied { // an outage is not reported as policy
			but = "what is done with its image could not be found out"
		}
		why, _, _ := strings.Cut(answer.Message, "\n")
		stored := allowed(BecomesGuarded, fmt.Sprintf("PersistentVolume %s is guarded from now on, but %s: %s", pv.Name, but, why))
		stored.Bases = answer.Bases
		return stored, nil
	}
	return answer, object
}

// volume answers for a volume that has its claim, in the name of the pods that wait for it.
func (e *Endpoints) volume(ctx context.Context, request admission.Request, volume volumes.Volume) (Answer, client.Object) {
	what := "PersistentVolume " + volume.PV.Name
	if !isDryRun(request) {
		if err := e.Label(ctx, volume.Namespace); err != nil {
			return cannotKnow(KubernetesUnknown, what, err), nil
		}
	}
	pods, err := e.Usage.Pods(ctx, e.Usage.Live(), volume)
	if err != nil {
		return cannotKnow(KubernetesUnknown, what, err), nil
	}
	if len(pods) == 0 {
		return allowed(NobodyWaits), nil
	}
	// The pods were admitted while their claim had no volume.
	start := &start{dryRun: isDryRun(request), scc: e.scc(ctx, volume.Namespace)}
	for i := range pods {
		if pods[i].Spec.NodeName == "" {
			start.unbound = append(start.unbound, string(pods[i].UID))
			continue
		}
		node, err := e.node(ctx, pods[i].Spec.NodeName)
		if err != nil {
			return cannotKnow(KubernetesUnknown, what, err), nil
		}
		start.nodes = append(start.nodes, node)
	}
	return e.acquire(ctx, []volumes.Volume{volume}, start), maker(&pods[0])
}

// becomesGuarded reports whether the PersistentVolume was for the same claim before, and
// not guarded.
func (e *Endpoints) becomesGuarded(request admission.Request, pv *corev1.PersistentVolume) (bool, error) {
	if request.Operation != admissionv1.Update {
		return false, nil
	}
	var before corev1.PersistentVolume
	if err := e.Decoder.DecodeRaw(request.OldObject, &before); err != nil {
		return false, err
	}
	old, now := before.Spec.ClaimRef, pv.Spec.ClaimRef
	if old == nil || old.Namespace != now.Namespace || old.Name != now.Name || old.UID != now.UID {
		return false, nil
	}
	_, guarded, _ := e.Finder.Guarded(&before) // a volume whose image is unknown was guarded as well
	return !guarded, nil
}
