package keeper

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// maxTold bounds how many pods of a volume are told.
const maxTold = 100

// tell says at the pods, the claim and the PersistentVolume that this cluster uses what
// another one owns, and takes it back when that is over. What cannot be said is logged, and
// said at the next look; it never keeps a record from being kept.
func (k *Keeper) tell(ctx context.Context, look idle.Look) {
	volume := look.Volume
	var err error
	switch {
	case volume.Orphan, look.Record.State == ceph.Fencing:
		return // an orphan has nobody to tell; during a takeover it is open who will own the image
	case look.Step == ownership.Conflict && !k.gone(ctx, volume.PV):
		err = k.tellConflict(ctx, look)
	default:
		err = k.over(ctx, volume)
	}
	k.Metrics.OwnedElsewhere(k.incidents.count())
	if err != nil && k.patience.isNews(volume.PV.Name, err.Error()) {
		ctrl.LoggerFrom(ctx).Error(err, "cannot report that an image is owned elsewhere, or that it no longer is", "volume", volume.Namespace+"/"+volume.Claim)
	}
}

// gone reports whether the PersistentVolume was deleted. The keeper looks at its image until
// that is released.
func (k *Keeper) gone(ctx context.Context, pv *corev1.PersistentVolume) bool {
	return pv.DeletionTimestamp != nil && apierrors.IsNotFound(k.Finder.Cache.Get(ctx, client.ObjectKeyFromObject(pv), &corev1.PersistentVolume{}))
}

// isNewConflict reports whether this cluster uses what another one owns, and that was not told.
func (k *Keeper) isNewConflict(look idle.Look) bool {
	known, ok := k.incidents.of(look.Volume.PV.Name)
	return look.Step == ownership.Conflict && (!ok || known.cause != causeOf(look))
}

// causeOf tells one owner of the image from the next.
func causeOf(look idle.Look) string {
	return fmt.Sprintf("%s, epoch %d", look.Reason, look.Record.Epoch)
}

func (k *Keeper) tellConflict(ctx context.Context, look idle.Look) error {
	volume := look.Volume
	pods, err := k.Usage.Pods(ctx, k.Usage.Cached(), volume)
	if err != nil {
		return err
	}
	pods = slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return pod.Spec.NodeName == "" })
	pods = pods[:min(len(pods), maxTold)]
	claim, err := k.claimOf(ctx, volume)
	if err != nil {
		return err
	}
	seen := incident{volume: volume, cause: causeOf(look)}
	for _, pod := range pods {
		seen.pods = append(seen.pods, pod.UID)
	}
	what := fmt.Sprintf("%s(image %s): %s", prefix(volume), look.Image, look.Reason)
	k.announce(ctx, k.incidents.see(seen, k.Now()), volume, claim, pods, what)
	// The claim is marked first: by that mark, a new leader finds what has to be taken back.
	if claim != nil {
		if err := k.mark(ctx, claim, volume, message(what, pods...)); err != nil {
			return err
		}
	}
	for i := range pods {
		if err := k.mark(ctx, &pods[i], volume, message(what, pods[i])); err != nil {
			return err
		}
	}
	return nil
}

// announce writes the events. Those of the volume and of the claim have a pod as their related
// object: without it the recorder would take the next incident for a repetition of this one.
func (k *Keeper) announce(ctx context.Context, who telling, volume volumes.Volume, claim *corev1.PersistentVolumeClaim, pods []corev1.Pod, what string) {
	if !who.volume {
		return
	}
	var related client.Object
	for i := range pods {
		if slices.Contains(who.pods, pods[i].UID) {
			related = &pods[i]
			k.Events.OwnedElsewhere(related, volume.PV, message(what, pods[i]))
		}
	}
	text := message(what, pods...)
	k.Events.OwnedElsewhere(volume.PV, related, text)
	if claim != nil {
		k.Events.OwnedElsewhere(claim, related, text)
	}
	ctrl.LoggerFrom(ctx).Info("this cluster uses an image that another one owns", "message", text)
}

// prefix is how all that is said of a volume begins, and nothing that is said of another.
func prefix(volume volumes.Volume) string {
	return "volume " + volume.Namespace + "/" + volume.Claim + " "
}

// message is what is said of a volume that is bound with these pods.
func message(what string, pods ...corev1.Pod) string {
	if len(pods) == 0 {
		return what
	}
	which := fmt.Sprintf("pod %s uses it here on node %s", pods[0].Name, pods[0].Spec.NodeName)
	if len(pods) > 1 {
		which = fmt.Sprintf("%d pods use it here, %s on node %s among them", len(pods), pods[0].Name, pods[0].Spec.NodeName)
	}
	return what + ", and " + which + "; scale the workload to zero in this cluster, and up again when the image is free"
}

// over takes back what was said of the volume, if anything was.
func (k *Keeper) over(ctx context.Context, volume volumes.Volume) error {
	claim, err := k.claimOf(ctx, volume)
	if err != nil {
		return err
	}
	_, known := k.incidents.of(volume.PV.Name)
	if !known && (claim == nil || !says(claim, volume)) {
		return nil
	}
	pods, err := k.Usage.Pods(ctx, k.Usage.Cached(), volume)
	if err != nil {
		return err
	}
	for i := range pods {
		if err := k.mark(ctx, &pods[i], volume, ""); err != nil {
			return err
		}
	}
	if claim != nil {
		if err := k.mark(ctx, claim, volume, ""); err != nil {
			return err
		}
	}
	k.incidents.end(volume.PV.Name)
	return nil
}

// noVolume is for a PersistentVolume that is none of the guard's any more, or has no image.
func (k *Keeper) noVolume(ctx context.Context, pv string) {
	if known, ok := k.incidents.of(pv); ok {
		if err := k.over(ctx, known.volume); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "cannot withdraw the report that an image is owned elsewhere", "volume", known.volume.Namespace+"/"+known.volume.Claim)
		}
		k.incidents.end(pv)
		k.Metrics.OwnedElsewhere(k.incidents.count())
	}
}

// claimOf is the claim that is bound to the volume, nil if there is none.
func (k *Keeper) claimOf(ctx context.Context, volume volumes.Volume) (*corev1.PersistentVolumeClaim, error) {
	var claim corev1.PersistentVolumeClaim
	err := k.Finder.Cache.Get(ctx, client.ObjectKey{Namespace: volume.Namespace, Name: volume.Claim}, &claim)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read PersistentVolumeClaim %s/%s: %w", volume.Namespace, volume.Claim, err)
	case claim.Spec.VolumeName != volume.PV.Name || !volumes.IsFor(volume.PV, &claim):
		return nil, nil
	}
	return &claim, nil
}
