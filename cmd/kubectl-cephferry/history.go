package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

func newHistory(o *options) *cobra.Command {
	var image string
	command := &cobra.Command{
		Use:   "history NAMESPACE/CLAIM",
		Short: "Show the latest changes of a volume's owner",
		Long: `Shows the latest changes of a volume's owner, newest last, from this cluster's MigratableVolume
object. With --direct they come from the record in Ceph, which also has the addresses
that were fenced. With --image and --ceph-conf no Kubernetes cluster is needed.`,
		Example: `  kubectl cephferry history shop/data-db-0
  kubectl cephferry history --image replicapool/shop.data-db-0 --ceph-conf /etc/ceph/ceph.conf`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeClaims,
		RunE: func(command *cobra.Command, args []string) error {
			if (image == "") == (len(args) == 0) {
				return errors.New("name one claim, or one image with --image")
			}
			if o.direct || image != "" {
				return o.history(command.Context(), args, image)
			}
			return o.shownHistory(command.Context(), args[0])
		},
	}
	command.Flags().StringVar(&image, "image", "", "`pool/name` or pool/namespace/name of an image, instead of a claim; queries Ceph directly")
	return command
}

// shownHistory is what this cluster shows of the record.
func (o *options) shownHistory(ctx context.Context, arg string) error {
	c, err := o.cluster("")
	if err != nil {
		return err
	}
	claims, err := claimArgs([]string{arg}, c.namespace)
	if err != nil {
		return err
	}
	shown := &shownVolumes{api: c.Client, named: claims}
	list, err := shown.list(ctx)
	if err != nil {
		return err
	}
	return o.printShownHistory(&list.Items[0])
}

func (o *options) printShownHistory(volume *v1alpha1.MigratableVolume) error {
	out, status := o.std.stdout, volume.Status
	state := "nobody owns it"
	switch {
	case status.Owner == nil:
	case status.Takeover != nil:
		state = fmt.Sprintf("cluster %s owns it; %s has been taking it for cluster %s since %s",
			status.Owner.Name, status.Takeover.By, status.Takeover.Cluster, status.Takeover.Since.UTC().Format(time.RFC3339))
	default:
		state = fmt.Sprintf("cluster %s owns it, claim %s/%s", status.Owner.Name, status.Owner.Namespace, status.Owner.Claim)
		if status.Owner.Since != nil {
			state += ", since " + status.Owner.Since.UTC().Format(time.RFC3339)
		}
	}
	why := whyUnknown(volume)
	if why != "" {
		state = why
	}
	fmt.Fprintf(out, "claim %s (image %s): %s\n", client.ObjectKeyFromObject(volume), orDash(status.Image), state)
	if len(status.History) > 0 {
		table := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
		fmt.Fprintln(table, "TIME\tEVENT\tCLUSTER\tFROM\tBY")
		for _, change := range status.History {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", change.At.UTC().Format(time.RFC3339), change.Event, change.Cluster, orDash(change.From), orDash(change.By))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if why != "" {
		return unknown(errShown)
	}
	return nil
}
