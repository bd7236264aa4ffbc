package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// What kubelet 1.36 does about volumes that grow, with the names of its functions.

const (
	// syncDelay stands for the minute until kubelet syncs a pod again, and reads its claims
	// and volumes (checkVolumeFSResize).
	syncDelay = time.Second
	// reconcilePeriod is between two looks at what is mounted (its volume manager's).
	reconcilePeriod = 100 * time.Millisecond
)

// use is the claim for which a volume is mounted.
type use struct {
	namespace, claim string
	// size is what the claim's status said when the volume was mounted, or what it was
	// expanded to since.
	size resource.Quantity
}

// expandAtMount grows a filesystem that is less than its volume, when a pod mounts it
// (expandVolumeDuringMount).
func (n *node) expandAtMount(ctx context.Context, v *volume, pv *corev1.PersistentVolume, namespace, claim string) error {
	pvc, err := n.Client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, claim, metav1.GetOptions{})
	if err != nil {
		return err
	}
	has := *pvc.Status.Capacity.Storage()
	if to := *pv.Spec.Capacity.Storage(); has.Cmp(to) < 0 {
		if _, has, err = n.nodeExpand(ctx, v, pvc, has, to); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v.use.size.IsZero() {
		v.use = use{namespace, claim, has}
	}
	return nil
}

// volumeChanged grows what is mounted of a volume whose capacity was raised.
func (n *node) volumeChanged(ctx context.Context, before, pv *corev1.PersistentVolume) {
	if pv.Spec.CSI == nil || pv.Spec.Capacity.Storage().Cmp(*before.Spec.Capacity.Storage()) == 0 {
		return
	}
	n.mu.Lock()
	v, ok := n.volumes[volumeID{pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle}]
	n.mu.Unlock()
	if ok {
		go n.expandMounted(ctx, v, *pv.Spec.Capacity.Storage())
	}
}

// expandMounted tries until what is mounted has that size (volumeNeedsExpansion,
// GenerateExpandInUseVolumeFunc), or is mounted no more.
func (n *node) expandMounted(ctx context.Context, v *volume, to resource.Quantity) {
	if pause(ctx, syncDelay) != nil {
		return
	}
	for {
		n.mu.Lock()
		use, used := v.use, v.pods > 0
		n.mu.Unlock()
		if !used || !use.size.IsZero() && to.Cmp(use.size) <= 0 {
			return
		}
		delay := reconcilePeriod
		if use.size.IsZero() {
			// It is being mounted.
		} else if err := n.expandOnce(ctx, v, use, to); err != nil {
			n.Log.Error("expand", "volume", v.handle, "error", err)
			delay = mountRetry
		}
		if pause(ctx, delay) != nil {
			return
		}
	}
}

func (n *node) expandOnce(ctx context.Context, v *volume, use use, to resource.Quantity) error {
	pvc, err := n.Client.CoreV1().PersistentVolumeClaims(use.namespace).Get(ctx, use.claim, metav1.GetOptions{})
	if err != nil {
		return err
	}
	done, size, err := n.nodeExpand(ctx, v, pvc, use.size, to)
	if err != nil || !done {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v.use.size = size
	return nil
}

// nodeExpand grows the filesystem, if the claim lets it, and says so on the claim
// (nodeExpandVolume). It returns whether that is done, and the size that is remembered then.
func (n *node) nodeExpand(ctx context.Context, v *volume, pvc *corev1.PersistentVolumeClaim, from, to resource.Quantity) (bool, resource.Quantity, error) {
	status := pvc.Status.AllocatedResourceStatuses[corev1.ResourceStorage]
	if status == "" && pvc.Status.AllocatedResources == nil { // legacyCallNodeExpandOnPlugin
		if err := n.expandVolume(v); err != nil {
			return false, from, err
		}
		if pvc.Status.Capacity.Storage().Cmp(to) >= 0 {
			return true, to, nil
		}
		_, err := n.patchClaim(ctx, pvc, func(s *corev1.PersistentVolumeClaimStatus) { expanded(s, to) })
		return err == nil, to, err
	}
	// NodeExpander.expandOnPlugin
	to = pvc.Status.AllocatedResources[corev1.ResourceStorage]
	already := pvc.Status.Capacity.Storage().Cmp(to) >= 0 && status == ""
	pending := status == corev1.PersistentVolumeClaimNodeResizePending || status == corev1.PersistentVolumeClaimNodeResizeInProgress
	switch {
	case already && slices.Contains(pvc.Spec.AccessModes, corev1.ReadWriteMany): // on each node
		return true, to, n.expandVolume(v)
	case already:
		return true, to, nil
	case !pending:
		return false, from, nil
	}
	pvc, err := n.patchClaim(ctx, pvc, func(s *corev1.PersistentVolumeClaimStatus) {
		s.AllocatedResourceStatuses[corev1.ResourceStorage] = corev1.PersistentVolumeClaimNodeResizeInProgress
	})
	if err != nil {
		return false, from, err
	}
	if err := n.expandVolume(v); err != nil {
		return false, from, err
	}
	_, err = n.patchClaim(ctx, pvc, func(s *corev1.PersistentVolumeClaimStatus) { expanded(s, to) })
	return true, to, err
}

// expandVolume is ceph-csi's NodeExpandVolume: the filesystem gets what the device has,
// whatever it is asked for.
func (n *node) expandVolume(v *volume) error {
	v.turn <- struct{}{}
	defer func() { <-v.turn }()
	if v.staged == nil {
		return errors.New("it is not staged")
	}
	size, err := v.staged.expand()
	if err == nil {
		n.Log.Info("expanded", "volume", v.handle, "size", size)
	}
	return err
}

// expanded says that the filesystem has a size (MarkFSResizeFinished and
// MarkNodeExpansionFinishedWithRecovery).
func expanded(status *corev1.PersistentVolumeClaimStatus, size resource.Quantity) {
	status.Capacity[corev1.ResourceStorage] = size
	delete(status.AllocatedResourceStatuses, corev1.ResourceStorage)
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
		return slices.Contains([]corev1.PersistentVolumeClaimConditionType{
			corev1.PersistentVolumeClaimFileSystemResizePending, corev1.PersistentVolumeClaimResizing,
			corev1.PersistentVolumeClaimControllerResizeError, corev1.PersistentVolumeClaimNodeResizeError,
		}, c.Type)
	})
}

// patchClaim changes the status of exactly this version of the claim (PatchPVCStatus).
func (n *node) patchClaim(ctx context.Context, pvc *corev1.PersistentVolumeClaim, change func(*corev1.PersistentVolumeClaimStatus)) (*corev1.PersistentVolumeClaim, error) {
	changed := pvc.DeepCopy()
	change(&changed.Status)
	before, err := json.Marshal(pvc)
	if err != nil {
		return nil, fmt.Errorf("encode claim %s: %w", pvc.Name, err)
	}
	after, err := json.Marshal(changed)
	if err != nil {
		return nil, fmt.Errorf("encode claim %s: %w", pvc.Name, err)
	}
	data, err := strategicpatch.CreateTwoWayMergePatch(before, after, pvc)
	if err != nil {
		return nil, fmt.Errorf("patch claim %s: %w", pvc.Name, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("patch claim %s: %w", pvc.Name, err)
	}
	fields["metadata"] = map[string]any{"resourceVersion": pvc.ResourceVersion}
	if data, err = patch(fields); err != nil {
		return nil, err
	}
	return n.Client.CoreV1().PersistentVolumeClaims(pvc.Namespace).Patch(ctx, pvc.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
}
