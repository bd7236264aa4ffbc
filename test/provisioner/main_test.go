//go:build lab

package provisioner

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

// What all tests share. It is set before the first of them.
var (
	storage    *lab.Ceph
	east, west *cluster
	programs   struct{ helm, helm4, webhook, postrender, home string }
)

// cluster is one of the lab's clusters, with its webhook.
type cluster struct {
	*lab.Cluster
	client  *kubernetes.Clientset
	webhook *webhook.Webhook
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "provisioner:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	for name, path := range map[string]*string{"helm": &programs.helm, "helm4": &programs.helm4, "webhook": &programs.webhook, "postrender": &programs.postrender} {
		if *path, err = tools.Find(name); err != nil {
			return 0, err
		}
	}
	dir, err := os.MkdirTemp("", "provisioner-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs.home = filepath.Join(dir, "home")

	ctx := context.Background()
	servers, err := lab.Start(ctx, lab.Options{Dir: dir, Tools: tools, Nodes: lab.Nodes{PerCluster: 2}, Rook: map[string]lab.Rook{lab.West: otherNames}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	storage = servers.Ceph
	for _, start := range []struct {
		in     *lab.Cluster
		into   **cluster
		values string
	}{{servers.East, &east, ""}, {servers.West, &west, valuesForOtherNames}} {
		c, err := newCluster(ctx, start.in, dir, "replicas=1"+start.values)
		if err != nil {
			return 0, fmt.Errorf("start the webhook in %s: %w", start.in.Name, err)
		}
		defer c.webhook.Kill()
		*start.into = c
	}

	// Tests wait much more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		return 0, err
	}
	code = m.Run()
	for _, c := range []*cluster{east, west} {
		if code != 0 {
			fmt.Fprintf(os.Stderr, "the webhook in %s: %s\n", c.Name, lab.Tail(c.webhook.LogFile))
		}
		err = errors.Join(err, c.webhook.MayDoAll(othersSecret))
	}
	return code, err
}

func newCluster(ctx context.Context, started *lab.Cluster, dir, values string) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", started.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit: the default makes tests wait
	c := &cluster{Cluster: started}
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	// The chart makes a Role in the namespace of each secret.
	c.webhook, err = webhook.Start(ctx, webhook.Options{
		Ceph: storage, Cluster: started, Dir: filepath.Join(dir, "webhook-"+started.Name),
		Chart: "../../charts/cephferry", Values: values,
		Helm: programs.helm, Webhook: programs.webhook, Home: programs.home,
	})
	return c, err
}
