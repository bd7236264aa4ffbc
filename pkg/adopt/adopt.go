package adopt

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Images is the annotation on a Namespace with the images that it may use besides its own, as
// pkg/provisioner reads it.
const Images = "cephferry.io/images"

// Adopter adopts volumes of one cluster.
type Adopter struct {
	// API is the API server, without a cache.
	API   client.Client
	Files Files
	// Class is the StorageClass of ours that the new claims name, see [Decide].
	Class string
	// Granted reports whether a namespace may use an image.
	Granted func(namespace *corev1.Namespace, image string) bool
	// May reports whether the person may do that; the namespace is empty for what is in none.
	May func(ctx context.Context, verb, resource, namespace string) (bool, error)
	// Say is told each step.
	Say func(step string)
	Now func() time.Time
	// Pause is the time between two looks. Its error ends what waits.
	Pause func(context.Context) error
	// Limit is how long each step may take.
	Limit time.Duration
}

// Run carries a plan out, from the step where it is.
func (a *Adopter) Run(ctx context.Context, plan *Plan) error {
	for step, do := range []func(context.Context, *Plan) error{a.begin, a.claimGoes, a.volumeGoes, a.make, a.bind} {
		if Step(step) < plan.Step {
			continue
		}
		err := do(ctx, plan)
		switch {
		case err != nil && Step(step) == Begin:
			return err
		case err != nil:
			return fmt.Errorf("%w\n  do this   run the same command again, which goes on; or go back, as the first lines of %s say", err, a.Files.Path(plan.Name))
		}
	}
	return nil
}

// begin keeps the image, whatever goes afterwards, and takes the claim away.
func (a *Adopter) begin(ctx context.Context, plan *Plan) error {
	if err := a.unused(ctx, plan); err != nil {
		return err
	}
	if err := a.Files.write(plan.Name, plan.Old); err != nil {
		return fmt.Errorf("keep claim and volume in a file, with --save in another directory if need be: %w", err)
	}
	a.Say("the way back is in " + a.Files.Path(plan.Name))
	if err := a.grant(ctx, plan); err != nil {
		return err
	}
	if err := a.retain(ctx, plan.pv); err != nil {
		return err
	}
	if _, err := a.isKept(ctx, plan); err != nil {
		return err
	}
	return a.deleteClaim(ctx, plan)
}

// unused waits until no node has the volume. A pod that uses the claim is a refusal.
func (a *Adopter) unused(ctx context.Context, plan *Plan) error {
	return a.wait(ctx, "no node has PersistentVolume "+plan.pv.Name, func() (string, error) {
		seen := Seen{Name: plan.Name, PV: plan.pv}
		if err := a.users(ctx, &seen); err != nil {
			return "", err
		}
		if reasons := pods(seen); len(reasons) > 0 {
			return "", &Refusal{reasons}
		}
		return strings.Join(mapped(seen.PV, seen.Attachments, seen.Nodes), "; "), nil
	})
}

// grant lets the namespace adopt the image by the name that it has.
func (a *Adopter) grant(ctx context.Context, plan *Plan) error {
	if !plan.Old.Granted {
		return nil
	}
	return a.namespace(ctx, plan, func(grants []string) []string { return append(grants, plan.Image) }, "namespace %s may use image "+plan.Image)
}

// namespace changes which images the namespace may use.
func (a *Adopter) namespace(ctx context.Context, plan *Plan, change func([]string) []string, say string) error {
	namespace, err := get[corev1.Namespace](ctx, a.API, types.NamespacedName{Name: plan.Name.Namespace})
	if err != nil || namespace == nil {
		return cmpErr(err, fmt.Errorf("namespace %s is gone", plan.Name.Namespace))
	}
	var grants []string
	for grant := range strings.SplitSeq(namespace.Annotations[Images], ",") {
		if grant = strings.TrimSpace(grant); grant != "" && grant != plan.Image {
			grants = append(grants, grant)
		}
	}
	before := namespace.DeepCopy()
	grants = change(grants)
	if namespace.Annotations == nil {
		namespace.Annotations = map[string]string{}
	}
	if namespace.Annotations[Images] = strings.Join(grants, ","); len(grants) == 0 {
		delete(namespace.Annotations, Images)
	}
	if namespace.Annotations[Images] == before.Annotations[Images] {
		return nil
	}
	if err := a.API.Patch(ctx, namespace, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("change annotation %s of namespace %s: %w", Images, namespace.Name, err)
	}
	a.Say(fmt.Sprintf(say, namespace.Name))
	return nil
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// retain sets the policy with which nothing deletes the image.
func (a *Adopter) retain(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
		return nil
	}
	before := pv.DeepCopy()
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	if err := a.API.Patch(ctx, pv, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("set spec.persistentVolumeReclaimPolicy of PersistentVolume %s to Retain: %w", pv.Name, err)
	}
	a.Say("PersistentVolume " + pv.Name + " has the policy Retain")
	return nil
}

// isKept reads the old volume again. Without the policy Retain, nothing goes.
func (a *Adopter) isKept(ctx context.Context, plan *Plan) (*corev1.PersistentVolume, error) {
	pv, err := get[corev1.PersistentVolume](ctx, a.API, types.NamespacedName{Name: plan.Old.PV.Name})
	switch {
	case err != nil || pv == nil:
		return nil, err
	case pv.Spec.CSI == nil || pv.Spec.CSI.VolumeHandle != plan.Old.PV.Spec.CSI.VolumeHandle:
		return nil, fmt.Errorf("PersistentVolume %s: spec.csi.volumeHandle is not the one that the file has: somebody has made another volume of that name", pv.Name)
	case pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain:
		return nil, fmt.Errorf("PersistentVolume %s: spec.persistentVolumeReclaimPolicy is %s, so its image would be deleted; set it to Retain, find out who has changed it, and run the same command again", pv.Name, pv.Spec.PersistentVolumeReclaimPolicy)
	}
	return pv, nil
}

func (a *Adopter) deleteClaim(ctx context.Context, plan *Plan) error {
	claim := plan.claim
	err := a.API.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion})
	if err != nil {
		return fmt.Errorf("delete claim %s: %w; nothing has gone yet", plan.Name, err)
	}
	a.Say("claim " + plan.Name.String() + " is deleted")
	return nil
}

// claimGoes waits until the old claim is gone.
func (a *Adopter) claimGoes(ctx context.Context, plan *Plan) error {
	return a.wait(ctx, "claim "+plan.Name.String()+" is gone", func() (string, error) {
		claim, err := get[corev1.PersistentVolumeClaim](ctx, a.API, plan.Name)
		if err != nil || claim == nil {
			return "", err
		}
		if claim.UID != plan.claim.UID {
			return "", fmt.Errorf("claim %s was created again by somebody else in the meantime: stop what creates it, such as GitOps, then delete it and run the same command again", plan.Name)
		}
		return fmt.Sprintf("its finalizers keep it (%s): a pod that uses it may have started", strings.Join(claim.Finalizers, ", ")), nil
	})
}

// volumeGoes deletes the old volume once nothing has it.
func (a *Adopter) volumeGoes(ctx context.Context, plan *Plan) error {
	said := false
	return a.wait(ctx, "PersistentVolume "+plan.Old.PV.Name+" is gone", func() (string, error) {
		pv, err := a.isKept(ctx, plan)
		switch {
		case err != nil || pv == nil:
			return "", err
		case pv.DeletionTimestamp != nil:
			return fmt.Sprintf("its finalizers keep it (%s)", strings.Join(pv.Finalizers, ", ")), nil
		case pv.Status.Phase != corev1.VolumeReleased && pv.Status.Phase != corev1.VolumeFailed:
			return fmt.Sprintf("its status.phase is %s, and not Released", pv.Status.Phase), nil
		}
		seen := Seen{Name: plan.Name, PV: pv}
		if err := a.users(ctx, &seen); err != nil {
			return "", err
		}
		if rest := mapped(pv, seen.Attachments, seen.Nodes); len(rest) > 0 {
			return strings.Join(rest, "; "), nil
		}
		err = a.API.Delete(ctx, pv, client.Preconditions{UID: &pv.UID, ResourceVersion: &pv.ResourceVersion})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return "it has changed", nil
		} else if err != nil {
			return "", fmt.Errorf("delete PersistentVolume %s: %w", pv.Name, err)
		}
		if !said {
			said = true
			a.Say("PersistentVolume " + pv.Name + " is deleted; its image stays")
		}
		return "it is being deleted", nil
	})
}

// make creates the claim that adopts the image.
func (a *Adopter) make(ctx context.Context, plan *Plan) error {
	if err := a.grant(ctx, plan); err != nil {
		return err
	}
	err := a.API.Create(ctx, plan.New.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("claim %s was created again by somebody else in the meantime: stop what creates it, such as GitOps, then delete it and run the same command again", plan.Name)
	} else if err != nil {
		return fmt.Errorf("make claim %s: %w", plan.Name, err)
	}
	a.Say("claim " + plan.Name.String() + " is made, and adopts " + plan.Image)
	return nil
}

// bind waits until the claim has its volume, and takes the grant back.
func (a *Adopter) bind(ctx context.Context, plan *Plan) error {
	err := a.wait(ctx, "claim "+plan.Name.String()+" is bound", func() (string, error) {
		claim, err := get[corev1.PersistentVolumeClaim](ctx, a.API, plan.Name)
		switch {
		case err != nil:
			return "", err
		case claim == nil:
			return "", fmt.Errorf("claim %s is gone; run the same command again to make it", plan.Name)
		case !isNew(claim, plan.Old):
			return "", fmt.Errorf("claim %s: metadata.annotations[cephferry.io/adopt] is not %s any more: somebody else has changed it", plan.Name, plan.Image)
		case claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "":
			return fmt.Sprintf("it is %s; kubectl describe pvc %s --namespace %s says why", claim.Status.Phase, plan.Name.Name, plan.Name.Namespace), nil
		}
		pv, err := get[corev1.PersistentVolume](ctx, a.API, types.NamespacedName{Name: claim.Spec.VolumeName})
		if err != nil || pv == nil {
			return "its PersistentVolume " + claim.Spec.VolumeName + " is not there", err
		}
		if !staticpv.IsPair(pv, plan.Name.Namespace, plan.Name.Name) || staticpv.ImageOfPair(pv) != plan.Becomes {
			return "", fmt.Errorf("claim %s is bound to PersistentVolume %s, which does not lead to %s: look at both before anything starts", plan.Name, pv.Name, plan.Becomes)
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	a.Say(fmt.Sprintf("claim %s has its volume, %s", plan.Name, plan.Becomes))
	if plan.Old.Granted && plan.Image != plan.Becomes {
		if err := a.namespace(ctx, plan, func(grants []string) []string { return grants }, "namespace %s no longer needs the grant"); err != nil {
			return err
		}
	}
	// What it leads to has another name now, or could delete a subvolume that kept its own.
	return a.Files.remove(plan.Name)
}

// wait looks until nothing is left to wait for.
func (a *Adopter) wait(ctx context.Context, what string, look func() (string, error)) error {
	begin := a.Now()
	for {
		rest, err := look()
		switch {
		case err != nil:
			return err
		case rest == "":
			return nil
		case a.Now().Sub(begin) >= a.Limit:
			return fmt.Errorf("wait until %s, for %s: %s", what, a.Limit, rest)
		}
		if err := a.Pause(ctx); err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}
