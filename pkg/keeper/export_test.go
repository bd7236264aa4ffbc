package keeper

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/cephferry/cephferry/pkg/volumes"
)

// Adopt makes the keeper know an orphan, as Orphans does, and reports whether Reconcile
// would be called; the test does that.
func Adopt(ctx context.Context, k *Keeper, orphan volumes.Volume) bool {
	k.acquired = make(chan event.GenericEvent, 1)
	k.adopt(ctx, orphan)
	return len(k.acquired) == 1
}
