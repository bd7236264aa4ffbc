package usage

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// page is how many objects are listed at a time: what an API server has of ten thousand
// volumes would take more memory than the webhook itself.
const page = 1000

// EachPage lists page by page, all of one moment, that of the first. What is in a cache is
// one page, whatever it says of a next one. each must not change what it is given: of
// [Gatherer.Together], others are given the same.
func EachPage[L any, P interface {
	*L
	client.ObjectList
}](ctx context.Context, source Source, each func(P), options ...client.ListOption) error {
	if source.shared == nil {
		return eachPage(ctx, source, each, options)
	}
	list := func(ctx context.Context, each func(client.ObjectList)) error {
		return eachPage(ctx, source, func(page P) { each(page) }, options)
	}
	return source.shared.share(ctx, listingKey(P(nil), options), list, func(page client.ObjectList) { each(page.(P)) })
}

func eachPage[L any, P interface {
	*L
	client.ObjectList
}](ctx context.Context, source Source, each func(P), options []client.ListOption) error {
	if !source.Cached {
		options = append(slices.Clone(options), client.Limit(page))
	}
	for token := ""; ; {
		list := P(new(L))
		if err := source.List(ctx, list, append(options, client.Continue(token))...); err != nil {
			return err
		}
		each(list)
		if token = list.GetContinue(); token == "" || source.Cached {
			return nil
		}
	}
}

// volumesNow are the PersistentVolumes that the API server has: what they are called, and
// those that are asked for.
type volumesNow struct {
	// names are those of all, handles the drivers and volumeHandles, joined as nodes do.
	names   map[string]bool
	handles map[corev1.UniqueVolumeName]bool
	asked   []corev1.PersistentVolume
}

func noVolumes() *volumesNow {
	return &volumesNow{names: map[string]bool{}, handles: map[corev1.UniqueVolumeName]bool{}}
}

func (v *volumesNow) add(pv *corev1.PersistentVolume) {
	v.names[pv.Name] = true
	if pv.Spec.CSI != nil {
		v.handles[volumes.InUse(pv.Spec.CSI)] = true
	}
}

// listVolumes lists all PersistentVolumes, and keeps those that are asked for.
func listVolumes(ctx context.Context, api Source, asked func(*corev1.PersistentVolume) bool) (*volumesNow, error) {
	now := noVolumes()
	err := EachPage(ctx, api, func(list *corev1.PersistentVolumeList) {
		for i := range list.Items {
			pv := &list.Items[i]
			now.add(pv)
			if asked(pv) {
				now.asked = append(now.asked, *pv)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	return now, nil
}
