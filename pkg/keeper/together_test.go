package keeper_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestReleasesTogether: the proofs of volumes that get idle together share their lists. Each needs
// four: of PersistentVolumes, pods, nodes and VolumeAttachments.
func TestReleasesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many, parallel = 40, 8
		s := newSteady(t, many, ofKind{&west, false})
		s.queue.ShutDown()
		var mu sync.Mutex
		lists := 0
		asked := interceptor.NewClient(s.api, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				mu.Lock()
				lists++
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				return c.List(ctx, list, options...)
			},
		})
		s.keeper.Usage.API, s.keeper.Finder.API = asked, asked
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := range many {
			group.Go(func() error {
				_, err := s.keeper.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: fmt.Sprintf("shop.data-%d", i)}})
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // until the last listing is over
		for i := range many {
			record, err := s.client.Record(t.Context(), s.image(i))
			if err != nil || record.Owner != nil {
				t.Fatalf("image %d is not released: %s, %v", i, record.Encode(), err)
			}
		}
		if most := 4 * (many/parallel + 2); lists > most {
			t.Errorf("%d lists for %d releases, want at most %d", lists, many, most)
		}
	})
}
