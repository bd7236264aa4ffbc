package main

import (
	"errors"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/provisioner"
)

// provisionTimeout bounds one RADOS operation of the provisioner, and of the sweep of
// records. Nobody waits for an answer as at the webhook, and a busy Ceph may take longer to make an image
// than to list its watchers.
const provisionTimeout = 5 * time.Second

// setUpProvisioner makes the leader of cluster self provision claims and look after
// volumes, if that is wanted. It returns nil otherwise, and else what makes claims grow.
func setUpProvisioner(manager ctrl.Manager, o options, self ceph.Party, connections provisioner.Storages, shown display) (*provisioner.Claims, error) {
	if !o.provisioner {
		return nil, nil
	}
	counted := provisioner.NewMetrics(metrics.Registry)
	claims := &provisioner.Claims{
		Client:    manager.GetClient(),
		API:       manager.GetAPIReader(),
		Storages:  connections,
		Installed: installations(o, manager.GetCache()).Check,
		Events:    provisioner.Events{EventRecorder: eventRecorder(manager)},
		Metrics:   counted,
		Now:       time.Now,
		Cluster:   self,
		Waits:     shown.Waits,
	}
	if o.keyed {
		claims.Self = self
	}
	volumes := &provisioner.Volumes{Client: manager.GetClient(), API: manager.GetAPIReader(), Metrics: counted}
	if err := errors.Join(claims.SetupWithManager(manager), volumes.SetupWithManager(manager)); err != nil {
		return nil, fmt.Errorf("set up the provisioner: %w", err)
	}
	return claims, nil
}
