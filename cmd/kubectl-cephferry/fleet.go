package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

type fleetOptions struct {
	*options
	output outputFormat
}

func newFleet(o *options) *cobra.Command {
	f := &fleetOptions{options: o}
	command := &cobra.Command{
		Use:   "fleet [CONTEXT...]",
		Short: "Count the volumes of several clusters",
		Long: `Counts the volumes that several clusters show in their objects: the clusters of the named
contexts, or of all contexts of the kubeconfig. A cluster that does not answer is reported,
and the exit code is 3.`,
		Example:           `  kubectl cephferry fleet east west`,
		ValidArgsFunction: o.completeContexts,
		RunE:              func(command *cobra.Command, args []string) error { return f.run(command.Context(), args) },
	}
	command.Flags().StringVarP((*string)(&f.output), "output", "o", "", "`format`: json or yaml; default: a table")
	return command
}

// contexts are those of the kubeconfig.
func (o *options) contexts() []string {
	raw, err := o.kubectl.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil
	}
	var names []string
	for name := range raw.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// fleetRow is one cluster for people and scripts.
type fleetRow struct {
	Context string `json:"context"`
	Cluster string `json:"cluster,omitempty"`
	UID     string `json:"uid,omitempty"`
	Version string `json:"version,omitempty"`
	Nodes   int32  `json:"nodes"`
	Volumes int    `json:"volumes"`
	Held    int    `json:"held"`
	Free    int    `json:"free"`
	// Elsewhere are those that another cluster owns.
	Elsewhere int        `json:"elsewhere"`
	Fencing   int        `json:"fencing"`
	Unknown   int        `json:"unknown"`
	Waiting   int        `json:"waiting"`
	LastSeen  *time.Time `json:"lastSeen,omitempty"`
	// Error is why that is not known.
	Error string `json:"error,omitempty"`
}

func (f *fleetOptions) run(ctx context.Context, names []string) error {
	if err := f.output.check(); err != nil {
		return err
	}
	if len(names) == 0 {
		if names = f.contexts(); len(names) == 0 {
			return fmt.Errorf("the kubeconfig has no context; name one with --kubeconfig")
		}
	}
	clusters, errs := make([]*cluster, len(names)), make([]error, len(names))
	for i, name := range names {
		clusters[i], errs[i] = f.cluster(name)
	}
	rows := make([]fleetRow, len(names))
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() error {
			err := errs[i]
			if err == nil {
				rows[i], err = countVolumes(ctx, clusters[i].Client)
			}
			rows[i].Context = name
			if err != nil {
				rows[i].Error = oneLine(err.Error())
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in the rows
	return f.print(rows, time.Now())
}

// countVolumes counts what a cluster shows.
func countVolumes(ctx context.Context, api client.Reader) (fleetRow, error) {
	this, err := registeredHere(ctx, api)
	if err != nil {
		return fleetRow{}, err
	}
	row := fleetRow{Cluster: this.Name, UID: this.UID, Version: this.Version, Nodes: this.NodeCount}
	if this.LastSeen != nil {
		row.LastSeen = &this.LastSeen.Time
	}
	var list v1alpha1.MigratableVolumeList
	if err := api.List(ctx, &list); err != nil {
		return row, fmt.Errorf("list MigratableVolumes: %w", noObjects(err))
	}
	row.Volumes = len(list.Items)
	for _, volume := range list.Items {
		status := volume.Status
		switch {
		case whyUnknown(&volume) != "":
			row.Unknown++
		case status.State == v1alpha1.VolumeFree:
			row.Free++
		case status.State == v1alpha1.VolumeFencing:
			row.Fencing++
		case status.Owner != nil && status.Owner.ThisCluster:
			row.Held++
		default:
			row.Elsewhere++
		}
		if status.Waiting != "" || meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionWaiting) {
			row.Waiting++
		}
	}
	return row, nil
}

// print shows the rows. The error is the exit code, where one is not known.
func (f *fleetOptions) print(rows []fleetRow, now time.Time) error {
	var code error
	if slices.ContainsFunc(rows, func(row fleetRow) bool { return row.Error != "" || row.Unknown > 0 }) {
		code = unknown(errShown)
	}
	if f.output != "" {
		document, err := f.output.encode(struct {
			Clusters []fleetRow `json:"clusters"`
		}{rows})
		if err == nil {
			_, err = f.std.stdout.Write(document)
		}
		if err != nil {
			return err
		}
		return code
	}
	table := tabwriter.NewWriter(f.std.stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "CONTEXT\tCLUSTER\tVERSION\tNODES\tVOLUMES\tHELD\tFREE\tELSEWHERE\tFENCING\tUNKNOWN\tWAITING\tLAST SEEN")
	for _, row := range rows {
		if row.Error != "" {
			fmt.Fprintf(table, "%s\tcannot know: %s\n", row.Context, row.Error)
			continue
		}
		seen := "-"
		if row.LastSeen != nil {
			seen = duration.HumanDuration(max(0, now.Sub(*row.LastSeen))) + " ago"
		}
		counts := strings.Trim(strings.Join(strings.Fields(fmt.Sprint([]int{int(row.Nodes), row.Volumes, row.Held, row.Free, row.Elsewhere, row.Fencing, row.Unknown, row.Waiting})), "\t"), "[]")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", row.Context, orDash(row.Cluster), orDash(row.Version), counts, seen)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return code
}
