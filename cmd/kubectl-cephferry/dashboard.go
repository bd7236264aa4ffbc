package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/access"
	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/page"
)

// dashboard serves the page on this machine.
type dashboard struct {
	*options
	port           uint16
	throughWebhook bool
	service        string
}

func newDashboard(o *options) *cobra.Command {
	d := &dashboard{options: o}
	command := &cobra.Command{
		Use:   "dashboard [NAMESPACE...]",
		Short: "Show clusters, volumes, moves and fences in a browser",
		Long: `Serves a page on this machine and prints its address, until it is interrupted.

The page queries the API server with your credentials and shows what you may list: the volumes
of all namespaces if you may list those, otherwise those of the namespaces that you name, or of
the kubeconfig's namespace.

With --through-webhook the webhook serves the page and finds the namespaces by itself.
That requires a token in the kubeconfig, which is sent to the webhook.`,
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args) },
	}
	command.Flags().Uint16Var(&d.port, "port", 0, "`port` on 127.0.0.1; 0: one that is free")
	command.Flags().BoolVar(&d.throughWebhook, "through-webhook", false, "have the webhook serve the page; sends it your token")
	command.Flags().StringVar(&d.service, "service", "cephferry-system/cephferry", "`namespace/name` of the webhook's Service, for --through-webhook")
	return command
}

func (d *dashboard) run(ctx context.Context, namespaces []string) error {
	here, err := d.cluster("")
	if err != nil {
		return err
	}
	// Watches have no end.
	here.config = rest.CopyConfig(here.config)
	here.config.Timeout = 0
	var handler http.Handler
	if d.throughWebhook {
		if len(namespaces) > 0 {
			return errors.New("--through-webhook shows all namespaces that you may see; name none")
		}
		handler, err = throughService(ctx, here.config, d.service)
	} else {
		if len(namespaces) == 0 {
			namespaces = []string{here.namespace}
		}
		handler, err = ownPage(ctx, here, d.contextName(), namespaces)
	}
	if err != nil {
		return err
	}
	return d.serve(ctx, handler)
}

// contextName is what the kubeconfig calls the cluster.
func (d *dashboard) contextName() string {
	raw, err := d.clientConfig("").RawConfig()
	if err != nil {
		return *d.kubectl.Context
	}
	return cmp.Or(*d.kubectl.Context, raw.CurrentContext)
}

// ownPage is the page, with the rights of this user.
func ownPage(ctx context.Context, here *cluster, name string, namespaces []string) (http.Handler, error) {
	clientset, err := kubernetes.NewForConfig(here.config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	self := access.NewSelf(clientset)
	ctx, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	allowed, err := mayList(ctx, self, namespaces)
	if err != nil {
		return nil, err
	}
	settings := page.CacheOptions()
	settings.Scheme = here.Scheme()
	// A watch of what one may not list never begins.
	settings.DefaultNamespaces = map[string]cache.Config{}
	for _, namespace := range allowed {
		settings.DefaultNamespaces[namespace] = cache.Config{}
	}
	look := &page.Look{
		New: func() (page.Cache, error) { return cache.New(here.config, settings) },
		Probe: func(ctx context.Context) error {
			return here.List(ctx, &v1alpha1.MigratableVolumeList{}, client.InNamespace(allowed[0]), client.Limit(1))
		},
		Now:       time.Now,
		AfterFunc: func(after time.Duration, f func()) page.Timer { return time.AfterFunc(after, f) },
	}
	return &page.Page{
		Cluster: name, Look: look, API: here, Log: logr.Discard(),
		Identify: func(*http.Request) (page.Viewer, error) { return self, nil },
	}, nil
}

// mayList are those of the namespaces whose volumes the viewer may list, or that of all.
func mayList(ctx context.Context, viewer page.Viewer, namespaces []string) ([]string, error) {
	var refused []string
	for i, namespace := range append([]string{cache.AllNamespaces}, namespaces...) {
		may, err := viewer.MayList(ctx, page.Volumes, namespace)
		switch {
		case err != nil:
			return nil, err
		case may && i == 0:
			return []string{cache.AllNamespaces}, nil
		case !may && i > 0:
			refused = append(refused, namespace)
		}
	}
	if len(refused) > 0 {
		return nil, refuse(fmt.Errorf("you may not list %s.%s in %s; name the namespaces that you may see as arguments",
			page.Volumes, v1alpha1.GroupVersion.Group, strings.Join(refused, ", ")))
	}
	return namespaces, nil
}

// throughService passes requests on to the page of the webhook, through the API server.
func throughService(ctx context.Context, config *rest.Config, service string) (http.Handler, error) {
	namespace, name, ok := strings.Cut(service, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("--service %s: must be namespace/name", service)
	}
	if config.Impersonate.UserName != "" {
		return nil, fmt.Errorf("the webhook would see your own token, and not %q; leave out --through-webhook", config.Impersonate.UserName)
	}
	config = rest.CopyConfig(config)
	// Innermost: here the request has the token, from wherever the kubeconfig has it.
	wrapped := config.WrapTransport
	config.WrapTransport = func(inner http.RoundTripper) http.RoundTripper {
		inner = tokenTwice{inner}
		if wrapped != nil {
			inner = wrapped(inner)
		}
		return inner
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	host.Path = "/" + strings.TrimPrefix(host.Path, "/")
	target := host.JoinPath("api/v1/namespaces", namespace, "services", "https:"+name+":page", "proxy")
	if err := tryPage(ctx, transport, target); err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header = http.Header{}
			for _, kept := range []string{"Accept-Encoding", "If-None-Match"} {
				r.Out.Header[kept] = r.In.Header[kept]
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}, nil
}

// tokenTwice sends the token in a header too that the API server passes on.
type tokenTwice struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t tokenTwice) RoundTrip(r *http.Request) (*http.Response, error) {
	if token := r.Header.Get("Authorization"); token != "" {
		r = r.Clone(r.Context())
		r.Header.Set(access.Header, token)
	}
	return t.RoundTripper.RoundTrip(r)
}

// tryPage asks for the page once, so that a person learns here what is missing.
func tryPage(ctx context.Context, transport http.RoundTripper, target *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String()+"/", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask the API server for the page: %w", err)
	}
	response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return refuse(errors.New("the webhook does not know you: it needs a token, and this kubeconfig has none, or one that the API server does not accept; leave out --through-webhook"))
	case http.StatusForbidden:
		return refuse(fmt.Errorf("you may not get %s; the chart's Role cephferry-page has that right (value page.viewers), or leave out --through-webhook", target.Path))
	default:
		return fmt.Errorf("the webhook's page answers %s at %s; leave out --through-webhook to do without it", response.Status, target.Path)
	}
}

// serve serves the page until ctx ends, below a path that nobody else on this machine can
// guess, and under no other name: a web page elsewhere could have its name lead here.
func (d *dashboard) serve(ctx context.Context, handler http.Handler) error {
	listening, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(d.port))))
	if err != nil {
		return fmt.Errorf("listen for a browser: %w", err)
	}
	secret := "/" + rand.Text()
	address := listening.Addr().String()
	server := &http.Server{Handler: guarded(address, secret, handler), ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintf(d.std.stdout, "http://%s%s/\n", address, secret)
	fmt.Fprintln(d.std.stderr, "Open this address in a browser of this machine. Ctrl-C ends it.")
	stopped := context.AfterFunc(ctx, func() { server.Close() })
	defer stopped()
	if err := server.Serve(listening); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}

func guarded(address, secret string, handler http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(address)
	names := []string{address, "localhost:" + port}
	below := http.StripPrefix(secret, handler)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(names, r.Host) || !strings.HasPrefix(r.URL.Path, secret+"/") {
			http.Error(w, "this is not the address that kubectl cephferry dashboard has printed", http.StatusNotFound)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "the page only shows; use kubectl", http.StatusMethodNotAllowed)
			return
		}
		below.ServeHTTP(w, r)
	})
}
