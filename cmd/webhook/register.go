package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/register"
	"github.com/cephferry/cephferry/pkg/version"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// setUpRegister makes the leader register this cluster beside the records of its images.
func setUpRegister(manager ctrl.Manager, self ceph.Party, finder volumes.Finder, connections *connect.Storages, log logr.Logger) error {
	writer := &register.Writer{
		Self: self, Version: version.String(), Finder: finder,
		Storage: func(ctx context.Context, clusterID string) (register.Ceph, string, error) {
			return connections.Cluster(ctx, clusterID)
		},
		Metrics: register.NewMetrics(metrics.Registry),
		Log:     log,
		Now:     time.Now,
	}
	if err := writer.SetupWithManager(manager); err != nil {
		return fmt.Errorf("set up the register of clusters: %w", err)
	}
	return nil
}
