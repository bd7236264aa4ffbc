//go:build lab

package guard

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
	programs   struct {
		kubectl, helm, postrender, webhook string
		// home keeps what kubectl and Helm cache of the API servers.
		home string
	}
)

// running is the webhook of a cluster.
type running struct{ *webhook.Webhook }

// cluster is one of the lab's clusters, with its guard.
type cluster struct {
	*lab.Cluster
	client *kubernetes.Clientset
	guard  *running
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	for name, path := range map[string]*string{
		"kubectl": &programs.kubectl, "helm": &programs.helm,
		"postrender": &programs.postrender, "webhook": &programs.webhook,
	} {
		if *path, err = tools.Find(name); err != nil {
			return 0, err
		}
	}
	dir, err := os.MkdirTemp("", "guard-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs.home = filepath.Join(dir, "home")

	ctx := context.Background()
	servers, err := lab.Start(ctx, lab.Options{Dir: dir, Tools: tools, Nodes: lab.Nodes{PerCluster: 4}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	storage = servers.Ceph
	if east, err = newCluster(ctx, servers, servers.East, dir, "guard.scope=all,guard.scale.enabled=false"); err != nil {
		return 0, err
	}
	defer east.guard.Kill()
	if west, err = newCluster(ctx, servers, servers.West, dir, "guard.customResources[0].apiGroups[0]=example.com,guard.customResources[0].resources[0]=databases"); err != nil {
		return 0, err
	}
	defer west.guard.Kill()

	// Tests wait much more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		return 0, err
	}
	code = m.Run()
	if err := errors.Join(east.guard.MayDoAll(), west.guard.MayDoAll()); err != nil {
		return 0, err
	}
	if code != 0 {
		for _, c := range []*cluster{east, west} {
			fmt.Fprintf(os.Stderr, "the webhook in %s: %s\n", c.Name, lab.Tail(c.guard.LogFile))
		}
	}
	return code, nil
}

// newCluster puts what the tests need into a cluster, and guards it.
func newCluster(ctx context.Context, servers *lab.Lab, started *lab.Cluster, dir, values string) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", started.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit: the default makes tests wait
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	c := &cluster{Cluster: started, client: client}
	for _, node := range c.Nodes[min(2, len(c.Nodes)):] {
		if _, err := c.Run(ctx, "taint", "node", node.Name, "accidents=true:NoSchedule"); err != nil {
			return nil, err
		}
	}
	if err := started.Apply(ctx, definitions); err != nil {
		return nil, err
	}
	process, err := webhook.Start(ctx, webhook.Options{
		Ceph: servers.Ceph, Cluster: started, Dir: filepath.Join(dir, "guard-"+started.Name),
		Chart: "../../charts/cephferry", Values: values,
		Helm: programs.helm, Webhook: programs.webhook, Home: programs.home,
	})
	if err != nil {
		return nil, fmt.Errorf("guard %s: %w", started.Name, err)
	}
	c.guard = &running{process}
	return c, nil
}

// definitions are two kinds with a scale subresource. The chart lets the webhook
// in west read the first one.
const definitions = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: databases, singular: database, kind: Database}
  versions: [{name: v1, served: true, storage: true, subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}},
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {size: {type: integer}}},
      status: {type: object, properties: {size: {type: integer}}}}}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: hiddens.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: hiddens, singular: hidden, kind: Hidden}
  versions: [{name: v1, served: true, storage: true, subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}},
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {size: {type: integer}}},
      status: {type: object, properties: {size: {type: integer}}}}}}}]
`
