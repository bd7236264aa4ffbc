package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/adopt"
	"github.com/cephferry/cephferry/pkg/provisioner"
)

type adoptOptions struct {
	*options
	class, save string
	yes         bool
	limit       time.Duration
}

func newAdopt(o *options) *cobra.Command {
	a := &adoptOptions{options: o}
	command := &cobra.Command{
		Use:   "adopt NAMESPACE/CLAIM...",
		Short: "Turn claims that ceph-csi provisioned into migratable pairs, without copying a byte",
		Long: `Turns claims whose volumes ceph-csi provisioned into migratable pairs. The images stay where
they are and are renamed; claims and PersistentVolumes are replaced. The command shows its plan,
asks once, and carries it out while the workloads are scaled to zero. It first saves the old
claim and volume to a file from which kubectl can restore them until the image is renamed. Nothing
is deleted before the reclaim policy Retain is set and read back. An interrupted run is repeated.

It talks only to the API server. The webhook must be running: it adopts the image.`,
		Example: `  kubectl cephferry adopt shop/data-db-0 --class migratable
  kubectl cephferry adopt shop/web-files`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if a.limit <= 0 {
				return fmt.Errorf("--timeout %s: must be more than zero", a.limit)
			}
			return a.run(command.Context(), args)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&a.class, "class", "", "cephferry `StorageClass` for the claims; default: annotations and no class")
	flags.StringVar(&a.save, "save", ".", "`directory` for the files from which kubectl can restore the claims")
	flags.BoolVar(&a.yes, "yes", false, "do not ask")
	flags.DurationVar(&a.limit, "timeout", 2*time.Minute, "`time` that each step may take")
	return command
}

func (a *adoptOptions) run(ctx context.Context, args []string) error {
	c, err := a.cluster("")
	if err != nil {
		return err
	}
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	parsed, err := a.readSettings(ctx, c, c.namespace)
	if err != nil {
		return err
	}
	if parsed.cluster == "" {
		return errors.New("the webhook's Deployment is missing: it must run, because it adopts the image")
	}
	adopter := &adopt.Adopter{
		API: c.Client, Files: adopt.Files{Dir: a.save, Cluster: parsed.cluster}, Class: a.class, Granted: provisioner.Granted,
		May: func(ctx context.Context, verb, resource, namespace string) (bool, error) {
			return may(ctx, c.Client, verb, resource, namespace)
		},
		Say: func(step string) { fmt.Fprintf(a.std.stdout, "%s  %s\n", time.Now().UTC().Format(time.TimeOnly), step) },
		Now: time.Now, Pause: pause, Limit: a.limit,
	}
	return a.adopt(ctx, adopter, eachOnce(claims))
}

// adopt decides about all claims before anything is done to one.
func (a *adoptOptions) adopt(ctx context.Context, adopter *adopt.Adopter, claims []claim) error {
	var plans []*adopt.Plan
	var refused []error
	todo := 0
	for _, name := range names(claims) {
		plan, err := adopter.Prepare(ctx, name)
		if err != nil {
			refused = append(refused, err)
			continue
		}
		plans = append(plans, plan)
		if plan.Step != adopt.Done {
			todo++
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("nothing was changed\n%w", errors.Join(refused...))
	}
	for _, plan := range plans {
		fmt.Fprintln(a.std.stdout, plan.Text())
	}
	if todo == 0 {
		return nil
	}
	if !a.yes {
		if err := a.confirm(claims); err != nil {
			return err
		}
	}
	for _, plan := range plans {
		if err := adopter.Run(ctx, plan); err != nil {
			return err
		}
		if plan.Step != adopt.Done {
			fmt.Fprintf(a.std.stdout, "From now on its manifest must say: %s\n", plan.Manifest())
		}
	}
	return nil
}

// confirm asks for the claim; of several, for their number.
func (a *adoptOptions) confirm(claims []claim) error {
	name, question := claims[0].String(), "the claim, %s,"
	if len(claims) > 1 {
		name, question = fmt.Sprintf("%d claims", len(claims)), "how many they are, %s,"
	}
	return askFor(bufio.NewReader(a.std.stdin), a.std.stderr, name, fmt.Sprintf(question, name))
}

// may asks the API server whether the person may do something.
func may(ctx context.Context, api client.Client, verb, resource, namespace string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Namespace: namespace},
	}}
	if err := api.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether you may %s %s: %w", verb, resource, err)
	}
	return review.Status.Allowed, nil
}
