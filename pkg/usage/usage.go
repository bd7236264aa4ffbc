package usage

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// Source is where evidence is read.
type Source struct {
	client.Reader
	// Cached: it answers from watches, which may lag, and has [Indexes].
	Cached bool
	// shared are listings with others, if there may be some.
	shared *listings
}

// Gatherer finds out what this cluster does with images.
type Gatherer struct {
	// Cache answers from watches, API from the API server. Cache may be nil where
	// [Gatherer.Cached] is not called.
	Cache, API client.Reader
	// CIDRs and Exempt are those of [Local].
	CIDRs, Exempt []netip.Prefix

	listings listings
}

// Cached is enough to say that something is used. Its pods have only what [ReducePod] leaves.
func (g *Gatherer) Cached() Source { return Source{Reader: g.Cache, Cached: true} }

// Live is the API server: the only one that can say that nothing is.
func (g *Gatherer) Live() Source { return Source{Reader: g.API} }

// Together is the API server for those who may wait for each other: they share listings, each of
// which began after all of them asked.
func (g *Gatherer) Together() Source { return Source{Reader: g.API, shared: &g.listings} }

// Nodes are this cluster's, as the API server has them.
func (g *Gatherer) Nodes(ctx context.Context) ([]corev1.Node, error) {
	var nodes []corev1.Node
	if err := EachPage(ctx, g.Live(), func(list *corev1.NodeList) { nodes = append(nodes, list.Items...) }); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, nil
}

// Party is the cluster behind api as records name it: by the namespace that is as old as
// the cluster.
func Party(ctx context.Context, api client.Reader, name string) (ceph.Party, error) {
	var namespace corev1.Namespace
	if err := api.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &namespace); err != nil {
		return ceph.Party{}, fmt.Errorf("read namespace %s, whose uid is the cluster's: %w", metav1.NamespaceSystem, err)
	}
	return ceph.Party{UID: string(namespace.UID), Name: name}, nil
}

// Addresses are the IPs of a node. Host names and DNS names stand there too.
func Addresses(node *corev1.Node) []netip.Addr {
	var addresses []netip.Addr
	for _, address := range node.Status.Addresses {
		if ip, err := netip.ParseAddr(address.Address); err == nil {
			addresses = append(addresses, ip.Unmap())
		}
	}
	return addresses
}

// RecordedNodes are nodes as records name them. Ids of a machine that several of them have
// tell no machine from another, and are left out: virtual machines that are copies with
// everything share both.
func RecordedNodes(nodes []corev1.Node) []ceph.Node {
	type machine struct{ id, system string }
	have := map[machine]int{}
	for i := range nodes {
		have[machine{nodes[i].Status.NodeInfo.MachineID, nodes[i].Status.NodeInfo.SystemUUID}]++
	}
	all := make([]ceph.Node, 0, len(nodes))
	for i := range nodes {
		node := RecordedNode(&nodes[i])
		if have[machine{node.MachineID, node.SystemUUID}] > 1 {
			node.MachineID, node.SystemUUID = "", ""
		}
		all = append(all, node)
	}
	return all
}

// recordedAmong is one of [RecordedNodes], where few of many are wanted.
func recordedAmong(nodes []corev1.Node, i int) ceph.Node {
	node := RecordedNode(&nodes[i])
	for o := range nodes {
		info := &nodes[o].Status.NodeInfo
		if o != i && info.MachineID == node.MachineID && info.SystemUUID == node.SystemUUID {
			node.MachineID, node.SystemUUID = "", ""
			break
		}
	}
	return node
}

// RecordedNode is a node as records name it.
func RecordedNode(node *corev1.Node) ceph.Node {
	info := node.Status.NodeInfo
	recorded := ceph.Node{Name: node.Name, UID: string(node.UID), BootID: info.BootID, MachineID: info.MachineID, SystemUUID: info.SystemUUID}
	for _, address := range Addresses(node) {
		recorded.Addresses = append(recorded.Addresses, address.String())
	}
	return recorded
}

// sameImage returns volume, and those that may lead to the same image, whatever their
// clusterID, scope or handle. It returns what the API server has besides, if that is the
// source.
func (g *Gatherer) sameImage(ctx context.Context, source Source, volume volumes.Volume) ([]volumes.Volume, *volumesNow, error) {
	if source.Cached {
		all, err := volumes.Finder{Cache: source}.SameImage(ctx, volume)
		return all, nil, err
	}
	now, err := listVolumes(ctx, source, func(pv *corev1.PersistentVolume) bool {
		return pv.Name == volume.PV.Name || staticpv.MayLeadTo(pv, volume.Image.Pool, volume.Image.Name)
	})
	if err != nil {
		return nil, nil, err
	}
	all := volumes.WithImageOf(volume, now.asked)
	// The volume that is asked about may come from a cache. If its claim is another one
	// by now, both count.
	for i := range now.asked {
		if pv := &now.asked[i]; pv.Name == volume.PV.Name && !sameClaim(pv.Spec.ClaimRef, volume.PV.Spec.ClaimRef) {
			all = append(all, volumes.Other(volume, pv))
		}
	}
	return all, now, nil
}

func sameClaim(a, b *corev1.ObjectReference) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Namespace == b.Namespace && a.Name == b.Name && a.UID == b.UID
}

// Pods are the pods that use the volume's claim and are not finished, as the source has them.
//
// A pod names its claim, and a claim of that name may be another one than the volume is
// for. Then kubelet refuses to mount the volume for it, and the pod does not count. One
// that was started with the claim before, which somebody deleted by force, shows at its
// node.
func (g *Gatherer) Pods(ctx context.Context, source Source, volume volumes.Volume) ([]corev1.Pod, error) {
	if volume.Claim == "" {
		return nil, nil
	}
	all, err := listPods(ctx, source, volume.Namespace)
	if err != nil {
		return nil, err
	}
	var using []corev1.Pod
	for i := range all {
		if pod := &all[i]; slices.Contains(volumes.ClaimsOfPod(pod.Name, &pod.Spec), volume.Claim) {
			using = append(using, *pod.DeepCopy())
		}
	}
	return ofClaim(ctx, using, volume, func(ctx context.Context, namespace, name string) (types.UID, bool, error) {
		var claim corev1.PersistentVolumeClaim
		err := source.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &claim)
		if client.IgnoreNotFound(err) != nil {
			return "", false, fmt.Errorf("read PersistentVolumeClaim %s/%s: %w", namespace, name, err)
		}
		return claim.UID, err == nil, nil
	})
}

// listPods are the pods of a namespace that are not finished. Those of a cache are only looked
// at.
func listPods(ctx context.Context, source Source, namespace string) ([]corev1.Pod, error) {
	var pods []corev1.Pod
	err := EachPage(ctx, source, func(list *corev1.PodList) {
		for i := range list.Items {
			if !IsFinished(&list.Items[i]) {
				pods = append(pods, list.Items[i])
			}
		}
	}, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list pods in namespace %s: %w", namespace, err)
	}
	return pods, nil
}

// ofClaim are the pods, all of which name the volume's claim, unless that is another claim
// by now. uid is that of a claim, if it is there.
func ofClaim(ctx context.Context, using []corev1.Pod, volume volumes.Volume, uid func(ctx context.Context, namespace, name string) (types.UID, bool, error)) ([]corev1.Pod, error) {
	ref := volume.PV.Spec.ClaimRef
	if len(using) == 0 || ref == nil || ref.UID == "" {
		return using, nil // the volume is for whatever claim has that name
	}
	present, found, err := uid(ctx, volume.Namespace, volume.Claim)
	if err != nil {
		return nil, err
	}
	if found && present != ref.UID {
		return nil, nil
	}
	return using, nil // without the claim, nothing says whose the pod is
}
