package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/objects"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// shownPerSecond bounds the requests for what people look at. A leader that begins with ten
// thousand volumes takes minutes to show all of them, and nobody else has to wait.
const shownPerSecond = 50

// display is where people see what this program sees.
type display struct {
	*objects.Volumes
	clusters *objects.Clusters
	refused  *objects.Waiting
}

// Owned implements keeper.Shown, with the volumes' Show.
func (d display) Owned(images map[string]int) { d.clusters.Owned(images) }

// setUpObjects makes this program show volumes and clusters as objects, in the leader, and which
// pods were refused, in every replica. Nothing depends on it.
func setUpObjects(manager ctrl.Manager, self ceph.Party, finder volumes.Finder, connections *connect.Storages, state *keeper.State, log logr.Logger) (display, error) {
	config := rest.CopyConfig(manager.GetConfig())
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(shownPerSecond, shownPerSecond)
	writer, err := client.New(config, client.Options{Scheme: manager.GetScheme(), Mapper: manager.GetRESTMapper()})
	if err != nil {
		return display{}, fmt.Errorf("make the client for what is shown: %w", err)
	}
	d := display{
		Volumes: &objects.Volumes{Client: writer, Cache: manager.GetCache(), Finder: finder, Self: self, Log: log, Now: time.Now},
		clusters: &objects.Clusters{
			Client: writer, Finder: finder, Self: self,
			Storage: func(ctx context.Context, clusterID string) (ceph.Registrar, string, error) {
				return connections.Cluster(ctx, clusterID)
			},
			Log: log, Now: time.Now, Heard: state.Heard,
		},
		refused: &objects.Waiting{Client: writer, Log: log, Now: time.Now},
	}
	if err := errors.Join(manager.Add(d.Volumes), manager.Add(d.clusters), manager.Add(d.refused)); err != nil {
		return display{}, fmt.Errorf("set up what is shown: %w", err)
	}
	return d, nil
}
