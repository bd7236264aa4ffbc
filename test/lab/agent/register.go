package agent

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// As kubelet has them.
const (
	leaseDuration = 40 * time.Second
	leaseRenewal  = 10 * time.Second
)

// register makes the Node and the CSINode, or takes over those of before the
// node's last start.
func (n *node) register(ctx context.Context) error {
	status := n.status()
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Node,
			Labels: map[string]string{
				corev1.LabelHostname:   n.Node,
				corev1.LabelOSStable:   runtime.GOOS,
				corev1.LabelArchStable: runtime.GOARCH,
			},
			Annotations: map[string]string{
				// Without it, kube-controller-manager leaves attaching to kubelet.
				"volumes.kubernetes.io/controller-managed-attach-detach": "true",
				"csi.volume.kubernetes.io/nodeid":                        fmt.Sprintf("{%q:%q,%q:%q}", n.Operator.rbd(), n.Node, n.Operator.cephFS(), n.Node),
			},
		},
		Status: status,
	}
	nodes := n.Client.CoreV1().Nodes()
	created, err := nodes.Create(ctx, object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		data, err := patch(map[string]any{"status": map[string]any{
			"conditions": status.Conditions, "addresses": status.Addresses, "nodeInfo": status.NodeInfo, "volumesInUse": []string{},
		}})
		if err != nil {
			return err
		}
		if created, err = nodes.Patch(ctx, n.Node, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status"); err != nil {
			return fmt.Errorf("update node: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("create node: %w", err)
	}

	_, err = n.Client.StorageV1().CSINodes().Create(ctx, &storagev1.CSINode{
		ObjectMeta: metav1.ObjectMeta{Name: n.Node, OwnerReferences: n.owner(created)},
		Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
			{Name: n.Operator.rbd(), NodeID: n.Node}, {Name: n.Operator.cephFS(), NodeID: n.Node},
		}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create CSINode: %w", err)
	}
	_, err = n.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: n.Node, OwnerReferences: n.owner(created)},
		Spec:       n.lease(),
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create lease: %w", err)
	}
	n.Log.Info("registered", "address", n.Address)
	return nil
}

func (n *node) owner(node *corev1.Node) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
}

func (n *node) status() corev1.NodeStatus {
	now := metav1.Now()
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("64"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("1000"),
	}
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return corev1.NodeStatus{
		Capacity:    room,
		Allocatable: room,
		Conditions: []corev1.NodeCondition{
			condition(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory"),
			condition(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure"),
			condition(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID"),
			condition(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady"),
		},
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: n.Address},
			{Type: corev1.NodeHostName, Address: n.Node},
		},
		NodeInfo: corev1.NodeSystemInfo{
			OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, KubeletVersion: "v0.0.0-lab",
			// The machine boots when its agent starts. It is known by its address: the agent of
			// another machine has another one.
			BootID: n.boot, MachineID: "machine at " + n.Address, SystemUUID: "system at " + n.Address,
		},
	}
}

func (n *node) lease() coordinationv1.LeaseSpec {
	seconds, now := int32(leaseDuration.Seconds()), metav1.NowMicro()
	return coordinationv1.LeaseSpec{HolderIdentity: &n.Node, LeaseDurationSeconds: &seconds, RenewTime: &now}
}

// renewLease says every 10 seconds that the node lives. Ready again after an
// absence is for the agent to say: kube-controller-manager only says "unknown".
func (n *node) renewLease(ctx context.Context) {
	for {
		_ = retryForever(ctx, n.Log, "renew lease", func(ctx context.Context) error {
			data, err := patch(map[string]any{"spec": n.lease()})
			if err != nil {
				return err
			}
			if _, err := n.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Patch(ctx, n.Node, types.MergePatchType, data, metav1.PatchOptions{}); err != nil {
				return err
			}
			data, err = patch(map[string]any{"status": map[string]any{"conditions": n.status().Conditions}})
			if err != nil {
				return err
			}
			_, err = n.Client.CoreV1().Nodes().Patch(ctx, n.Node, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
			return err
		})
		if pause(ctx, leaseRenewal) != nil {
			return
		}
	}
}

// reportVolumes writes into the node's status which volumes are in use.
// kube-controller-manager does not detach those. As with kubelet, one report serves all
// who asked for one before it began.
func (n *node) reportVolumes(ctx context.Context) error {
	n.mu.Lock()
	n.asked++
	asked := n.asked
	n.mu.Unlock()
	n.statusMu.Lock()
	defer n.statusMu.Unlock()
	if n.reported >= asked {
		return nil
	}
	n.mu.Lock()
	asked = n.asked
	inUse := []string{}
	for v := range n.volumes {
		inUse = append(inUse, v.String())
	}
	n.mu.Unlock()
	slices.Sort(inUse)
	data, err := patch(map[string]any{"status": map[string]any{"volumesInUse": inUse}})
	if err != nil {
		return err
	}
	if _, err := n.Client.CoreV1().Nodes().Patch(ctx, n.Node, types.MergePatchType, data, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("report volumes in use: %w", err)
	}
	n.reported = asked
	return nil
}
