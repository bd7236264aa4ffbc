package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cephferry/cephferry/pkg/helmcall"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/storageclass"
	"github.com/cephferry/cephferry/pkg/version"
)

// apiTimeout bounds one request to the API server.
const apiTimeout = 10 * time.Second

// render wires the use case to the flags.
func render(ctx context.Context, o options, sys system) error {
	helm := helmCall{options: o, getenv: sys.getenv}
	manifests := bufio.NewReader(sys.stdin)
	// Any error but the end of the input is met again where it is read.
	if _, err := manifests.Peek(1); errors.Is(err, io.EOF) {
		if err := helm.rendersNothing(ctx); err != nil {
			return err
		}
	}
	if o.create == createCluster {
		notes, err := postrender.ForCluster(manifests, sys.stdout, o.selectors...)
		tell(sys.stderr, notes)
		return err
	}
	images := imageMaker{options: o, helm: &helm}
	defer images.close()
	renderer := postrender.Renderer{
		Namespace: helm.namespace,
		Classes:   helm.classes,
		Images:    images.images,
		Select:    o.selectors,
	}
	notes, err := renderer.Render(ctx, manifests, sys.stdout)
	if err == nil {
		tell(sys.stderr, notes)
	}
	return err
}

// tell writes notes for people.
func tell(stderr io.Writer, notes []string) {
	if len(notes) > 0 {
		fmt.Fprintln(stderr, "postrender: "+strings.Join(notes, "; "))
	}
}

// list shows what would be selected, a line for each claim. Helm shows nothing of what a
// post-renderer says while it succeeds.
func list(ctx context.Context, o options, sys system) error {
	helm := helmCall{options: o, getenv: sys.getenv}
	namespace, err := helm.namespace(ctx)
	if err != nil {
		namespace = "<namespace>"
	}
	all, notes, err := postrender.List(sys.stdin, namespace, o.selectors...)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(sys.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "OBJECT\tCLAIM\tCLASS\tIMAGE\tSELECTED BY")
	for _, one := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Object, cmp.Or(one.Claim, "(named by its operator)"), cmp.Or(one.Class, "(default)"), cmp.Or(one.Image, "<namespace>.<claim>"), one.Why())
	}
	tell(sys.stderr, notes)
	return table.Flush()
}

// helmCall answers what depends on the calling Helm. It looks at the parent
// processes only when a flag leaves something open.
type helmCall struct {
	options options
	getenv  func(string) string
	looked  bool
	call    *helmcall.Call
	err     error
}

// detect returns the calling helm, nil if there is none.
func (h *helmCall) detect(ctx context.Context) (*helmcall.Call, error) {
	if !h.looked {
		h.looked = true
		h.call, h.err = helmcall.Detect(ctx)
	}
	return h.call, h.err
}

// rendersNothing tells an empty chart from Helm 3 that keeps its manifests to itself:
// with --output-dir it has written them to files when it calls the post-renderer, and
// passes nothing. Helm 4 passes everything, and by itself refuses a chart that is empty.
//
// Where the calling helm cannot be read, the input is taken for an empty chart's: the
// policies of charts/cephferry refuse such files, too.
func (h *helmCall) rendersNothing(ctx context.Context) error {
	call, err := h.detect(ctx)
	if err != nil || call == nil || call.Command != "template" || call.OutputDir == "" {
		return nil
	}
	return fmt.Errorf("read manifests: standard input is empty, because Helm 3 writes the files of --output-dir before it calls the post-renderer: "+
		"the files in %q have not been post-rendered, so do not apply them; leave out --output-dir, and write the output to a file: helm template ... > manifests.yaml", call.OutputDir)
}

func (h *helmCall) namespace(ctx context.Context) (string, error) {
	const howTo = `pass the release's namespace: --namespace NAME, under helm --post-renderer-args --namespace=NAME`
	if h.options.namespace != "" {
		return h.options.namespace, nil
	}
	call, err := h.detect(ctx)
	if err != nil {
		return "", fmt.Errorf("%w; %s", err, howTo)
	}
	if call == nil {
		return "", fmt.Errorf("helm is not among the parent processes; %s", howTo)
	}
	// These go before the kubeconfig, which may then be missing.
	if given := cmp.Or(call.Connection.Namespace, h.getenv("HELM_NAMESPACE")); given != "" {
		return given, nil
	}
	namespace, _, err := call.Connection.ClientConfig(h.getenv).Namespace()
	if err != nil {
		return "", fmt.Errorf("read the namespace of helm's kubeconfig context: %w; %s", err, howTo)
	}
	return namespace, nil
}

// dryRun reports whether nothing may be created.
func (h *helmCall) dryRun(ctx context.Context) (bool, error) {
	if h.options.dryRunSet {
		return h.options.dryRun, nil
	}
	call, err := h.detect(ctx)
	if err != nil {
		return false, fmt.Errorf("determine whether this is a dry run: %w; pass --dry-run or --dry-run=false", err)
	}
	return call != nil && call.DryRun, nil
}

// clientConfig is helm's connection to the cluster, with our flags over it.
func (h *helmCall) clientConfig(ctx context.Context) (clientcmd.ClientConfig, error) {
	connection := helmcall.Connection{Kubeconfig: h.options.kubeconfig}
	if h.options.kubeconfig == "" {
		call, err := h.detect(ctx)
		if err != nil {
			return nil, fmt.Errorf("find helm's kubeconfig: %w; pass --kubeconfig", err)
		}
		if call != nil {
			connection = call.Connection
		}
	}
	if h.options.kubeContext != "" {
		connection.Context = h.options.kubeContext
	}
	return connection.ClientConfig(h.getenv), nil
}

// restConfig is how a client connects as helm does.
func (h *helmCall) restConfig(ctx context.Context) (*rest.Config, error) {
	config, err := h.clientConfig(ctx)
	if err != nil {
		return nil, err
	}
	connection, err := config.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes cluster: %w", err)
	}
	connection.Timeout = apiTimeout
	connection.UserAgent = "cephferry-postrender/" + version.String()
	return connection, nil
}

func (h *helmCall) client(ctx context.Context) (dynamic.Interface, error) {
	config, err := h.restConfig(ctx)
	if err != nil {
		return nil, err
	}
	return dynamic.NewForConfig(config)
}

// volumes lists the PersistentVolumes of the cluster.
func (h *helmCall) volumes(ctx context.Context) ([]corev1.PersistentVolume, error) {
	client, err := h.client(ctx)
	if err != nil {
		return nil, err
	}
	list, err := client.Resource(corev1.SchemeGroupVersion.WithResource("persistentvolumes")).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	var volumes corev1.PersistentVolumeList
	err = runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &volumes)
	return volumes.Items, err
}

func (h *helmCall) classes(ctx context.Context) ([]storagev1.StorageClass, error) {
	if len(h.options.storageClasses) > 0 {
		return storageclass.FromFiles(h.options.storageClasses...)(ctx)
	}
	client, err := h.client(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w; name a StorageClass file with --storage-class instead", err)
	}
	return storageclass.FromCluster(client)(ctx)
}
