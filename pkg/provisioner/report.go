package provisioner

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// task is what is done for a claim.
type task string

const (
	provisioning task = "provision"
	growing      task = "grow"
)

// Reasons of events, as the external provisioner and resizer have them. There is none that a
// volume is being made: a moment later one says that it was, or why it was not.
const (
	eventProvisioned     = "ProvisioningSucceeded"
	eventFailed          = "ProvisioningFailed"
	eventGrown           = "Resized"
	eventFilesystemGrows = "FileSystemResizeRequired"
	eventGrowFailed      = "VolumeResizeFailed"
	// Ours, about a volume that was made: whether its nodes' Ceph user may blocklist is not
	// known, OpenShift confined those otherwise who had the image, or another may have been meant.
	eventUnknown  = "NodeUserUnknown"
	eventOtherSCC = "OtherUIDRange"
	eventSimilar  = "SimilarImages"
)

const (
	// Stalled and Reconciling are the conditions by which kstatus, and so
	// `helm --wait` and Argo CD, tell failed from in progress. Both are there only
	// while they are true.
	Stalled     corev1.PersistentVolumeClaimConditionType = "Stalled"
	Reconciling corev1.PersistentVolumeClaimConditionType = "Reconciling"
)

// failureConditions are the conditions that say what is missing of a task. A bound
// claim works while its volume does not grow, so it is not stalled.
func failureConditions(what task) []corev1.PersistentVolumeClaimConditionType {
	if what == growing {
		return []corev1.PersistentVolumeClaimConditionType{corev1.PersistentVolumeClaimControllerResizeError, corev1.PersistentVolumeClaimFileSystemResizePending}
	}
	return []corev1.PersistentVolumeClaimConditionType{Stalled, Reconciling}
}

// condition is how a failure is written down.
func (f failure) condition(what task) (kind corev1.PersistentVolumeClaimConditionType, reason string) {
	switch {
	case f.kind == filesystem:
		return corev1.PersistentVolumeClaimFileSystemResizePending, eventFilesystemGrows
	case what == growing:
		return corev1.PersistentVolumeClaimControllerResizeError, eventGrowFailed
	case f.kind == invalid || f.kind == held:
		return Stalled, eventFailed
	default:
		return Reconciling, eventFailed
	}
}

func conditionOf(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) *corev1.PersistentVolumeClaimCondition {
	for i := range claim.Status.Conditions {
		if claim.Status.Conditions[i].Type == kind {
			return &claim.Status.Conditions[i]
		}
	}
	return nil
}

// fail says on the claim what is wrong, unless it says so already.
func (c *Claims) fail(ctx context.Context, claim *corev1.PersistentVolumeClaim, what task, f failure) error {
	kind, reason := f.condition(what)
	if said := conditionOf(claim, kind); said != nil && said.Message == f.text {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("refused", "task", what, "kind", f.kind, "message", f.text)
	switch f.kind {
	case waiting:
	case filesystem:
		c.Events.normal(claim, reason, f.text)
	default:
		c.Events.warning(claim, reason, f.text)
	}
	return c.patch(ctx, claim, &corev1.PersistentVolumeClaimCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: f.text,
	}, failureConditions(what))
}

// settle takes back what was said of a failure. A claim that is bound has none of
// its volume's making either.
func (c *Claims) settle(ctx context.Context, claim *corev1.PersistentVolumeClaim, what task) error {
	old := failureConditions(what)
	if what == growing {
		old = append(old, failureConditions(provisioning)...)
	}
	return c.patch(ctx, claim, nil, old)
}

// patch puts a condition, if there is one, in the place of old ones. Conditions of
// others stay.
func (c *Claims) patch(ctx context.Context, claim *corev1.PersistentVolumeClaim, condition *corev1.PersistentVolumeClaimCondition, old []corev1.PersistentVolumeClaimConditionType) error {
	changed := claim.DeepCopy()
	changed.Status.Conditions = nil
	for _, present := range claim.Status.Conditions {
		if !slices.Contains(old, present.Type) && (condition == nil || present.Type != condition.Type) {
			changed.Status.Conditions = append(changed.Status.Conditions, present)
		}
	}
	if condition != nil {
		condition.LastTransitionTime = metav1.NewTime(c.Now())
		changed.Status.Conditions = append(changed.Status.Conditions, *condition)
	} else if len(changed.Status.Conditions) == len(claim.Status.Conditions) {
		return nil
	}
	err := c.Client.Status().Patch(ctx, changed, client.StrategicMergeFrom(claim))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("set the conditions of claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}

// Events writes events about claims.
type Events struct{ events.EventRecorder }

func (e Events) normal(claim *corev1.PersistentVolumeClaim, reason, text string) {
	e.event(claim, corev1.EventTypeNormal, reason, text)
}

func (e Events) warning(claim *corev1.PersistentVolumeClaim, reason, text string) {
	e.event(claim, corev1.EventTypeWarning, reason, text)
}

func (e Events) event(claim *corev1.PersistentVolumeClaim, kind, reason, text string) {
	e.Eventf(claim, nil, kind, reason, "Provision", "%s", text)
}
