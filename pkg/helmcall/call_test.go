package helmcall_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/helmcall"
)

func TestIsHelm(t *testing.T) {
	tests := map[string]bool{
		"helm": true, "helm3": true, "helm4": true, "helm3.22": true, "helm-3": true, "helm_3": true,
		"helm-v3.22.0": true, "helm-v4.0.0-rc.1": true, "helm-v3.22.0+build.1": true,
		"/usr/local/bin/helm": true, "./helm": true, "../bin/helm3": true, "/opt/helm-v3.22.0": true,
		"helm.exe": true, "HELM.EXE": true, `C:\Program Files\helm\helm.exe`: true, `C:/tools/helm3.exe`: true,
		"helmfile": false, "helmsman": false, "helm-docs": false, "helm-secrets": false, "helmwave": false,
		"kubectl": false, "/usr/local/bin/helm/kubectl": false, "xhelm": false, "sh": false, "": false,
		"helm install": false, "/opt/helm/": false,
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			if got := helmcall.IsHelm([]string{name, "install"}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	if helmcall.IsHelm(nil) {
		t.Error("a process without a command line is helm")
	}
	if helmcall.IsHelm([]string{"sh", "helm"}) {
		t.Error("a process with helm among the arguments is helm")
	}
}

func TestParse(t *testing.T) {
	in := func(namespace string) helmcall.Connection { return helmcall.Connection{Namespace: namespace} }
	tests := map[string]struct {
		line string
		want helmcall.Call
		err  string
	}{
		"helm alone":                             {line: "helm"},
		"an install":                             {line: "helm install db ./db", want: helmcall.Call{Command: "install"}},
		"-n x":                                   {line: "helm install db ./db -n shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"-nx":                                    {line: "helm install db ./db -nshop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"-n=x":                                   {line: "helm install db ./db -n=shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"--namespace x":                          {line: "helm install db ./db --namespace shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"--namespace=x":                          {line: "helm install db ./db --namespace=shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"the last namespace wins":                {line: "helm install -n a db --namespace b ./db -nc", want: helmcall.Call{Command: "install", Connection: in("c")}},
		"global flags before the command":        {line: "helm --debug -n shop --kube-context east upgrade db ./db", want: helmcall.Call{Command: "upgrade", Connection: helmcall.Connection{Namespace: "shop", Context: "east"}}},
		"shorthands in one word":                 {line: "helm upgrade -in shop db ./db", want: helmcall.Call{Command: "upgrade", Connection: in("shop")}},
		"a flag that looks like the namespace's": {line: "helm install db ./db --post-renderer postrender --post-renderer-args -n --post-renderer-args foo", want: helmcall.Call{Command: "install"}},
		"the renderer's own namespace":           {line: "helm install db ./db --post-renderer-args --namespace=foo -n shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"a value before the namespace":           {line: "helm install db ./db --set a=b -n shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"a value that looks like the namespace":  {line: "helm install db ./db --set -n --description -nfoo", want: helmcall.Call{Command: "install"}},
		"a value that is empty":                  {line: "helm install db ./db --set  -n shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"a switch before the namespace":          {line: "helm install db ./db --wait --atomic -n shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"a switch with a value":                  {line: "helm install db ./db --wait=legacy --server-side=auto --force-conflicts=false -n shop", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"what stands behind --":                  {line: "helm install -n shop -- db ./db -n other --dry-run", want: helmcall.Call{Command: "install", Connection: in("shop")}},
		"klog's flags":                           {line: "helm upgrade -v 6 --v=6 --vmodule x=1 --logtostderr -n shop db ./db", want: helmcall.Call{Command: "upgrade", Connection: in("shop")}},
		"deprecated flags":                       {line: "helm upgrade --recreate-pods -n shop db ./db", want: helmcall.Call{Command: "upgrade", Connection: in("shop")}},
		"every flag of the connection": {
			line: "helm install db ./db -n shop --kubeconfig k --kube-context c --kube-apiserver https://s --kube-token t --kube-ca-file ca --kube-tls-server-name n --kube-insecure-skip-tls-verify --kube-as-user u --kube-as-group g --kube-as-group=h",
			want: helmcall.Call{Command: "install", Connection: helmcall.Connection{
				Namespace: "shop", Kubeconfig: "k", Context: "c", Server: "https://s", Token: "t", CAFile: "ca", TLSServerName: "n",
				InsecureSkipTLSVerify: true, ImpersonateUser: "u", ImpersonateGroups: []string{"g", "h"},
			}},
		},
		"verify the server, said twice":      {line: "helm install db ./db --kube-insecure-skip-tls-verify --kube-insecure-skip-tls-verify=false", want: helmcall.Call{Command: "install"}},
		"do not verify the server, as a 1":   {line: "helm install db ./db --kube-insecure-skip-tls-verify=1", want: helmcall.Call{Command: "install", Connection: helmcall.Connection{InsecureSkipTLSVerify: true}}},
		"helm template":                      {line: "helm template db ./db", want: helmcall.Call{Command: "template", DryRun: true}},
		"helm template without a dry run":    {line: "helm template db ./db --dry-run=none", want: helmcall.Call{Command: "template", DryRun: true}},
		"--output-dir x":                     {line: "helm template db ./db --output-dir out", want: helmcall.Call{Command: "template", DryRun: true, OutputDir: "out"}},
		"--output-dir=x":                     {line: "helm template db ./db --output-dir=out -n shop", want: helmcall.Call{Command: "template", DryRun: true, OutputDir: "out", Connection: in("shop")}},
		"--dry-run":                          {line: "helm install db ./db --dry-run", want: helmcall.Call{Command: "install", DryRun: true}},
		"--dry-run, and a word behind it":    {line: "helm install --dry-run db ./db -n shop", want: helmcall.Call{Command: "install", DryRun: true, Connection: in("shop")}},
		"--dry-run=client":                   {line: "helm install db ./db --dry-run=client", want: helmcall.Call{Command: "install", DryRun: true}},
		"--dry-run=server":                   {line: "helm upgrade db ./db --dry-run=server", want: helmcall.Call{Command: "upgrade", DryRun: true}},
		"--dry-run=true":                     {line: "helm install db ./db --dry-run=true", want: helmcall.Call{Command: "install", DryRun: true}},
		"--dry-run=unset, a word of Helm 4":  {line: "helm install db ./db --dry-run=unset", want: helmcall.Call{Command: "install", DryRun: true}},
		"--dry-run=none":                     {line: "helm install db ./db --dry-run=none", want: helmcall.Call{Command: "install"}},
		"--dry-run=false":                    {line: "helm install db ./db --dry-run=false", want: helmcall.Call{Command: "install"}},
		"--dry-run=False":                    {line: "helm install db ./db --dry-run=False", want: helmcall.Call{Command: "install"}},
		"--dry-run=0":                        {line: "helm install db ./db --dry-run=0", want: helmcall.Call{Command: "install"}},
		"the last dry run wins":              {line: "helm install db ./db --dry-run=none --dry-run", want: helmcall.Call{Command: "install", DryRun: true}},
		"the last dry run wins, and is none": {line: "helm install db ./db --dry-run --dry-run=none", want: helmcall.Call{Command: "install"}},
		"a release that is called template":  {line: "helm install template ./db", want: helmcall.Call{Command: "install"}},

		"an unknown flag":           {line: "helm install db ./db --warp 9 -n shop", err: "read the helm command line: unknown flag: --warp"},
		"an unknown shorthand":      {line: "helm install db ./db -z -n shop", err: "read the helm command line: unknown shorthand flag: 'z' in -z"},
		"a value that is missing":   {line: "helm install db ./db -n", err: "read the helm command line: flag needs an argument: 'n' in -n"},
		"no command line to be had": {line: "-", err: "read the helm command line: it is empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			argv := strings.Split(test.line, " ")
			if test.line == "-" {
				argv = nil
			}
			got, err := helmcall.Parse(argv)
			if diff := cmp.Diff(test.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got, emptyGroups); diff != "" {
				t.Errorf("call (-want +got):\n%s", diff)
			}
		})
	}
}

// emptyGroups takes no groups and an empty list of groups for the same.
var emptyGroups = cmp.Transformer("groups", func(groups []string) string { return strings.Join(groups, ",") })

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
