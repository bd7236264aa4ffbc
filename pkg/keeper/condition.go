package keeper

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Condition is the type of the condition at a pod or a claim whose volume this cluster uses
// although another one owns its image. It is there only while it is true. Reason is its
// reason, and that of the events.
const (
	Condition = usage.OwnedElsewhere
	Reason    = "OwnedElsewhere"
)

// said is what a pod or a claim says in that condition.
type said struct {
	message string
	since   metav1.Time
}

func saidBy(object client.Object) *said {
	switch object := object.(type) {
	case *corev1.Pod:
		for _, c := range object.Status.Conditions {
			if string(c.Type) == Condition {
				return &said{c.Message, c.LastTransitionTime}
			}
		}
	case *corev1.PersistentVolumeClaim:
		for _, c := range object.Status.Conditions {
			if string(c.Type) == Condition {
				return &said{c.Message, c.LastTransitionTime}
			}
		}
	}
	return nil
}

// says reports whether a pod or a claim has the condition because of that volume.
func says(object client.Object, volume volumes.Volume) bool {
	there := saidBy(object)
	return there != nil && strings.HasPrefix(there.message, prefix(volume))
}

// mark gives a pod or a claim the condition because of a volume, or takes it away if the
// message is empty. A pod has it because of one of its volumes at a time.
//
// The patch names the object's UID, so that it never meets another one of that name, and
// only this condition, so that it never undoes what kubelet and others write.
func (k *Keeper) mark(ctx context.Context, object client.Object, volume volumes.Volume, message string) error {
	there := saidBy(object)
	condition := map[string]any{"type": Condition}
	switch {
	case there != nil && (!says(object, volume) || there.message == message), there == nil && message == "":
		return nil
	case message == "":
		condition["$patch"] = "delete"
	default:
		since := metav1.NewTime(k.Now())
		if there != nil {
			since = there.since
		}
		condition["status"], condition["reason"], condition["message"] = corev1.ConditionTrue, Reason, message
		condition["lastTransitionTime"] = since
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.GetUID()},
		"status":   map[string]any{"conditions": []any{condition}},
	})
	if err == nil {
		err = client.IgnoreNotFound(k.Client.Status().Patch(ctx, object, client.RawPatch(types.StrategicMergePatchType, patch)))
	}
	if err != nil {
		return fmt.Errorf("set condition %s of %T %s/%s: %w", Condition, object, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}
