package guard

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// Local returns what reader, the cache or the API server, says about a volume.
// Pods are not cached; they matter only for drivers without attachments.
func (g *Guard) Local(ctx context.Context, reader client.Reader, volume volumes.Volume) (Local, error) {
	local := Local{Nodes: map[string][]netip.Addr{}, Boots: map[string]string{}, CIDRs: g.CIDRs, Exempt: g.Exempt}
	var nodes corev1.NodeList
	// There may be thousands, and they are only looked at.
	if err := reader.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return Local{}, fmt.Errorf("list nodes: %w", err)
	}
	inUse := corev1.UniqueVolumeName("kubernetes.io/csi/" + volume.PV.Spec.CSI.Driver + "^" + volume.PV.Spec.CSI.VolumeHandle)
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if slices.Contains(node.Status.VolumesInUse, inUse) {
			local.Reporting = append(local.Reporting, node.Name)
		}
		local.Nodes[node.Name], local.Boots[node.Name] = addressesOf(node), node.Status.NodeInfo.BootID
	}
	attach, err := attachRequired(ctx, reader, volume.PV.Spec.CSI.Driver)
	if err != nil {
		return Local{}, err
	}
	if attach {
		local.Using, err = g.attachedNodes(ctx, reader, volume.PV.Name)
	} else {
		local.Using, err = scheduledNodes(ctx, g.Finder.API, volume)
	}
	return local, err
}

// attachRequired reports whether volumes of the driver are attached to nodes,
// which is the default.
func attachRequired(ctx context.Context, reader client.Reader, name string) (bool, error) {
	var driver storagev1.CSIDriver
	err := reader.Get(ctx, client.ObjectKey{Name: name}, &driver)
	if apierrors.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("read CSIDriver %s: %w", name, err)
	}
	return driver.Spec.AttachRequired == nil || *driver.Spec.AttachRequired, nil
}

// attachedNodes are the nodes with a VolumeAttachment of the PV. One that is being
// deleted counts: the node still may have the image mapped. One that is gone does
// not: what reader has of this PV is confirmed with the API server, because a
// cache that lags must not explain a watcher.
func (g *Guard) attachedNodes(ctx context.Context, reader client.Reader, pv string) ([]string, error) {
	var attachments storagev1.VolumeAttachmentList
	if err := reader.List(ctx, &attachments); err != nil {
		return nil, fmt.Errorf("list VolumeAttachments: %w", err)
	}
	var nodes []string
	for _, attachment := range attachments.Items {
		if name := attachment.Spec.Source.PersistentVolumeName; name == nil || *name != pv {
			continue
		}
		var present storagev1.VolumeAttachment
		err := g.Finder.API.Get(ctx, client.ObjectKey{Name: attachment.Name}, &present)
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read VolumeAttachment %s: %w", attachment.Name, err)
		}
		nodes = append(nodes, present.Spec.NodeName)
	}
	return nodes, nil
}

// scheduledNodes are the nodes with a pod that uses the volume's claim.
func scheduledNodes(ctx context.Context, reader client.Reader, volume volumes.Volume) ([]string, error) {
	pods, err := PodsUsing(ctx, reader, volume)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, pod := range pods {
		if pod.Spec.NodeName != "" {
			nodes = append(nodes, pod.Spec.NodeName)
		}
	}
	return nodes, nil
}

// PodsUsing are the pods that use the volume's claim and are not finished.
func PodsUsing(ctx context.Context, reader client.Reader, volume volumes.Volume) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(volume.Namespace)); err != nil {
		return nil, fmt.Errorf("list pods in namespace %s: %w", volume.Namespace, err)
	}
	var using []corev1.Pod
	for _, pod := range pods.Items {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, claim := range volumes.ClaimsOfPod(pod.Name, &pod.Spec) {
			if claim == volume.Claim {
				using = append(using, pod)
				break
			}
		}
	}
	return using, nil
}
