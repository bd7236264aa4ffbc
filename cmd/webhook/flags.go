package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/flagvalue"
	"github.com/cephferry/cephferry/pkg/volumes"
)

type options struct {
	cluster          string
	scope            volumes.Scope
	configNamespaces []string
	secret           corev1.SecretReference
	// secrets are for the clusterIDs of further Ceph clusters.
	secrets        map[string]corev1.SecretReference
	provisioner    bool
	keyed          bool
	localCIDRs     []netip.Prefix
	exemptCIDRs    []netip.Prefix
	admissionGrace time.Duration
	webhookPort    int
	metricsAddress string
	probeAddress   string
	pageAddress    string
	certDir        string
	certSecret     string
	service        string
	configuration  string
	help           string
	logLevel       string
	logFormat      string
	// namespace is the webhook's own.
	namespace string
	version   bool
}

// troubleshooting is the document's address, the same for every version.
const troubleshooting = "https://github.com/cephferry/cephferry/blob/main/docs/troubleshooting.md"

// texts are the flag values that parseFlags turns into options.
type texts struct {
	scope, secret          string
	secrets, local, exempt []string
}

func newFlagSet(o *options, t *texts) *pflag.FlagSet {
	flags := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {}
	flags.StringVar(&o.cluster, "cluster-name", "", "`name` of this cluster, as records, image names and refusals show it; required")
	flags.StringVar(&t.scope, "scope", string(volumes.ScopeMigratable), "`which` RBD volumes are guarded: migratable (our pairs and every static volume) or all")
	flags.StringArrayVar(&o.configNamespaces, "ceph-config-namespace", []string{"rook-ceph"}, "`namespace` with ceph-csi's configuration; repeatable")
	flags.StringVar(&t.secret, "ceph-secret", "", "`namespace/name` of the CSI secret with the webhook's Ceph user; empty: found in the namespaces of ceph-csi's configuration")
	flags.StringArrayVar(&t.secrets, "cluster-ceph-secret", nil, "`clusterID=namespace/name` of the CSI secret for a further Ceph cluster; repeatable")
	flags.BoolVar(&o.provisioner, "provisioner", true, "have the leader create the volumes of migratable claims")
	flags.BoolVar(&o.keyed, "keyed", true, "name new images after the cluster that owns them; the webhook's Ceph user must be allowed to rename images")
	flags.StringArrayVar(&t.local, "local-cidr", nil, "`range` of addresses, besides the nodes' own, from which this cluster's nodes reach Ceph; repeatable")
	flags.StringArrayVar(&t.exempt, "exempt-cidr", nil, "`range` of addresses of daemons whose watches never count, such as rbd-mirror; repeatable")
	flags.DurationVar(&o.admissionGrace, "admission-grace", 75*time.Second, "how long to wait before concluding that an admitted pod was never stored, a `duration` longer than the API server's --request-timeout")
	flags.IntVar(&o.webhookPort, "webhook-port", 9443, "`port` of the webhook")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "`address` of the metrics")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "`address` of the probes")
	flags.StringVar(&o.pageAddress, "page-bind-address", "", "`address` of the page that shows the volumes; empty: no page")
	flags.StringVar(&o.certDir, "cert-dir", "/certs", "`directory` with tls.crt and tls.key")
	flags.StringVar(&o.certSecret, "cert-secret", "", "`name` of the Secret for a certificate that the webhook issues and rotates itself; empty: something else provides --cert-dir")
	flags.StringVar(&o.service, "service-name", "cephferry-webhook", "`name` of the webhook's Service")
	flags.StringVar(&o.configuration, "webhook-configuration", "cephferry", "`name` of the ValidatingWebhookConfiguration whose caBundle is kept up to date")
	flags.StringVar(&o.help, "troubleshooting-url", troubleshooting, "`URL` of docs/troubleshooting.md, linked with its section at the end of each refusal; empty: no link")
	flags.StringVar(&o.logLevel, "log-level", "info", "`level` of the log: debug, info or error")
	flags.StringVar(&o.logFormat, "log-format", "json", "`format` of the log: json or text")
	flags.BoolVar(&o.version, "version", false, "print the version and exit")
	return flags
}

func help() string {
	return `Refuses to start pods on an RBD image that another cluster owns or has open, and makes the
volumes of migratable claims. Runs in the cluster that it guards; the chart in charts/cephferry sets its flags.

Flags:
` + newFlagSet(&options{}, &texts{}).FlagUsages()
}

func parseFlags(args []string, getenv func(string) string) (options, error) {
	var o options
	var t texts
	flags := newFlagSet(&o, &t)
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.version {
		return o, nil
	}
	if o.cluster == "" {
		return o, fmt.Errorf("--cluster-name: required")
	}
	switch o.scope = volumes.Scope(t.scope); o.scope {
	case volumes.ScopeMigratable, volumes.ScopeAll:
	default:
		return o, fmt.Errorf("--scope %s: must be migratable or all", t.scope)
	}
	if to, err := url.Parse(o.help); o.help != "" && (err != nil || to.Host == "" || to.Fragment != "") {
		return o, fmt.Errorf("--troubleshooting-url %s: must be the URL of a page, such as https://host/page", o.help)
	}
	if err := checkLog(o.logLevel, o.logFormat); err != nil {
		return o, err
	}
	var err error
	if o.secret, err = flagvalue.OptionalSecretReference(t.secret); err != nil {
		return o, fmt.Errorf("--ceph-secret %s: %w", t.secret, err)
	}
	for _, text := range t.secrets {
		clusterID, secret, ok := strings.Cut(text, "=")
		ref, err := flagvalue.SecretReference(secret)
		if !ok || clusterID == "" || err != nil {
			return o, fmt.Errorf("--cluster-ceph-secret %s: must be clusterID=namespace/name", text)
		}
		if o.secrets == nil {
			o.secrets = map[string]corev1.SecretReference{}
		}
		o.secrets[clusterID] = ref
	}
	if o.localCIDRs, err = flagvalue.Prefixes("--local-cidr", t.local); err != nil {
		return o, err
	}
	if o.exemptCIDRs, err = flagvalue.Prefixes("--exempt-cidr", t.exempt); err != nil {
		return o, err
	}
	if o.admissionGrace <= 0 {
		return o, fmt.Errorf("--admission-grace %s: must be longer than the API server's --request-timeout", o.admissionGrace)
	}
	if o.namespace = getenv("POD_NAMESPACE"); o.namespace == "" && o.certSecret != "" {
		return o, fmt.Errorf("--cert-secret %s: POD_NAMESPACE is not set", o.certSecret)
	}
	return o, nil
}
