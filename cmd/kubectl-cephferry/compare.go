package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/compare"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/volumes"
)

type compareOptions struct {
	*options
	from, to      string
	allNamespaces bool
	output        outputFormat
}

func newCompare(o *options) *cobra.Command {
	c := &compareOptions{options: o}
	command := &cobra.Command{
		Use:   "compare [NAMESPACE/CLAIM...] --from-context CONTEXT --to-context CONTEXT",
		Short: "Find out whether two clusters mean the same images",
		Long: `Compares how two clusters describe their volumes: the Ceph, pool, rados namespace, file system
and subvolume group of the StorageClasses that both have, and for each claim of the first
cluster its image there and the one that it has, or would get, in the second. This finds a
second, empty volume before it is created. Nothing is changed.

It reads PersistentVolumes, StorageClasses, claims and ceph-csi's ConfigMap in both clusters. With
--direct it also queries Ceph, as each cluster reaches it, for the fsid, pool ids and
images. The exit code is 2 if something differs, and 3 if something cannot be determined.`,
		Example: `  kubectl cephferry compare -n shop --from-context east --to-context west
  kubectl cephferry compare shop/data-db-0 --direct --from-context east --to-context west`,
		RunE: func(command *cobra.Command, args []string) error { return c.run(command.Context(), args) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&c.from, "from-context", "", "`context` of the cluster that has the volumes")
	flags.StringVar(&c.to, "to-context", "", "`context` of the cluster that is to get them")
	flags.BoolVarP(&c.allNamespaces, "all-namespaces", "A", false, "claims of all namespaces")
	flags.StringVarP((*string)(&c.output), "output", "o", "", "`format`: json or yaml; default: a table")
	for _, name := range []string{"from-context", "to-context"} {
		if err := command.RegisterFlagCompletionFunc(name, o.completeContexts); err != nil {
			panic(err) // there is no such flag
		}
	}
	return command
}

func (c *compareOptions) run(ctx context.Context, args []string) error {
	switch {
	case c.from == "" || c.to == "":
		return errors.New("name both clusters with --from-context and --to-context")
	case c.allNamespaces && len(args) > 0:
		return errors.New("--all-namespaces: name claims, or take all of them")
	case c.cephByFlags():
		return errors.New("--ceph-conf, --ceph-id and --ceph-keyring: compare asks Ceph as each cluster reaches it; leave them out")
	}
	if err := c.output.check(); err != nil {
		return err
	}
	from, err := c.end(ctx, c.from)
	if err != nil {
		return err
	}
	defer from.close()
	to, err := c.end(ctx, c.to)
	if err != nil {
		return err
	}
	defer to.close()
	claims, err := claimArgs(args, from.namespace)
	if err != nil {
		return err
	}
	return c.compare(ctx, from.end, to.end, claims, from.namespace)
}

// compare compares claims, or those of the namespace. The error is the exit code.
func (c *compareOptions) compare(ctx context.Context, from, to end, claims []claim, namespace string) error {
	if c.allNamespaces {
		namespace = ""
	}
	here, wanted, err := from.source(ctx, claims, namespace)
	if err != nil {
		return fmt.Errorf("context %s: %w", from.name, err)
	}
	there, err := to.target(ctx, wanted)
	if err != nil {
		return fmt.Errorf("context %s: %w", to.name, err)
	}
	findings := compare.Compare(here, there)
	if len(claims) > 0 {
		// Who names one wants to move it.
		for i := range findings {
			if findings[i].Verdict == compare.Note {
				findings[i].Verdict = compare.Differs
			}
		}
	}
	if err := c.print(findings); err != nil {
		return err
	}
	switch compare.Worst(findings) {
	case compare.Differs:
		return refuse(errShown)
	case compare.Unknown:
		return unknown(errShown)
	case compare.Same, compare.Note:
		return nil
	}
	return unknown(errShown)
}

func (c *compareOptions) print(findings []compare.Finding) error {
	if c.output != "" {
		document, err := c.output.encode(struct {
			Findings []compare.Finding `json:"findings"`
		}{findings})
		if err == nil {
			_, err = c.std.stdout.Write(document)
		}
		return err
	}
	if len(findings) == 0 {
		fmt.Fprintln(c.std.stderr, "There is nothing to compare: no StorageClass of ceph-csi's that both clusters have, and no claim with a volume.")
		return nil
	}
	colours := map[compare.Verdict]string{compare.Same: green, compare.Differs: red, compare.Unknown: amber, compare.Note: plain}
	table := tabwriter.NewWriter(c.std.stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintf(table, "%s\tWHAT\tDETAIL\n", c.std.paint(plain, "VERDICT"))
	for _, finding := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.std.paint(colours[finding.Verdict], string(finding.Verdict)), finding.What, oneLine(finding.Detail))
	}
	return table.Flush()
}

// end is one of the clusters that are compared.
type end struct {
	name, uid string
	api       client.Client
	finder    volumes.Finder
	// entry is ceph-csi's configuration; storages are nil if Ceph is not asked.
	entry    func(ctx context.Context, clusterID string) (csiconfig.Entry, error)
	storages inventory.Storages
}

// connectedEnd is an end that has connections.
type connectedEnd struct {
	end
	namespace string
	close     func()
}

func (c *compareOptions) end(ctx context.Context, context string) (connectedEnd, error) {
	api, err := c.cluster(context)
	if err != nil {
		return connectedEnd{}, err
	}
	parsed, err := c.readSettings(ctx, api, api.namespace)
	if err != nil {
		return connectedEnd{}, api.inContext(err)
	}
	var system corev1.Namespace
	if err := api.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return connectedEnd{}, api.inContext(fmt.Errorf("read namespace %s, whose uid is the cluster's: %w", metav1.NamespaceSystem, err))
	}
	storages := c.newStorages(api, parsed)
	all := connectedEnd{namespace: api.namespace, close: func() { _ = storages.Close() }, end: end{
		name: context, uid: string(system.UID), api: api.Client, entry: storages.Entry,
		finder: volumes.Finder{Cache: api, API: api, Scope: parsed.scope},
	}}
	if c.direct {
		all.storages = storages
	}
	return all, nil
}
