package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

type clustersOptions struct {
	*options
	output outputFormat
}

func newClusters(o *options) *cobra.Command {
	c := &clustersOptions{options: o}
	command := &cobra.Command{
		Use:   "clusters",
		Short: "List the registered clusters that share this one's pools",
		Long: `Lists the clusters that have guarded volumes in the same pools as this cluster, as they
registered themselves: their webhook's version, their nodes, and when they last wrote the
registration. A live cluster writes it once a minute. The command reads this cluster's FerryCluster
objects; with --direct it queries Ceph. A registration that this version cannot read is reported,
and the exit code is 3.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if c.direct {
				return directClusters{c}.run(command.Context())
			}
			printer, err := c.output.printer()
			if err != nil {
				return err
			}
			connected, err := c.cluster("")
			if err != nil {
				return err
			}
			return c.show(command.Context(), connected.Client, printer, time.Now())
		},
	}
	c.output.addTo(command.Flags())
	return command
}

// show shows the objects. The error is the exit code, where one cannot be read.
func (c *clustersOptions) show(ctx context.Context, api client.Reader, printer printers.ResourcePrinter, now time.Time) error {
	var list v1alpha1.FerryClusterList
	if err := api.List(ctx, &list); err != nil {
		return fmt.Errorf("list FerryClusters: %w", noObjects(err))
	}
	var err error
	if printer != nil {
		err = c.output.printList(printer, &list, "FerryCluster", c.std.stdout)
	} else {
		err = c.objectTable(list.Items, now)
	}
	if err != nil {
		return err
	}
	for _, one := range list.Items {
		if meta.IsStatusConditionFalse(one.Status.Conditions, v1alpha1.ConditionReadable) {
			return unknown(errShown)
		}
	}
	return nil
}

func (c *clustersOptions) objectTable(clusters []v1alpha1.FerryCluster, now time.Time) error {
	if len(clusters) == 0 {
		fmt.Fprintln(c.std.stderr, "No cluster has registered itself yet in the pools of this cluster's volumes.")
		return nil
	}
	table := tabwriter.NewWriter(c.std.stdout, 0, 8, 3, ' ', 0)
	head := "NAME\tVERSION\tNODES\tOWNS\tLAST SEEN"
	if c.output == wide {
		head += "\tUID"
	}
	fmt.Fprintln(table, head)
	for _, one := range clusters {
		status, name := one.Status, one.Status.Name
		if name == "" {
			name = one.Name
		}
		if status.ThisCluster {
			name += " (this cluster)"
		}
		if readable := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReadable); readable != nil && readable.Status == "False" {
			fmt.Fprintf(table, "%s\tcannot know: %s\n", name, oneLine(readable.Message))
			continue
		}
		seen := "-"
		if status.LastSeen != nil {
			seen = duration.HumanDuration(max(0, now.Sub(status.LastSeen.Time))) + " ago"
		}
		line := fmt.Sprintf("%s\t%s\t%d\t%d\t%s", name, orDash(status.Version), status.NodeCount, status.VolumesOwned, seen)
		if c.output == wide {
			line += "\t" + status.UID
		}
		fmt.Fprintln(table, line)
	}
	return table.Flush()
}
