package keeper

import "github.com/cephferry/cephferry/pkg/volumes"

// Adopt makes the keeper know an orphan, as Orphans does. Reconcile is called by the
// test.
func Adopt(k *Keeper, orphan volumes.Volume) { k.known.LoadOrStore(orphan.PV.Name, orphan) }
