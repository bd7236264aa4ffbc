package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/planning"
	"github.com/cephferry/cephferry/pkg/takeover"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// untilKind is how often it is looked whether the kind Takeover is there, which the chart's
// crds.enabled may leave out, and GitOps may bring later.
const untilKind = 30 * time.Second

// setUpTakeovers makes the leader carry out failovers that people ask for with objects. The
// connections are for that alone: what begins a rename there is known by its client instance.
// What it decides by, it reads from the API server, and not from a cache.
func setUpTakeovers(of ctrl.Manager, o options, self ceph.Party, access *cephAccess, connections *connect.Storages, log logr.Logger) error {
	api := of.GetAPIReader()
	c := &takeover.Controller{
		Planner: &planning.Planner{
			Inventory: &inventory.Inventory{
				API:      api,
				Finder:   volumes.Finder{Cache: api, API: api, Scope: o.scope},
				Usage:    &usage.Gatherer{API: api, CIDRs: o.localCIDRs, Exempt: o.exemptCIDRs},
				Storages: connections,
			},
			Entry: func(ctx context.Context, clusterID string) (csiconfig.Entry, error) {
				return csiconfig.Get(access.recent.get).Entry(ctx, clusterID, o.configNamespaces...)
			},
			Local: o.localCIDRs, Exempt: o.exemptCIDRs,
		},
		Self: self, API: api, Client: of.GetClient(), Renew: connections.Renew, Log: log, Now: time.Now,
	}
	add := func(ctx context.Context) error {
		waitForKind(ctx, of.GetRESTMapper(), v1alpha1.GroupVersion.WithKind("Takeover"), log)
		if ctx.Err() != nil {
			return nil
		}
		return c.SetupWithManager(of)
	}
	if err := of.Add(manager.RunnableFunc(add)); err != nil {
		return fmt.Errorf("set up takeovers: %w", err)
	}
	return nil
}

// waitForKind returns when the API server knows the kind. The guard does not depend on it.
func waitForKind(ctx context.Context, mapper meta.RESTMapper, kind schema.GroupVersionKind, log logr.Logger) {
	for said := false; ; said = true {
		_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err == nil {
			return
		}
		if !said {
			log.Info("no takeovers until their CustomResourceDefinition is there", "reason", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(untilKind):
		}
	}
}
