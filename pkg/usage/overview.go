package usage

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// Overview is what the API server says about this cluster at one moment, for many volumes:
// asking for each of them by itself would list all nodes and attachments as often. It may
// be used from many goroutines. Nothing is released and nobody is admitted by it.
type Overview struct {
	gatherer *Gatherer
	state    *state
}

// Overview reads nodes and attachments now, and what some drivers need besides when it is
// asked for.
func (g *Gatherer) Overview(ctx context.Context) (*Overview, error) {
	state, err := wholeState(ctx, g.Live())
	if err != nil {
		return nil, err
	}
	state.index = newIndex(g.API, state)
	return &Overview{g, state}, nil
}

// Local is [Gatherer.Local] at that moment.
func (o *Overview) Local(ctx context.Context, volume volumes.Volume) (Local, error) {
	local, _, err := o.gatherer.local(ctx, o.gatherer.Live(), o.state, volume, false)
	return local, err
}

// IsUsedOn reports whether the cluster shows that a node uses a volume: an attachment,
// status.volumesInUse, or a pod that is bound to it.
func (o *Overview) IsUsedOn(ctx context.Context, volume volumes.Volume, node string) (bool, error) {
	pods, err := o.state.index.pods(ctx, volume)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Spec.NodeName == node }) ||
		slices.Contains(o.state.reporting(volumes.InUse(volume.PV.Spec.CSI)), node) ||
		slices.ContainsFunc(o.state.attachmentsOf(volume.PV.Name), func(a storagev1.VolumeAttachment) bool { return a.Spec.NodeName == node }), nil
}

// index finds the parts of a state that are about one volume, and remembers what the state
// does not have.
type index struct {
	api       client.Reader
	attached  map[string][]storagev1.VolumeAttachment
	reporting map[corev1.UniqueVolumeName][]string

	mu sync.Mutex
	// required is by driver. scheduled are the pods of a namespace by claim, uids the claims
	// there by name.
	required  map[string]answer[bool]
	scheduled map[string]answer[map[string][]corev1.Pod]
	uids      map[string]answer[map[string]types.UID]
}

// answer is one of the API server. It is remembered also if there was none: that it is down
// is waited for once.
type answer[T any] struct {
	value T
	err   error
}

func remember[T any](known map[string]answer[T], key string, ask func() (T, error)) (T, error) {
	a, ok := known[key]
	if !ok {
		a.value, a.err = ask()
		known[key] = a
	}
	return a.value, a.err
}

func newIndex(api client.Reader, s *state) *index {
	i := &index{
		api: api, attached: map[string][]storagev1.VolumeAttachment{}, reporting: map[corev1.UniqueVolumeName][]string{},
		required: map[string]answer[bool]{}, scheduled: map[string]answer[map[string][]corev1.Pod]{}, uids: map[string]answer[map[string]types.UID]{},
	}
	for n := range s.nodes {
		node := &s.nodes[n]
		for _, name := range node.Status.VolumesInUse {
			i.reporting[name] = append(i.reporting[name], node.Name)
		}
	}
	for _, attachment := range s.attachments {
		if pv := VolumeOf(&attachment); pv != "" {
			i.attached[pv] = append(i.attached[pv], attachment)
		}
	}
	return i
}

// attachRequired asks once about each driver.
func (i *index) attachRequired(ctx context.Context, driver string) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return remember(i.required, driver, func() (bool, error) { return AttachRequired(ctx, i.api, driver) })
}

// pods are those of [Gatherer.Pods]. Pods and claims of a namespace are listed once.
func (i *index) pods(ctx context.Context, volume volumes.Volume) ([]corev1.Pod, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	byClaim, err := remember(i.scheduled, volume.Namespace, func() (map[string][]corev1.Pod, error) {
		all, err := listPods(ctx, Source{Reader: i.api}, volume.Namespace)
		byClaim := map[string][]corev1.Pod{}
		for _, pod := range all {
			for _, claim := range volumes.ClaimsOfPod(pod.Name, &pod.Spec) {
				byClaim[claim] = append(byClaim[claim], pod)
			}
		}
		return byClaim, err
	})
	if err != nil || volume.Claim == "" {
		return nil, err
	}
	return ofClaim(ctx, byClaim[volume.Claim], volume, i.claim)
}

// claim is the uid of a claim, if it is there. The caller holds mu.
func (i *index) claim(ctx context.Context, namespace, name string) (types.UID, bool, error) {
	uids, err := remember(i.uids, namespace, func() (map[string]types.UID, error) {
		uids := map[string]types.UID{}
		err := EachPage(ctx, Source{Reader: i.api}, func(claims *corev1.PersistentVolumeClaimList) {
			for n := range claims.Items {
				uids[claims.Items[n].Name] = claims.Items[n].UID
			}
		}, client.InNamespace(namespace))
		if err != nil {
			return nil, fmt.Errorf("list PersistentVolumeClaims in namespace %s: %w", namespace, err)
		}
		return uids, nil
	})
	uid, found := uids[name]
	return uid, found, err
}
