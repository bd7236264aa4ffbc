package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/cephferry/cephferry/pkg/postrender"
)

// The values of --create.
const (
	createCluster = "cluster"
	createClient  = "client"
	createNever   = "never"
)

// Commands besides rendering.
const (
	// doctorCommand examines the machine.
	doctorCommand = "doctor"
	// listCommand shows what would be selected.
	listCommand = "list"
	// pathCommand prints the program's own path.
	pathCommand = "path"
)

var commands = []string{doctorCommand, listCommand, pathCommand}

type options struct {
	namespace      string
	storageClasses []string
	kubeconfig     string
	kubeContext    string
	create         string
	clusterName    string
	cephConf       string
	cephID         string
	cephKeyring    string
	dryRun         bool
	// dryRunSet means that --dry-run was given, either way, so that the calling
	// Helm is not asked.
	dryRunSet bool
	version   bool
	// selectors pick claims that have not the annotation.
	selectors []postrender.Selector
	// command is what a person has asked for instead of rendering; empty: render.
	command string
}

func newFlagSet(o *options) *pflag.FlagSet {
	flags := pflag.NewFlagSet("postrender", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {}
	flags.StringVarP(&o.namespace, "namespace", "n", "", "release `namespace`, for objects that do not name one; default: read from the calling helm's command line")
	flags.Func("select", "further claims to make migratable, as `KIND/NAME[:TEMPLATE][,class=CLASS][,labels=SELECTOR]` with wildcards; repeatable; an error if one matches nothing", func(text string) error {
		selector, err := postrender.ParseSelector(text)
		o.selectors = append(o.selectors, selector)
		return err
	})
	flags.StringArrayVar(&o.storageClasses, "storage-class", nil, "manifest `file` with StorageClasses; repeatable; default: read from the cluster")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `file`; default: the one that helm uses")
	flags.StringVar(&o.kubeContext, "kube-context", "", "kubeconfig `context`; default: the one that helm uses")
	flags.StringVar(&o.create, "create", createCluster, "`who` creates images and pairs: cluster (cephferry in the cluster), client (this process), or never (the pair is rendered, and its image must exist)")
	flags.StringVar(&o.clusterName, "cluster-name", "", "`name` of this cluster, as in the cephferry chart; the names of new images carry it; default: image names name no cluster")
	flags.StringVar(&o.cephConf, "ceph-conf", "", "Ceph configuration `file`; default: ceph-csi's config.json, read from the cluster")
	flags.StringVar(&o.cephID, "ceph-id", "", "Ceph `user`, without \"client.\"; default: admin with --ceph-conf or --ceph-keyring, otherwise the class's provisioner secret")
	flags.StringVar(&o.cephKeyring, "ceph-keyring", "", "keyring `file` of the Ceph user")
	flags.BoolVar(&o.dryRun, "dry-run", false, "render without creating anything; default: true for helm template and with helm's --dry-run")
	flags.BoolVar(&o.version, "version", false, "print the version and exit")
	return flags
}

func usage() string {
	return `Prepares annotated PersistentVolumeClaims for cephferry, or creates their images and
static PV/PVC pairs itself. Reads manifests on standard input and writes them to
standard output, as a Helm post-renderer:

  helm install db ./chart --post-renderer postrender

"postrender list" takes the same input and flags, and shows which claims it would select,
why, and which image each of them gets:

  helm template db ./chart | postrender list --namespace shop --select 'StatefulSet/*:data'

"postrender doctor" takes the same flags, reads no input, and checks whether this
machine has what the renderer needs.

"postrender path" prints the path of this program. Helm 3 needs it when postrender was
installed as a plugin, outside PATH:

  helm install db ./chart --post-renderer "$(helm cephferry path)"

Flags:
` + newFlagSet(&options{}).FlagUsages()
}

// parseFlags also returns options with an error: whom the error is for depends on the command.
func parseFlags(args []string) (options, error) {
	var o options
	flags := newFlagSet(&o)
	if err := flags.Parse(args); err != nil {
		if len(args) > 0 && slices.Contains(commands, args[0]) {
			o.command = args[0]
		}
		return o, err
	}
	switch {
	case flags.NArg() > 0 && slices.Contains(commands, flags.Arg(0)):
		o.command = flags.Arg(0)
		if flags.NArg() > 1 {
			return o, fmt.Errorf("unexpected argument %q after %s", flags.Arg(1), o.command)
		}
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q; manifests are read from standard input", flags.Arg(0))
	}
	switch o.create {
	case createClient, createNever:
	case createCluster:
		for _, name := range []string{"storage-class", "ceph-conf", "ceph-id", "ceph-keyring"} {
			if flags.Changed(name) {
				return o, fmt.Errorf("--%s: with --create %s the cluster finds the class and Ceph itself; leave the flag out, or pass --create %s", name, createCluster, createClient)
			}
		}
	default:
		return o, fmt.Errorf("--create %s: must be %s, %s or %s", o.create, createCluster, createClient, createNever)
	}
	if flags.Changed("cluster-name") {
		switch {
		case o.create == createCluster:
			return o, fmt.Errorf("--cluster-name: with --create %s the cluster knows its name; leave the flag out, or pass --create %s", createCluster, createClient)
		case o.create == createNever:
			return o, fmt.Errorf("--cluster-name: with --create %s postrender does not check whether an image carries its owner's name; leave the flag out, or pass --create %s", createNever, createClient)
		case o.clusterName == "":
			return o, errors.New("--cluster-name: is empty; leave the flag out, or pass the name")
		}
	}
	o.cephID = strings.TrimPrefix(o.cephID, "client.")
	o.dryRunSet = flags.Changed("dry-run")
	return o, nil
}
