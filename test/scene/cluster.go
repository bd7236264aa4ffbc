//go:build lab

package scene

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/webhook"
)

// Cluster is a cluster with clients, and a webhook if the setup says so.
type Cluster struct {
	*lab.Cluster
	Client  *kubernetes.Clientset
	Dynamic dynamic.Interface
	Webhook *webhook.Webhook

	mapper meta.RESTMapper
}

// Connect makes clients for a cluster.
func Connect(started *lab.Cluster) (c *Cluster, err error) {
	config, err := clientcmd.BuildConfigFromFlags("", started.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit: the default makes tests wait
	config.WarningHandler = rest.NoWarnings{}
	c = &Cluster{Cluster: started}
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Client.Discovery()))
	c.Dynamic, err = dynamic.NewForConfig(config)
	return c, err
}

// create creates objects, in the namespace if they have one and name none.
func (c *Cluster) create(ctx context.Context, namespace, manifests string) error {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue // nothing between two separators
		}
		kind := object.GroupVersionKind()
		mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return err
		}
		var resource dynamic.ResourceInterface = c.Dynamic.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			resource = c.Dynamic.Resource(mapping.Resource).Namespace(cmp.Or(object.GetNamespace(), namespace))
		}
		if err := createOne(ctx, resource, object); err != nil {
			return err
		}
	}
}

// createOne does what the webhook says when it ran out of time, as on a machine that is busy with
// other tests: it tries again.
func createOne(ctx context.Context, resource dynamic.ResourceInterface, object *unstructured.Unstructured) error {
	for deadline := time.Now().Add(settleLimit); ; {
		_, err := resource.Create(ctx, object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		late := apierrors.IsInternalError(err) && strings.Contains(err.Error(), context.DeadlineExceeded.Error())
		if !late || time.Now().After(deadline) {
			return err
		}
	}
}

// Restarts is for a test that ends the webhook: the next test needs it, whatever fails.
// What it returns starts the webhook if it isn't ready, and is called when the test ends.
func (c *Cluster) Restarts(t testing.TB) (restart func()) {
	restart = func() {
		if err := c.Webhook.Ready(); err != nil {
			if err := c.Webhook.Start(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(restart)
	return restart
}

// Get reads an object of a namespace, and nil if there is none. The resource is what kubectl
// knows it by, without short names.
func (c *Cluster) Get(ctx context.Context, namespace, resource, name string) (*unstructured.Unstructured, error) {
	objects, err := c.objects(namespace, resource)
	if err != nil {
		return nil, err
	}
	object, err := objects.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

func (c *Cluster) objects(namespace, resource string) (dynamic.ResourceInterface, error) {
	mapped, err := c.mapper.ResourceFor(schema.GroupVersionResource{Resource: resource})
	return c.Dynamic.Resource(mapped).Namespace(namespace), err
}

// Versions tell in which version all objects of the resources in a namespace are, a line each.
// Of what a controller of Kubernetes keeps the status of, it is the version of the rest, and only
// when the controller has seen that: until then, it adds annotations.
func (c *Cluster) Versions(ctx context.Context, namespace string, resources ...string) (string, error) {
	var lines strings.Builder
	for _, resource := range resources {
		objects, err := c.objects(namespace, resource)
		if err != nil {
			return "", err
		}
		list, err := objects.List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		for _, object := range list.Items {
			version := object.GetResourceVersion()
			if keepsStatus[object.GetKind()] {
				if err := seen(object); err != nil {
					return "", err
				}
				version = fmt.Sprint(object.GetGeneration(), object.GetLabels(), object.GetAnnotations())
			}
			fmt.Fprintf(&lines, "%s/%s %s\n", object.GetKind(), object.GetName(), version)
		}
	}
	return lines.String(), nil
}

// Seen returns an error while a controller of Kubernetes has not seen all workloads of a namespace
// as they are: until it has, it writes to them beside everybody else.
func (c *Cluster) Seen(ctx context.Context, namespace string) error {
	_, err := c.Versions(ctx, namespace, "deployments", "replicasets", "statefulsets", "daemonsets", "replicationcontrollers")
	return err
}

func seen(workload unstructured.Unstructured) error {
	generation, _, err := unstructured.NestedInt64(workload.Object, "status", "observedGeneration")
	if err == nil && generation < workload.GetGeneration() {
		err = fmt.Errorf("%s %s: its controller has seen generation %d of %d", workload.GetKind(), workload.GetName(), generation, workload.GetGeneration())
	}
	return err
}

// keepsStatus are the kinds whose controllers say which generation they have seen.
var keepsStatus = map[string]bool{"Deployment": true, "ReplicaSet": true, "StatefulSet": true, "DaemonSet": true, "ReplicationController": true}
