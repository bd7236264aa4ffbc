//go:build lab

package failover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

const (
	commandLimit = time.Minute
	// settleLimit is for what takes seconds on a machine that has nothing else to do.
	settleLimit  = time.Minute
	pollInterval = 50 * time.Millisecond
)

// What all tests share. It is set before the first of them.
var (
	servers *lab.Lab
	// storage is the administrator's connection to Ceph.
	storage ceph.Cluster
	home    string
	path    string
	kubectl string
	// guards are the webhooks, by their clusters' names.
	guards = map[string]*webhook.Webhook{}
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	if kubectl, err = tools.Find("kubectl"); err != nil {
		return 0, err
	}
	var plugin, helm, program string
	for name, at := range map[string]*string{"kubectl-cephferry": &plugin, "helm": &helm, "webhook": &program} {
		if *at, err = tools.Find(name); err != nil {
			return 0, err
		}
	}
	path = strings.Join([]string{filepath.Dir(kubectl), filepath.Dir(plugin), filepath.Dir(helm), "/usr/bin", "/bin"}, ":")
	dir, err := os.MkdirTemp("", "failover-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	home = filepath.Join(dir, "home")

	ctx := context.Background()
	if servers, err = lab.Start(ctx, lab.Options{Dir: dir, Tools: tools, Nodes: lab.Nodes{PerCluster: 4}}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	if storage, err = goceph.Dial(ctx, goceph.Config{ConfFile: servers.Ceph.ConfFile}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	for _, c := range []*lab.Cluster{servers.East, servers.West} {
		if err := deployment(ctx, c); err != nil {
			return 0, err
		}
		guard, err := webhook.Start(ctx, webhook.Options{
			Ceph: servers.Ceph, Cluster: c, Dir: filepath.Join(dir, "guard-"+c.Name), Chart: "../../charts/cephferry",
			Values: "guard.scope=migratable", Helm: helm, Webhook: program, Home: home,
		})
		if err != nil {
			return 0, fmt.Errorf("guard %s: %w", c.Name, err)
		}
		guards[c.Name] = guard
		defer func() { err = errors.Join(err, guard.Kill()) }()
	}
	code = m.Run()
	if code != 0 {
		for name, guard := range guards {
			fmt.Fprintf(os.Stderr, "the webhook in %s: %s\n", name, lab.Tail(guard.LogFile))
		}
	}
	return code, nil
}

// deployment puts the webhook's Deployment into the cluster, without pods: the webhook
// runs beside it.
func deployment(ctx context.Context, c *lab.Cluster) error {
	return c.Apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: cephferry-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cephferry, namespace: cephferry-system, labels: {app.kubernetes.io/name: cephferry}}
spec:
  replicas: 0
  selector: {matchLabels: {app: cephferry}}
  template:
    metadata: {labels: {app: cephferry}}
    spec:
      containers:
      - name: webhook
        image: none
        args: [--cluster-name=%s, --scope=migratable, --ceph-secret=rook-ceph/rook-csi-rbd-node, --webhook-port=9443]
`, c.Name))
}
