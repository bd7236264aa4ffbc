package provisioner

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/annotations"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/claims"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/usage"
)

// Reason is why a request may rise or not. It is a label of metrics.
type Reason string

// The reasons for requests that rise.
const (
	// MayRise: the claim may ask for more.
	MayRise Reason = "may-rise"
	// NotRising: it does not ask for more.
	NotRising Reason = "not-rising"
	// NotMarked: ceph-csi's resizer would act on the claim.
	NotMarked Reason = "not-marked"
	// CannotGrow: the claim, its class or its volume is not as it has to be.
	CannotGrow Reason = "cannot-grow"
	// OwnedElsewhere: another cluster owns the image, or is about to.
	OwnedElsewhere Reason = "owned-elsewhere"
	// CephUnknown and KubernetesUnknown: what has to be known cannot be found out.
	CephUnknown       Reason = "ceph-unknown"
	KubernetesUnknown Reason = "kubernetes-unknown"
)

// Refusals are the reasons that a request may not rise for. Each has its section in
// docs/troubleshooting.md, by this name, and a test compares the two.
func Refusals() []Reason {
	return []Reason{NotMarked, CannotGrow, OwnedElsewhere, CephUnknown, KubernetesUnknown}
}

// Answer says whether a request may rise.
type Answer struct {
	// Allowed is false, too, if it is Unknown.
	Allowed, Unknown bool
	Reason           Reason
	// Message is why not, for people.
	Message string
	// Warnings are for people whose request rises.
	Warnings []string
}

// MayRise answers for a claim that is about to be stored in place of the version before. It
// only looks. The image grows when the request is stored, so nothing is left behind by a
// request that a quota refuses or that loses to another writer; and the API server stores no
// request on another version of the claim than the one that was looked at here.
//
// It refuses
//   - what ceph-csi's resizer would act on;
//   - a claim, class or volume that does not fit the others;
//   - making an image larger that another cluster owns.
func (c *Claims) MayRise(ctx context.Context, before, claim *corev1.PersistentVolumeClaim) Answer {
	if asks := requestOf(claim); asks.Cmp(requestOf(before)) <= 0 {
		return Answer{Allowed: true, Reason: NotRising}
	}
	claim = claim.DeepCopy()
	claim.Status = before.Status // as the API server stores it
	what := "claim " + claim.Namespace + "/" + claim.Name
	unknown := func(reason Reason, err error) Answer {
		return Answer{Unknown: true, Reason: reason, Message: fmt.Sprintf("cannot know whether %s may grow: %v\n  do this   try again when that is over; nothing was changed", what, err)}
	}
	denied := func(reason Reason, text string) Answer {
		return Answer{Reason: reason, Message: what + " cannot grow: " + text + "; nothing was changed"}
	}
	if doorOf(claim) != byClass {
		return denied(CannotGrow, "it lacks the annotation "+claims.StorageProvisioner+": "+storageclass.Provisioner+", which the PersistentVolume controller gave it; put it back")
	}
	var pv corev1.PersistentVolume
	if err := c.API.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv); err != nil {
		return unknown(KubernetesUnknown, fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err))
	}
	asked, errs := askedOf(claim, annotations.OnTemplate)
	if len(errs) > 0 {
		return denied(CannotGrow, text(errs))
	}
	p, err := c.planner().bound(ctx, claim, asked, &pv, claims.SizePath(nil))
	var f failure
	switch {
	case errors.As(err, &f):
		return denied(CannotGrow, f.text)
	case err != nil:
		return unknown(KubernetesUnknown, err)
	}
	if !isMarked(claim, &pv) {
		return denied(NotMarked, "it is not marked for ceph-csi's resizer yet, which would act on it; the webhook's leader does that within seconds where Kubernetes is 1.32 or later, so try again")
	}
	// The node takes the mark away when it is done, maybe while this request rises.
	if to := expandingTo(claim); to > claim.Status.Capacity.Storage().Value() {
		return denied(NotMarked, fmt.Sprintf("its node is about to grow the filesystem to %s, which the claim has asked for before; try again when its status.capacity says so, or when no pod uses it",
			resource.NewQuantity(to, resource.BinarySI)))
	}
	switch _, err := c.mayGrow(ctx, &p, &pv); {
	case errors.As(err, &f) && f.kind == held:
		return denied(OwnedElsewhere, f.text)
	case errors.As(err, &f) && f.kind == invalid:
		return denied(CannotGrow, f.text)
	case err != nil:
		return unknown(CephUnknown, err)
	}
	return Answer{Allowed: true, Reason: MayRise, Warnings: c.later(ctx, &p, &pv)}
}

// later warns whoever raises a request that the volume does not grow before the workload
// is restarted.
func (c *Claims) later(ctx context.Context, p *plan, pv *corev1.PersistentVolume) []string {
	if (p.atOnce() || isClusters(pv)) && !staticpv.IsExclusive(pv) {
		return nil
	}
	attachments, err := usage.Attachments(ctx, c.Client, pv.Name) // from the cache
	if err != nil || len(attachments) == 0 {
		return nil
	}
	return []string{"the volume is in use, and grows when its workload is scaled to zero and up again"}
}

// mayGrow refuses to make an image larger that another cluster owns, and returns the size that
// the image has. Subvolumes have no owner, and their size is not looked up.
func (c *Claims) mayGrow(ctx context.Context, p *plan, pv *corev1.PersistentVolume) (uint64, error) {
	if p.Class.RBD == nil {
		return 0, nil
	}
	_, image, record, err := c.recordOf(ctx, &p.Class, pv)
	if err != nil {
		return 0, explainSecret(err)
	}
	if image.Size >= uint64(p.larger().Value()) {
		return image.Size, nil
	}
	advice := "raise the request there first, or bring the workload here"
	switch owner := record.Owner; {
	case record.State == ceph.Fencing:
		return 0, failure{held, fmt.Sprintf("image %s is being taken from cluster %s, for cluster %s", image, owner.Name, record.Takeover.Name)}
	case owner != nil && !ownership.Owns(record, c.Cluster):
		return 0, failure{held, fmt.Sprintf("image %s is in use by another cluster, %s, and only its owner makes it larger: %s", image, owner.Name, advice)}
	}
	return image.Size, nil
}

// showOnVolume raises the capacity of a claim's volume to what the claim has, and reports
// whether that is still to be done. A kubelet that has mounted a volume expands it when its
// capacity is more than it was then, to what is allocated for the claim, and says that this
// is what the claim has. Nothing more is allocated for a claim that has what it asks for, so
// the volume is raised only when nobody has it attached. Who attaches it from now on mounts it
// with what the claim has.
func (c *Claims) showOnVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim) (later bool, err error) {
	has := claim.Status.Capacity[corev1.ResourceStorage]
	if doorOf(claim) != byClass || isRaised(claim) {
		return false, nil
	}
	var pv corev1.PersistentVolume
	if err := c.Client.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, &pv); err != nil {
		return false, fmt.Errorf("read PersistentVolume %s: %w", claim.Spec.VolumeName, err)
	}
	if shown := pv.Spec.Capacity[corev1.ResourceStorage]; shown.Cmp(has) >= 0 || !isOurPair(&pv, claim) {
		return false, nil
	}
	// Without attachments nobody could tell that it is not mounted.
	if required, err := usage.AttachRequired(ctx, c.Client, pv.Spec.CSI.Driver); err != nil || !required {
		return false, err
	}
	for _, reader := range []client.Reader{c.Client, c.API} {
		attachments, err := usage.Attachments(ctx, reader, pv.Name)
		if err != nil || len(attachments) > 0 {
			return err == nil, err
		}
	}
	return false, c.raiseVolume(ctx, &pv, has)
}
