package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// setUpOwners makes this program keep the records of the cluster's images, in the
// leader, and wake those that g refuses, in every replica. storages are for the sweep of
// all records.
func setUpOwners(manager ctrl.Manager, g *guard.Guard, access *cephAccess, storages keeper.Storages, shown display, state *keeper.State, grace time.Duration, log logr.Logger) (*keeper.Waker, error) {
	claims := atClaims{eventRecorder(manager), manager.GetCache(), g.Self.Name}
	keep := &keeper.Keeper{
		Prover: &idle.Prover{Self: g.Self, Usage: g.Usage, Quiet: &ownership.Quiet{Grace: grace}, Now: g.Now},
		Finder: g.Finder,
		Storage: func(ctx context.Context, clusterID string) (idle.Ceph, string, error) {
			return access.counting(ctx, clusterID)
		},
		Metrics: access.counted,
		Events:  noted{eventRecorder(manager)},
		Client:  manager.GetClient(),
		Shown:   shown,
		Changed: claims.changed,
		State:   state,
	}
	if err := keep.SetupWithManager(manager); err != nil {
		return nil, fmt.Errorf("set up the controller of owners: %w", err)
	}
	g.Acquired, g.Taken = keep.Acquired, claims.acquired
	if err := manager.Add(&keeper.Sweep{Keeper: keep, Storages: storages, Log: log}); err != nil {
		return nil, fmt.Errorf("set up the sweep of records: %w", err)
	}
	shown.refused.Missing = g.Missing
	free := func(ctx context.Context, volume volumes.Volume) bool { return g.Free(ctx, []volumes.Volume{volume}) }
	waker := &keeper.Waker{Free: free, Client: manager.GetClient(), Log: log, Now: g.Now, Waits: shown.refused.Waits, Woken: claims.woken, State: state}
	if err := manager.Add(waker); err != nil {
		return nil, fmt.Errorf("set up the waker: %w", err)
	}
	return waker, nil
}
