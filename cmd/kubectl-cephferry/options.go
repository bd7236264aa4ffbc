package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/cephferry/cephferry/pkg/flagvalue"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// options are the flags that all commands have.
type options struct {
	std streams
	// kubectl has the flags by which kubectl finds a cluster.
	kubectl *genericclioptions.ConfigFlags
	// direct: Ceph is asked, and not the objects in which the cluster shows what Ceph says.
	direct bool
	// inCluster: a pod beside the webhook does it, with --direct.
	inCluster bool
	// cephConf, cephID and cephKeyring are the user who may fence.
	cephConf, cephID, cephKeyring string
	// settings are the flags, and given those that were on the command line.
	settings settingFlags
	given    *pflag.FlagSet
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	o.kubectl = kubectlFlags()
	o.kubectl.AddFlags(flags)
	flags.BoolVar(&o.direct, "direct", false, "query Ceph directly, with a build that has Ceph's libraries; needs neither the webhook nor its objects")
	flags.BoolVar(&o.inCluster, "in-cluster", false, "run with --direct as a pod beside the webhook, with its image, service account and Ceph user; for machines without Ceph's libraries")
	flags.StringVar(&o.cephConf, "ceph-conf", "", "Ceph configuration `file`; default: ceph-csi's configuration, read from the cluster")
	flags.StringVar(&o.cephID, "ceph-id", "", "Ceph `user`, without \"client.\"; default: admin with --ceph-conf or --ceph-keyring, otherwise that of --ceph-secret")
	flags.StringVar(&o.cephKeyring, "ceph-keyring", "", "keyring `file` of the Ceph user")
	o.settings.addTo(flags)
	o.given = flags
}

// kubectlFlags are kubectl's, without those that nobody types.
func kubectlFlags() *genericclioptions.ConfigFlags {
	flags := genericclioptions.NewConfigFlags(false)
	flags.CacheDir, flags.DisableCompression, flags.ProxyURL, flags.ImpersonateUserExtra = nil, nil, nil, nil
	return flags
}

// cephByFlags reports whether flags say how to reach Ceph.
func (o *options) cephByFlags() bool {
	return o.cephConf != "" || o.cephID != "" || o.cephKeyring != ""
}

// settingFlags are those that the webhook has, too, and shape what is guarded, what a
// watcher is accounted for by, and how Ceph is reached.
type settingFlags struct {
	cluster, scope, secret string
	configNamespaces       []string
	secrets, local, exempt []string
}

func (s *settingFlags) addTo(flags *pflag.FlagSet) {
	const fallback = "; default: the webhook's"
	flags.StringVar(&s.cluster, "cluster-name", "", "`name` of this cluster in records"+fallback)
	flags.StringVar(&s.scope, "scope", string(volumes.ScopeMigratable), "`which` RBD volumes are guarded: migratable or all"+fallback)
	flags.StringArrayVar(&s.configNamespaces, "ceph-config-namespace", []string{"rook-ceph"}, "`namespace` with ceph-csi's configuration; repeatable"+fallback)
	flags.StringVar(&s.secret, "ceph-secret", "", "`namespace/name` of a CSI secret with the Ceph user"+fallback+", or found in the namespaces of ceph-csi's configuration")
	flags.StringArrayVar(&s.secrets, "cluster-ceph-secret", nil, "`clusterID=namespace/name` of the CSI secret for a further Ceph cluster; repeatable"+fallback)
	flags.StringArrayVar(&s.local, "local-cidr", nil, "`range` of addresses, besides the nodes' own, from which this cluster's nodes reach Ceph; repeatable"+fallback)
	flags.StringArrayVar(&s.exempt, "exempt-cidr", nil, "`range` of addresses of daemons whose watches never count, such as rbd-mirror; repeatable"+fallback)
}

// settings are settingFlags, understood.
type settings struct {
	cluster          string
	scope            volumes.Scope
	configNamespaces []string
	secret           corev1.SecretReference
	secrets          map[string]corev1.SecretReference
	local, exempt    []netip.Prefix
}

func (s *settingFlags) parse() (settings, error) {
	parsed := settings{
		cluster: s.cluster, scope: volumes.Scope(s.scope), configNamespaces: s.configNamespaces,
		secrets: map[string]corev1.SecretReference{},
	}
	if parsed.scope != volumes.ScopeMigratable && parsed.scope != volumes.ScopeAll {
		return settings{}, fmt.Errorf("--scope %s: must be migratable or all", s.scope)
	}
	var err error
	if parsed.secret, err = flagvalue.OptionalSecretReference(s.secret); err != nil {
		return settings{}, fmt.Errorf("--ceph-secret %s: %w", s.secret, err)
	}
	for _, text := range s.secrets {
		clusterID, secret, _ := strings.Cut(text, "=")
		ref, err := flagvalue.SecretReference(secret)
		if clusterID == "" || err != nil {
			return settings{}, fmt.Errorf("--cluster-ceph-secret %s: must be clusterID=namespace/name", text)
		}
		parsed.secrets[clusterID] = ref
	}
	if parsed.local, err = flagvalue.Prefixes("--local-cidr", s.local); err != nil {
		return settings{}, err
	}
	parsed.exempt, err = flagvalue.Prefixes("--exempt-cidr", s.exempt)
	return parsed, err
}
