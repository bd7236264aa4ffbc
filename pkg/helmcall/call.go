package helmcall

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/pflag"
)

// Call is one run of helm, as its command line has it.
type Call struct {
	// Command is install, upgrade, template or another of Helm's commands.
	Command string
	// DryRun is true for a run that must not change anything: helm template, and
	// --dry-run.
	DryRun bool
	// OutputDir is the folder that helm template writes files into; empty means that
	// it writes to its standard output.
	OutputDir string
	// Connection is how helm reaches the cluster.
	Connection Connection
}

// Connection has Helm's global flags for the cluster; empty means not given.
type Connection struct {
	Namespace             string
	Kubeconfig            string
	Context               string
	Server                string
	Token                 string
	CAFile                string
	TLSServerName         string
	InsecureSkipTLSVerify bool
	ImpersonateUser       string
	ImpersonateGroups     []string
}

// helmName matches the names that helm binaries go by, such as helm, helm3,
// helm-v4.3.1 and helm.exe, and not helmfile.
var helmName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^helm[-_.]?(v?\d[\w.+-]*)?$`)
})

// IsHelm reports whether argv, a command line, runs helm.
func IsHelm(argv []string) bool {
	if len(argv) == 0 {
		return false
	}
	// A command line read on another system than it was made for keeps its
	// separators.
	base := argv[0][strings.LastIndexAny(argv[0], `/\`)+1:]
	return helmName().MatchString(strings.TrimSuffix(strings.ToLower(base), ".exe"))
}

// The flags of helm install, upgrade and template that take a value, in Helm 3
// or Helm 4, also those that helm --help does not list: deprecated ones, and
// klog's. All must be known: "--set x=1 -n shop" and "--atomic -n shop" can only
// be told apart by knowing which flag takes what follows it.
var valueFlags = []string{
	"api-versions", "burst-limit", "ca-file", "cert-file", "color", "colour",
	"content-cache", "description", "history-max", "key-file", "keyring",
	"kube-apiserver", "kube-as-user", "kube-ca-file", "kube-context",
	"kube-tls-server-name", "kube-token", "kube-version", "kubeconfig", "labels",
	"log-backtrace-at", "log-dir", "log-file", "log-file-max-size",
	"name-template", "namespace", "output", "output-dir", "password",
	"post-renderer", "post-renderer-args", "qps", "registry-config", "repo",
	"repository-cache", "repository-config", "set", "set-file", "set-json",
	"set-literal", "set-string", "show-only", "stderrthreshold", "timeout",
	"username", "v", "values", "version", "vmodule",
}

// The flags that take no value, or take one only behind "=".
var switchFlags = []string{
	"add-dir-header", "alsologtostderr", "atomic", "cleanup-on-fail",
	"create-namespace", "debug", "dependency-update", "devel",
	"disable-openapi-validation", "dry-run", "enable-dns", "force",
	"force-conflicts", "force-replace", "generate-name", "help", "hide-notes",
	"hide-secret", "include-crds", "insecure-skip-tls-verify", "install",
	"is-upgrade", "kube-insecure-skip-tls-verify",
	"legacy-stderr-threshold-behavior", "logtostderr", "no-hooks", "one-output",
	"pass-credentials", "plain-http", "recreate-pods", "release-name",
	"render-subchart-notes", "replace", "reset-then-reuse-values", "reset-values",
	"reuse-values",
	"rollback-on-failure", "server-side", "skip-crds", "skip-headers",
	"skip-log-headers", "skip-schema-validation", "skip-tests", "take-ownership",
	"validate", "verify", "wait", "wait-for-jobs",
}

var shorthands = map[string]string{
	"api-versions": "a", "values": "f", "generate-name": "g", "help": "h",
	"install": "i", "labels": "l", "namespace": "n", "output": "o",
	"show-only": "s", "v": "v",
}

// notDry are the values of --dry-run with which helm changes things: the word of
// Helm 3 and 4, and the spellings of false that Helm 4 takes. Not "unset", which
// is Helm 4's word for the flag without a value.
var notDry = []string{"", "none", "false", "f", "0"}

// Parse reads helm's command line; argv[0] is the program. A flag that it does
// not know is an error, because what follows it cannot be understood then.
func Parse(argv []string) (Call, error) {
	flags := pflag.NewFlagSet("helm", pflag.ContinueOnError)
	flags.Usage = func() {}
	values := map[string]*string{}
	for _, name := range valueFlags {
		values[name] = flags.StringP(name, shorthands[name], "", "")
	}
	for _, name := range switchFlags {
		values[name] = flags.StringP(name, shorthands[name], "", "")
		flags.Lookup(name).NoOptDefVal = "true"
	}
	groups := flags.StringArray("kube-as-group", nil, "")
	if len(argv) == 0 {
		return Call{}, fmt.Errorf("read the helm command line: it is empty")
	}
	if err := flags.Parse(argv[1:]); err != nil {
		return Call{}, fmt.Errorf("read the helm command line: %w", err)
	}
	insecure, _ := strconv.ParseBool(*values["kube-insecure-skip-tls-verify"]) // helm refused anything else
	call := Call{
		Command:   flags.Arg(0),
		OutputDir: *values["output-dir"],
		Connection: Connection{
			Namespace:             *values["namespace"],
			Kubeconfig:            *values["kubeconfig"],
			Context:               *values["kube-context"],
			Server:                *values["kube-apiserver"],
			Token:                 *values["kube-token"],
			CAFile:                *values["kube-ca-file"],
			TLSServerName:         *values["kube-tls-server-name"],
			InsecureSkipTLSVerify: insecure,
			ImpersonateUser:       *values["kube-as-user"],
			ImpersonateGroups:     *groups,
		},
	}
	dry := strings.ToLower(*values["dry-run"])
	call.DryRun = call.Command == "template" || !slices.Contains(notDry, dry)
	return call, nil
}
