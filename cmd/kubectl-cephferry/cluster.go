package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/version"
)

// cluster is the API server of one context.
type cluster struct {
	client.Client
	// context is its name, for people; empty for the current one.
	context   string
	namespace string
	config    *rest.Config
}

// nowhere is where kubectl's flags lead without a kubeconfig.
const nowhere = "http://localhost:8080"

// newScheme knows what the API servers of clusters have that we ask for.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// clientConfig is how a context is reached; an empty one is that of the flags.
func (o *options) clientConfig(context string) clientcmd.ClientConfig {
	if context != "" {
		flags := o.kubectl.Context
		defer func() { o.kubectl.Context = flags }()
		o.kubectl.Context = &context
	}
	return o.kubectl.ToRawKubeConfigLoader()
}

// cluster connects to the API server of a context; an empty one is that of the flags.
func (o *options) cluster(context string) (*cluster, error) {
	log.SetLogger(logr.Discard())
	clientConfig := o.clientConfig(context)
	config, err := clientConfig.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	if raw, err := clientConfig.RawConfig(); err == nil && len(raw.Clusters) == 0 && config.Host == nowhere {
		return nil, errors.New("find the cluster: no kubeconfig was found, and --server names none")
	}
	config.UserAgent, config.QPS = "kubectl-cephferry/"+version.String(), -1
	if config.Timeout == 0 {
		config.Timeout = apiLimit
	}
	namespace, _, err := clientConfig.Namespace()
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return &cluster{Client: api, context: context, namespace: namespace, config: config}, nil
}

// noObjects is the error of a request for the objects of pkg/api, with what to do where a
// cluster does not have them.
func noObjects(err error) error {
	if meta.IsNoMatchError(err) || discovery.IsGroupDiscoveryFailedError(err) {
		return fmt.Errorf("this cluster has no MigratableVolumes, FerryClusters and Takeovers (cephferry.io/v1alpha1)\n"+
			"  do this   install cephferry's chart in it, or run the same command with --direct: %w", err)
	}
	return err
}

// inContext is for messages about one of several clusters.
func (c *cluster) inContext(err error) error {
	if err == nil || c.context == "" {
		return err
	}
	return fmt.Errorf("context %s: %w", c.context, err)
}

// oneLine is a message in a table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
