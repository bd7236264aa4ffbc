package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/rekey"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// rebindLimit is how long Kubernetes may take to delete a volume, or to bind one.
const rebindLimit = time.Minute

type rekeyOptions struct {
	*releaseOptions
	all  bool
	save string
}

func newRekey(o *options) *cobra.Command {
	r := &rekeyOptions{releaseOptions: &releaseOptions{options: o}}
	command := &cobra.Command{
		Use:   "rekey NAMESPACE/CLAIM... | --all",
		Short: "Give volumes that were made without a key the key of this cluster",
		Long: `Gives volumes that were made without a key the key of this cluster, so that their images
carry their owner's name. The claim and its data stay; the PersistentVolume is replaced by one
with another volumeHandle, while nothing here uses it. Then do the same in every other
cluster that has the volume. An interrupted run is repeated.`,
		Example: `  kubectl cephferry rekey shop/data-db-0
  kubectl cephferry rekey --namespace shop --all`,
		RunE: func(command *cobra.Command, args []string) error {
			if r.all == (len(args) > 0) {
				return errors.New("name claims, or those of a namespace with --all")
			}
			return r.run(command.Context(), args)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.BoolVar(&r.all, "all", false, "all volumes in the namespace without a key, except those whose claims opt out")
	flags.StringVar(&r.save, "save", ".", "`directory` for a copy of each PersistentVolume while it is replaced")
	r.addProof(flags)
	return command
}

func (r *rekeyOptions) run(ctx context.Context, args []string) error {
	c, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	rekeyer, err := r.rekeyer(ctx, c)
	if err != nil {
		return err
	}
	if r.all {
		names, err := rekeyer.Unkeyed(ctx, c.namespace)
		if err != nil {
			return err
		}
		for _, name := range names {
			claims = append(claims, claim{c.namespace, name})
		}
	}
	var failed []error
	for _, claim := range claims {
		name := "volume " + claim.String()
		rekeyer.Wait = r.wait(name)
		err := rekeyer.Rekey(ctx, claim.namespace, claim.name, func(step string) { fmt.Fprintf(r.std.stdout, "%s: %s\n", name, step) })
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, failover.WithAdvice(err)))
		}
	}
	return errors.Join(failed...)
}

func (r *rekeyOptions) rekeyer(ctx context.Context, c *connection) (*rekey.Rekeyer, error) {
	api, err := c.writer()
	if err != nil {
		return nil, err
	}
	self, err := c.party(ctx)
	if err != nil {
		return nil, err
	}
	by, err := person(ctx, api, r.by)
	if err != nil {
		return nil, err
	}
	return &rekey.Rekeyer{
		API: api, Finder: c.Finder, Copies: rekey.Copies{Dir: r.save, Cluster: self.Name}, Limit: rebindLimit,
		Image: func(ctx context.Context, volume volumes.Volume) (idle.Ceph, ceph.ImageSpec, error) {
			return c.Image(ctx, volume)
		},
		Prover: r.prover(c, self), Person: idle.Person{By: by, WithoutProof: r.withoutProof},
	}, nil
}
