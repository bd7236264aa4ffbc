package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cephferry/cephferry/pkg/version"
)

// newRoot is the whole command.
func newRoot(std streams) *cobra.Command {
	o := &options{std: std}
	root := &cobra.Command{
		Use:   "kubectl-cephferry",
		Short: "Shows who owns migratable volumes, moves them, and takes them from a dead cluster",
		Long: `Shows who owns migratable volumes, moves workloads between clusters, and takes volumes from
a dead cluster.

It reads and writes objects of the cluster's API server. With --direct it queries Ceph itself
and needs neither the webhook nor its objects; unfence, release, import, rekey and restore
always do. That requires a build with Ceph's libraries, or --in-cluster, which runs the
command as a pod of the webhook's image. It then reads the webhook's settings from its
Deployment; flags of the same names take precedence.

The exit code is 1 if something failed, 2 if the command was refused and nothing was changed,
and 3 if something could not be determined.`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl cephferry"},
		Version:           version.String(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.PersistentPreRunE = func(command *cobra.Command, args []string) error {
		if !o.inCluster {
			return nil
		}
		return o.inPod(command, args)
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(std.stdin)
	root.SetOut(std.stdout)
	root.SetErr(std.stderr)
	o.addFlags(root.PersistentFlags())
	root.AddCommand(newStatus(o), newClusters(o), newFleet(o), newHistory(o), newMove(o), newFailover(o),
		newUnfence(o), newRelease(o), newRekey(o), newAdopt(o), newExport(o), newImport(o), newRestore(o), newCompare(o),
		newDashboard(o), newCheck(o))
	if err := root.RegisterFlagCompletionFunc("context", o.completeContexts); err != nil {
		panic(err) // there is no such flag
	}
	return root
}

// claimArgs are the arguments NAMESPACE/CLAIM, or CLAIM in the namespace of the
// connection.
func claimArgs(args []string, fallback string) ([]claim, error) {
	var all []claim
	for _, arg := range args {
		namespace, name, ok := strings.Cut(arg, "/")
		if !ok {
			namespace, name = fallback, arg
		}
		if namespace == "" || name == "" || strings.Contains(name, "/") {
			return nil, fmt.Errorf("%q is not a claim: NAMESPACE/CLAIM", arg)
		}
		all = append(all, claim{namespace, name})
	}
	return all, nil
}

// claim names a PVC.
type claim struct{ namespace, name string }

func (c claim) String() string { return c.namespace + "/" + c.name }
