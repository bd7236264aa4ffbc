package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// growLimit bounds growing images, for which a pod waits.
const growLimit = time.Second

// growAll makes images larger whose records say so and that this cluster has just
// acquired: one that is mapped exclusively could not grow before, and the pod's
// filesystem will when it is mounted. A pod never fails to start because of it; the
// warnings say what is missing.
func (g *Guard) growAll(ctx context.Context, sights []sight, targets []ownership.Target) []string {
	if !slices.ContainsFunc(targets, func(t ownership.Target) bool { return t.Seen.GrowTo > 0 }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, growLimit)
	defer cancel()
	texts := make([]string, len(targets))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, target := range targets {
		group.Go(func() error {
			if err := ownership.Grow(ctx, sights[i].ceph, target.Image, target.Seen); err != nil {
				texts[i] = notGrown(describe(sights[i].volume, sights[i].spec), target.Image.Size, target.Seen.GrowTo, err)
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in the texts
	var warnings []string
	for _, text := range texts {
		if text != "" {
			warnings = append(warnings, text)
		}
	}
	return warnings
}

// notGrown is the warning for an image that does not get its size yet.
func notGrown(what string, has, size uint64, err error) string {
	quantity := func(bytes uint64) string { return resource.NewQuantity(int64(bytes), resource.BinarySI).String() }
	text := fmt.Sprintf("%s has %s, and should grow to %s once nobody uses it", what, quantity(has), quantity(size))
	switch {
	case errors.Is(err, ceph.ErrImageLocked):
		return text
	case errors.Is(err, ceph.ErrPermission):
		return text + ", which the webhook's Ceph user may not do; the provisioner does it, or the renderer when it is run again"
	default:
		return text + "; that failed, and is tried again at the next start: " + err.Error()
	}
}
