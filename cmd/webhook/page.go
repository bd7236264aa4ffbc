package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/access"
	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/page"
)

// setUpPage makes each replica serve the page, if that is wanted, once there is a
// certificate.
func setUpPage(manager ctrl.Manager, o options, ready <-chan struct{}, log logr.Logger) error {
	if o.pageAddress == "" {
		return nil
	}
	config := manager.GetConfig()
	reviewer, err := kubernetes.NewForConfigAndClient(config, manager.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("set up the page: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("set up the page: %w", err)
	}
	// The caches of the guard stay what they are: this one is there only while somebody looks.
	settings := page.CacheOptions()
	settings.Scheme, settings.Mapper, settings.HTTPClient = scheme, manager.GetRESTMapper(), manager.GetHTTPClient()
	api, err := client.New(config, client.Options{Scheme: scheme, Mapper: manager.GetRESTMapper(), HTTPClient: manager.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("set up the page: %w", err)
	}
	look := &page.Look{
		New:       func() (page.Cache, error) { return cache.New(config, settings) },
		Probe:     probe(api),
		Now:       time.Now,
		AfterFunc: func(d time.Duration, f func()) page.Timer { return time.AfterFunc(d, f) },
	}
	return manager.Add(&pageServer{
		address: o.pageAddress, certDir: o.certDir, ready: ready, log: log,
		handler: &page.Page{Cluster: o.cluster, Identify: access.NewReviews(reviewer).Identify, Look: look, API: api, Log: log.WithName("page")},
	})
}

// probe asks for one volume.
func probe(api client.Reader) func(context.Context) error {
	return func(ctx context.Context) error {
		return api.List(ctx, &v1alpha1.MigratableVolumeList{}, client.Limit(1))
	}
}

// pageAgain is how long the page is not served after it could not be.
const pageAgain = 10 * time.Second

// pageServer has a port of its own: who may reach the page need not reach the webhook's
// endpoints.
type pageServer struct {
	address, certDir string
	ready            <-chan struct{}
	handler          http.Handler
	log              logr.Logger
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*pageServer) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (s *pageServer) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.ready:
	}
	// Whatever keeps the page from being served, the guard goes on.
	for ctx.Err() == nil {
		if err := s.serve(ctx); err != nil {
			s.log.Error(err, "the page is not served; trying again", "in", pageAgain)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pageAgain):
		}
	}
	return nil
}

// serve serves the page until something breaks or ctx ends.
func (s *pageServer) serve(ctx context.Context) error {
	certificate, err := certwatcher.New(filepath.Join(s.certDir, "tls.crt"), filepath.Join(s.certDir, "tls.key"))
	if err != nil {
		return fmt.Errorf("read the certificate of the page: %w", err)
	}
	listening, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for the page: %w", err)
	}
	server := &http.Server{
		Handler:           s.handler,
		TLSConfig:         &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	s.log.Info("serving the page", "address", listening.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certificate.Start(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		return server.Close() // whoever looks asks another replica
	})
	group.Go(func() error {
		if err := server.ServeTLS(listening, "", ""); err != http.ErrServerClosed {
			return fmt.Errorf("serve the page: %w", err)
		}
		return nil
	})
	return group.Wait()
}
