package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/planning"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// apiLimit bounds one request to the API server, so that one that is dead is reported.
const apiLimit = 15 * time.Second

// connection is this cluster and its Ceph.
type connection struct {
	*inventory.Inventory
	planner   *planning.Planner
	settings  settings
	namespace string
	config    *rest.Config
	storages  *storages
}

// connect reads how everything is reached. Ceph is dialed when it is needed first.
func (o *options) connect(ctx context.Context) (*connection, error) {
	api, err := o.cluster("")
	if err != nil {
		return nil, err
	}
	parsed, err := o.readSettings(ctx, api, api.namespace)
	if err != nil {
		return nil, err
	}
	storages := o.newStorages(api, parsed)
	all := &inventory.Inventory{
		API:      api.Client,
		Finder:   volumes.Finder{Cache: api, API: api, Scope: parsed.scope},
		Usage:    &usage.Gatherer{API: api, CIDRs: parsed.local, Exempt: parsed.exempt},
		Storages: storages,
	}
	return &connection{
		Inventory: all,
		planner:   &planning.Planner{Inventory: all, Entry: storages.Entry, Local: parsed.local, Exempt: parsed.exempt},
		settings:  parsed, namespace: api.namespace, config: api.config, storages: storages,
	}, nil
}

// readSettings takes what was not given by flags from the webhook's Deployment. It is
// there while no pod of it runs. Who may not look for it everywhere, as the webhook's own account,
// may do so in the namespace of the connection.
func (o *options) readSettings(ctx context.Context, api client.Reader, namespace string) (settings, error) {
	var list appsv1.DeploymentList
	ours := client.MatchingLabels{"app.kubernetes.io/name": "cephferry"}
	err := api.List(ctx, &list, ours)
	// The pod says where it is, whatever the command is about.
	for _, in := range []string{os.Getenv("POD_NAMESPACE"), namespace} {
		if apierrors.IsForbidden(err) && in != "" {
			err = api.List(ctx, &list, ours, client.InNamespace(in))
		}
	}
	if err != nil {
		return settings{}, fmt.Errorf("look for the webhook's Deployment: %w", err)
	}
	if len(list.Items) > 1 {
		return settings{}, fmt.Errorf("there are several Deployments with the label app.kubernetes.io/name=cephferry (%s/%s, %s/%s); remove the one that does not guard this cluster",
			list.Items[0].Namespace, list.Items[0].Name, list.Items[1].Namespace, list.Items[1].Name)
	}
	var webhook settingFlags
	flags := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	webhook.addTo(flags)
	if len(list.Items) == 1 {
		for _, container := range list.Items[0].Spec.Template.Spec.Containers {
			if err := flags.Parse(container.Args); err != nil {
				return settings{}, fmt.Errorf("understand the arguments of Deployment %s/%s: %w", list.Items[0].Namespace, list.Items[0].Name, err)
			}
		}
	}
	merged := o.settings
	for name, take := range map[string]func(){
		"cluster-name":          func() { merged.cluster = webhook.cluster },
		"scope":                 func() { merged.scope = webhook.scope },
		"ceph-config-namespace": func() { merged.configNamespaces = webhook.configNamespaces },
		"ceph-secret":           func() { merged.secret = webhook.secret },
		"cluster-ceph-secret":   func() { merged.secrets = webhook.secrets },
		"local-cidr":            func() { merged.local = webhook.local },
		"exempt-cidr":           func() { merged.exempt = webhook.exempt },
	} {
		if !o.given.Changed(name) {
			take()
		}
	}
	return merged.parse()
}

// party is this cluster for a record that is written.
func (c *connection) party(ctx context.Context) (ceph.Party, error) {
	if c.settings.cluster == "" {
		return ceph.Party{}, errors.New("the webhook's Deployment, which has the name of this cluster, is not there; pass the name that records have: --cluster-name")
	}
	return usage.Party(ctx, c.API, c.settings.cluster)
}

// storages lead to Ceph, as the webhook finds it, or as the flags say.
type storages struct {
	byCSI         *connect.Storages
	source        connect.CSI
	configuration *inventory.Once
	// byFlags is what the flags say, if they do; dialed is what they led to.
	byFlags *goceph.Config
	mu      sync.Mutex
	dialed  ceph.Cluster
}

func (o *options) newStorages(api client.Reader, s settings) *storages {
	configuration := &inventory.Once{API: api}
	get := func(ctx context.Context, namespace, name string, into csiconfig.Object) error {
		return configuration.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	}
	list := connect.List(func(ctx context.Context, namespace string, into connect.ObjectList) error {
		return configuration.List(ctx, into, client.InNamespace(namespace))
	})
	source := connect.CSI{Get: get, Namespaces: s.configNamespaces, Secret: s.secret, Secrets: s.secrets, Lists: list.Lists()}
	all := &storages{source: source, configuration: configuration}
	if o.cephByFlags() {
		all.byFlags = o.cephConfig()
	} else {
		all.byCSI = connect.New(source, dial)
	}
	return all
}

func (o *options) cephConfig() *goceph.Config {
	return &goceph.Config{ConfFile: o.cephConf, User: o.cephID, Keyring: o.cephKeyring}
}

// errNoLibrary is for builds without cgo.
var errNoLibrary = errors.New("this build of kubectl cephferry has no Ceph library, so it cannot ask Ceph itself; " +
	"run it as a pod beside the webhook, with --in-cluster, or in the webhook's pod: kubectl exec -it -n cephferry-system deployment/cephferry -- kubectl-cephferry --direct, with the same arguments, and --by for a name")

func dial(ctx context.Context, config goceph.Config) (ceph.Cluster, error) {
	cluster, err := goceph.Dial(ctx, config)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, errNoLibrary
	}
	return cluster, err
}

var _ inventory.Storages = (*storages)(nil)
var _ io.Closer = (*storages)(nil)

// Cluster implements inventory.Storages.
func (s *storages) Cluster(ctx context.Context, clusterID string) (ceph.Cluster, string, error) {
	if s.byFlags == nil {
		return s.byCSI.Cluster(ctx, clusterID)
	}
	entry, err := s.Entry(ctx, clusterID)
	if err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialed == nil {
		if s.dialed, err = dial(ctx, *s.byFlags); err != nil {
			return nil, "", err
		}
	}
	return s.dialed, entry.RadosNamespace, nil
}

// Entry stands in ceph-csi's configuration only.
func (s *storages) Entry(ctx context.Context, clusterID string) (csiconfig.Entry, error) {
	return s.source.Get.Entry(ctx, clusterID, s.source.Namespaces...)
}

// Close ends the connections.
func (s *storages) Close() error {
	switch {
	case s.byCSI != nil:
		return s.byCSI.Close()
	case s.dialed != nil:
		return s.dialed.Close()
	}
	return nil
}
