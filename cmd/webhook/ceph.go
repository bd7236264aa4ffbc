package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/guard"
)

// cephTimeout bounds one RADOS operation. A call of goceph returns within twice
// that, which leaves the rest of the limit for the API server.
const cephTimeout = time.Second

// cephAccess leads to Ceph by what ceph-csi is configured with, and counts calls.
type cephAccess struct {
	*connect.Storages
	options options
	recent  *recent
	counted *guard.Metrics
}

// newCeph reads ceph-csi's configuration from the API server, and again a moment
// later. A watch would need rights on all ConfigMaps and Secrets of the namespace
// instead of on the named ones.
func newCeph(o options, api client.Reader, counted *guard.Metrics) *cephAccess {
	c := &cephAccess{options: o, recent: newRecent(api), counted: counted}
	c.Storages = c.connections(cephTimeout)
	return c
}

// connections are without one yet. timeout bounds one RADOS operation.
func (c *cephAccess) connections(timeout time.Duration) *connect.Storages {
	o := c.options
	source := connect.CSI{Namespaces: o.configNamespaces, Secret: o.secret, Secrets: o.secrets}
	return connect.New(newRemembered(c.recent, source), func(ctx context.Context, config goceph.Config) (ceph.Cluster, error) {
		begin := time.Now()
		config.Timeout = timeout
		cluster, err := goceph.Dial(ctx, config)
		c.counted.CephCall("connect", time.Since(begin), err)
		return cluster, err
	})
}

// installations are those whose configuration is read. The namespaces are in the cache anyway.
func installations(o options, cache client.Reader) connect.Installations {
	return connect.Installations{Namespaces: o.configNamespaces, Exists: func(ctx context.Context, name string) (bool, error) {
		err := cache.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
		return err == nil, client.IgnoreNotFound(err)
	}}
}

// Cluster implements guard.Storages.
func (c *cephAccess) Cluster(ctx context.Context, clusterID string) (guard.Ceph, string, error) {
	return c.counting(ctx, clusterID)
}

// counting is a connection whose calls are counted. When its client was put on the
// blocklist, as one that did not finish a rename is, the next caller gets another one.
func (c *cephAccess) counting(ctx context.Context, clusterID string) (counted, string, error) {
	cluster, radosNamespace, err := c.Storages.Cluster(ctx, clusterID)
	c.counted.CephConnected(clusterID, err)
	if err != nil {
		return counted{}, "", err
	}
	return counted{cluster, c.counted, clusterID, func() { c.Storages.Renew(cluster) }}, radosNamespace, nil
}

// sweeping are connections whose calls are counted, too, and may take longer.
type sweeping struct {
	*connect.Storages
	counted *guard.Metrics
}

// Cluster implements keeper.Storages.
func (s sweeping) Cluster(ctx context.Context, clusterID string) (ceph.Cluster, string, error) {
	cluster, radosNamespace, err := s.Storages.Cluster(ctx, clusterID)
	s.counted.CephConnected(clusterID, err)
	if err != nil {
		return nil, "", err
	}
	return counted{cluster, s.counted, clusterID, func() { s.Storages.Renew(cluster) }}, radosNamespace, nil
}

// check says whether there is a configuration to read.
func (c *cephAccess) check(request *http.Request) error {
	if secret := c.options.secret; secret.Name != "" { // otherwise there is one for each clusterID
		if _, err := csiconfig.Get(c.recent.get).Credentials(request.Context(), secret); err != nil {
			return err
		}
	}
	for _, namespace := range c.options.configNamespaces {
		for _, location := range csiconfig.Locations() {
			if c.recent.get(request.Context(), namespace, location.Name, &corev1.ConfigMap{}) == nil {
				return nil
			}
		}
	}
	return errors.New("ceph-csi's configuration is in none of the namespaces")
}
