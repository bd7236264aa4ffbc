package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Sight is what this cluster says about one of its nodes, which is fenced.
func (i *Inventory) Sight(ctx context.Context, self ceph.Party, name string) (failover.Sight, error) {
	sight := failover.Sight{Cluster: self}
	var node corev1.Node
	err := i.API.Get(ctx, client.ObjectKey{Name: name}, &node)
	if apierrors.IsNotFound(err) {
		return sight, nil
	} else if err != nil {
		return sight, fmt.Errorf("read node %s: %w", name, err)
	}
	sight.Exists, sight.BootID = true, node.Status.NodeInfo.BootID
	foreign, err := i.notOurs(ctx, self)
	if err != nil {
		return sight, err
	}
	for _, volume := range foreign {
		using, err := i.uses(ctx, volume)
		if err != nil {
			return sight, err
		}
		for _, use := range using {
			if use.node == name {
				sight.Uses = append(sight.Uses, use.what)
			}
		}
	}
	return sight, nil
}

// notOurs are the guarded volumes whose images this cluster does not own. One that
// cannot be looked at is an error.
func (i *Inventory) notOurs(ctx context.Context, self ceph.Party) ([]volumes.Volume, error) {
	all, err := i.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	var foreign []volumes.Volume
	for _, found := range all {
		if found.Err != nil {
			return nil, found.Err
		}
		storage, spec, err := i.Image(ctx, found.Volume)
		if err != nil {
			return nil, err
		}
		image, err := storage.Image(ctx, spec)
		if errors.Is(err, ceph.ErrImageNotFound) {
			continue // nothing can mount it
		} else if err != nil {
			return nil, err
		}
		record, err := ownership.Read(ctx, storage, image)
		if err != nil {
			return nil, err
		}
		if record.State != ceph.Held || !ownership.Owns(record, self) {
			foreign = append(foreign, found.Volume)
		}
	}
	return foreign, nil
}

// use is a reason for which kubelet on a node has a volume mapped or would map it.
type use struct {
	// node is empty for a pod that is not bound yet.
	node string
	// what is for people, pod the UID if it is one.
	what, pod string
}

// uses are all there are in this cluster, pods first: without a pod nothing new
// begins.
func (i *Inventory) uses(ctx context.Context, volume volumes.Volume) ([]use, error) {
	var all []use
	var pods corev1.PodList
	if err := i.API.List(ctx, &pods, client.InNamespace(volume.Namespace)); err != nil {
		return nil, fmt.Errorf("list pods in namespace %s: %w", volume.Namespace, err)
	}
	for _, pod := range pods.Items {
		finished := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if !finished && slices.Contains(volumes.ClaimsOfPod(pod.Name, &pod.Spec), volume.Claim) {
			all = append(all, use{pod.Spec.NodeName, "pod " + pod.Namespace + "/" + pod.Name, string(pod.UID)})
		}
	}
	var attachments storagev1.VolumeAttachmentList
	if err := i.API.List(ctx, &attachments); err != nil {
		return nil, fmt.Errorf("list VolumeAttachments: %w", err)
	}
	for _, attachment := range attachments.Items {
		if pv := attachment.Spec.Source.PersistentVolumeName; pv != nil && *pv == volume.PV.Name {
			all = append(all, use{node: attachment.Spec.NodeName, what: "volumeattachment " + attachment.Name})
		}
	}
	var nodes corev1.NodeList
	if err := i.API.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	csi := volume.PV.Spec.CSI
	name := corev1.UniqueVolumeName("kubernetes.io/csi/" + csi.Driver + "^" + csi.VolumeHandle)
	for _, node := range nodes.Items {
		if slices.Contains(node.Status.VolumesInUse, name) {
			all = append(all, use{node: node.Name, what: fmt.Sprintf("status.volumesInUse of node %s (volume %s; kubelet takes it away when it has unmapped it)", node.Name, volume.PV.Name)})
		}
	}
	return all, nil
}
