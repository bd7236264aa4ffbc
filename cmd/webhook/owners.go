package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// party is this cluster as records name it: by the namespace that is as old as the
// cluster.
func party(ctx context.Context, name string, api client.Reader) (ceph.Party, error) {
	var namespace corev1.Namespace
	if err := api.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &namespace); err != nil {
		return ceph.Party{}, fmt.Errorf("read namespace %s, whose uid is the cluster's: %w", metav1.NamespaceSystem, err)
	}
	return ceph.Party{UID: string(namespace.UID), Name: name}, nil
}

// setUpOwners makes this program keep the records of the cluster's images, in the
// leader, and wake those that it refuses, in every replica.
func setUpOwners(manager ctrl.Manager, g *guard.Guard, storages keeper.Storages, counted *guard.Metrics, grace time.Duration, log logr.Logger) (*keeper.Waker, error) {
	keep := &keeper.Keeper{
		Guard: g, Quiet: &ownership.Quiet{Grace: grace}, Metrics: counted,
		Events: noted{eventRecorder(manager)},
	}
	if err := keep.SetupWithManager(manager); err != nil {
		return nil, fmt.Errorf("set up the controller of owners: %w", err)
	}
	if err := manager.Add(&keeper.Orphans{Keeper: keep, Storages: storages, Log: log}); err != nil {
		return nil, fmt.Errorf("set up the search for images without a volume: %w", err)
	}
	waker := &keeper.Waker{Guard: g, Client: manager.GetClient(), Log: log}
	if err := manager.Add(waker); err != nil {
		return nil, fmt.Errorf("set up the waker: %w", err)
	}
	return waker, nil
}
