package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/version"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// limit is when an answer has to be there. The chart's webhook configuration gives
// the webhook 5 seconds.
const limit = 3 * time.Second

// moment is about what ceph-csi keeps an image open for when it looks whether it is in use, and
// what a rename takes.
const moment = 150 * time.Millisecond

// serve runs until ctx ends.
func serve(ctx context.Context, o options, stderr io.Writer) error {
	ctrl.SetLogger(newLogger(o.logLevel, o.logFormat, stderr))
	log := ctrl.Log.WithName("webhook")

	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return fmt.Errorf("make scheme: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("make scheme: %w", err)
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	config.UserAgent = "cephferry-webhook/" + version.String()
	manager, err := ctrl.NewManager(config, managerOptions(o, scheme))
	if err != nil {
		return fmt.Errorf("make manager: %w", err)
	}
	if err := warmCache(ctx, manager.GetCache()); err != nil {
		return err
	}
	counted := guard.NewMetrics(metrics.Registry, func() float64 { return expiry(o.certDir) })
	ceph := newCeph(o, manager.GetAPIReader(), counted)
	defer ceph.Close()

	finder := volumes.Finder{Cache: manager.GetCache(), API: manager.GetAPIReader(), Scope: o.scope}
	namespaces := &guard.Namespaces{Client: manager.GetClient(), Finder: finder}
	if err := namespaces.SetupWithManager(manager); err != nil {
		return fmt.Errorf("set up the namespace controller: %w", err)
	}
	unused := &guard.Unused{Client: manager.GetClient(), Finder: finder, Grace: o.admissionGrace, Now: time.Now}
	if err := unused.SetupWithManager(manager); err != nil {
		return fmt.Errorf("set up the controller of unused namespaces: %w", err)
	}
	connections := ceph.connections(provisionTimeout)
	defer connections.Close()
	ready, err := setUpCertificate(manager, o)
	if err != nil {
		return err
	}
	self, err := usage.Party(ctx, manager.GetAPIReader(), o.cluster)
	if err != nil {
		return err
	}
	state := keeper.NewState(metrics.Registry)
	shown, err := setUpObjects(manager, self, finder, connections, state, log)
	if err != nil {
		return err
	}
	claims, err := setUpProvisioner(manager, o, self, connections, shown)
	if err != nil {
		return err
	}
	g := &guard.Guard{
		Self:      self,
		Finder:    finder,
		Usage:     &usage.Gatherer{Cache: finder.Cache, API: finder.API, CIDRs: o.localCIDRs, Exempt: o.exemptCIDRs},
		Storages:  ceph,
		Installed: installations(o, manager.GetCache()).Check,
		Now:       time.Now,
		Moment:    moment,
	}
	waker, err := setUpOwners(manager, g, ceph, sweeping{connections, counted}, shown, state, o.admissionGrace, log)
	if err != nil {
		return err
	}
	if err := setUpRegister(manager, self, finder, connections, log); err != nil {
		return err
	}
	takeovers := ceph.connections(provisionTimeout)
	defer takeovers.Close()
	if err := setUpTakeovers(manager, o, self, ceph, takeovers, log); err != nil {
		return err
	}
	if err := setUpPage(manager, o, ready, log); err != nil {
		return err
	}
	endpoints := &guard.Endpoints{
		Guard:   g,
		Decoder: admission.NewDecoder(scheme),
		Mapper:  manager.GetRESTMapper(),
		Label:   namespaces.Label,
	}
	all := map[string]guard.Endpoint{"scale": endpoints.Scale, "pod": endpoints.Pod, "binding": endpoints.Binding, "volume": endpoints.Volume}
	if claims != nil {
		all["growth"] = growth(claims, endpoints.Decoder)
	}
	served := &listener{manager: manager, handlers: handlers(all, o.help, counted, manager, waker, log)}
	if err := setUpProbes(manager, served, ceph); err != nil {
		return err
	}
	go served.serveAfter(ctx, ready, log)
	go func() {
		if manager.GetCache().WaitForCacheSync(ctx) {
			debug.FreeOSMemory() // what the lists took that filled it
		}
	}()
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

func managerOptions(o options, scheme *runtime.Scheme) ctrl.Options {
	return ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: o.metricsAddress},
		Cache:   cacheOptions(),
		// What is not cached is read from the API server, and does not start a
		// watch on all objects of its kind.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{
			&corev1.ConfigMap{}, &corev1.Secret{}, &corev1.Pod{},
		}}},
		WebhookServer:           webhook.NewServer(webhook.Options{Port: o.webhookPort, CertDir: o.certDir}),
		HealthProbeBindAddress:  o.probeAddress,
		LeaderElection:          o.namespace != "",
		LeaderElectionID:        "cephferry-webhook",
		LeaderElectionNamespace: o.namespace,
		// A new leader need not wait for the lease of one that ended well.
		LeaderElectionReleaseOnCancel: true,
	}
}

// handlers are the webhook's paths, by the endpoints' names.
func handlers(endpoints map[string]guard.Endpoint, help string, counted *guard.Metrics, manager ctrl.Manager, waiting guard.Waiting, log logr.Logger) map[string]*guard.Handler {
	events := noted{eventRecorder(manager)}
	all := map[string]*guard.Handler{}
	for name, endpoint := range endpoints {
		all["/validate/"+name] = &guard.Handler{
			Name: name, Endpoint: endpoint, Limit: limit,
			Metrics: counted, Events: events, Waiting: waiting, Log: log, Now: time.Now, Help: help,
		}
	}
	return all
}
