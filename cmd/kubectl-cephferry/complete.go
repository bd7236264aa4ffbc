package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// completeLimit bounds what a person who has pressed Tab waits.
const completeLimit = 3 * time.Second

// completeClaims are the claims whose volumes this cluster shows: in the namespace of the
// connection by their names, and if --namespace was not given also the others. Whatever is
// wrong, there is nothing to offer.
func (o *options) completeClaims(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	c, err := o.cluster("")
	if err != nil {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(command.Context(), completeLimit)
	defer cancel()
	return claimsToOffer(ctx, c, c.namespace, *o.kubectl.Namespace != "", args), none
}

func claimsToOffer(ctx context.Context, api client.Reader, namespace string, onlyThere bool, args []string) []string {
	var list v1alpha1.MigratableVolumeList
	var options []client.ListOption
	if onlyThere {
		options = append(options, client.InNamespace(namespace))
	}
	if err := api.List(ctx, &list, options...); err != nil {
		// A member of an app team may read those of the own namespace only.
		if onlyThere || api.List(ctx, &list, client.InNamespace(namespace)) != nil {
			return nil
		}
	}
	named := map[string]bool{}
	for _, arg := range args {
		named[arg] = true
	}
	var all []string
	for _, volume := range list.Items {
		name := volume.Namespace + "/" + volume.Name
		if volume.Namespace == namespace && onlyThere {
			name = volume.Name
		}
		if !named[name] {
			all = append(all, name)
		}
	}
	return all
}

// completeContexts are those of the kubeconfig.
func (o *options) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return o.contexts(), cobra.ShellCompDirectiveNoFileComp
}
