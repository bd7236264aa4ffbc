package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/guard"
)

// setUpCertificate has the serving certificate made, if that is wanted. The
// channel is closed when it is there.
func setUpCertificate(manager ctrl.Manager, o options) (ready chan struct{}, err error) {
	ready = make(chan struct{})
	if o.certSecret == "" {
		close(ready)
		return ready, nil
	}
	host := o.service + "." + o.namespace + ".svc"
	err = rotator.AddRotator(manager, &rotator.CertRotator{
		SecretKey:      types.NamespacedName{Namespace: o.namespace, Name: o.certSecret},
		CertDir:        o.certDir,
		CAName:         "cephferry",
		CAOrganization: "cephferry",
		DNSName:        host,
		ExtraDNSNames:  []string{host + ".cluster.local"},
		IsReady:        ready,
		Webhooks:       []rotator.WebhookInfo{{Name: o.configuration, Type: rotator.Validating}},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the certificate: %w", err)
	}
	return ready, nil
}

// expiry is the time at which the serving certificate ends, in seconds of Unix
// time, and 0 while there is none.
func expiry(certDir string) float64 {
	pair, err := tls.LoadX509KeyPair(filepath.Join(certDir, "tls.crt"), filepath.Join(certDir, "tls.key"))
	if err != nil {
		return 0
	}
	return float64(pair.Leaf.NotAfter.Unix())
}

// listener starts the webhook server when it has a certificate.
type listener struct {
	manager  ctrl.Manager
	handlers map[string]*guard.Handler
	server   atomic.Pointer[webhook.Server]
}

func (l *listener) serveAfter(ctx context.Context, ready <-chan struct{}, log logr.Logger) {
	select {
	case <-ctx.Done():
		return
	case <-ready:
	}
	server := l.manager.GetWebhookServer()
	for path, handler := range l.handlers {
		server.Register(path, &webhook.Admission{Handler: handler, LogConstructor: plainLog})
	}
	l.server.Store(&server)
	log.Info("serving", "paths", len(l.handlers))
}

// plainLog is a request's log as it is: our handlers name the request where they log something,
// and the default one, which names it always, is a tenth of what an answer takes.
func plainLog(base logr.Logger, _ *admission.Request) logr.Logger { return base }

// check says whether the webhook listens.
func (l *listener) check(request *http.Request) error {
	server := l.server.Load()
	if server == nil {
		return errors.New("there is no serving certificate yet")
	}
	return (*server).StartedChecker()(request)
}

// setUpProbes: ready means that the webhook listens and that its configuration has
// been read. Whether Ceph answers is a metric, and no reason to send the API server
// to another pod.
func setUpProbes(manager ctrl.Manager, served *listener, ceph *cephAccess) error {
	return errors.Join(
		manager.AddHealthzCheck("ping", healthz.Ping),
		manager.AddReadyzCheck("webhook", served.check),
		manager.AddReadyzCheck("configuration", ceph.check),
	)
}
