package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

type releaseOptions struct {
	*options
	grace        time.Duration
	withoutProof bool
	by           string
	// image and clusterID are instead of claims.
	image, clusterID string
}

func newRelease(o *options) *cobra.Command {
	r := &releaseOptions{options: o}
	command := &cobra.Command{
		Use:   "release NAMESPACE/CLAIM... | --image IMAGE --cluster-id ID",
		Short: "Release volumes that this cluster no longer uses",
		Long: `Releases volumes of this cluster, so that another cluster may use them. The webhook does
this by itself; use the command in a cluster where it no longer runs. A volume is
released only when nothing here uses it: no pod, no VolumeAttachment, no kubelet, no
client. With --image, it is the image of a volume whose PersistentVolume was deleted.`,
		Example: `  kubectl cephferry release shop/data-db-0
  kubectl cephferry release --image replicapool/shop.data-db-0 --cluster-id rook-ceph`,
		RunE: func(command *cobra.Command, args []string) error {
			if (r.image == "") == (len(args) == 0) {
				return errors.New("name claims, or one image with --image")
			}
			if (r.image == "") != (r.clusterID == "") {
				return errors.New("--image and --cluster-id: one needs the other")
			}
			return r.run(command.Context(), args)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&r.image, "image", "", "`pool/name` or pool/namespace/name of an image without a PersistentVolume, instead of claims")
	flags.StringVar(&r.clusterID, "cluster-id", "", "`clusterID` of that image in ceph-csi's configuration")
	r.addProof(flags)
	return command
}

// addProof is for all commands that release.
func (r *releaseOptions) addProof(flags *pflag.FlagSet) {
	flags.DurationVar(&r.grace, "admission-grace", 75*time.Second, "how long to wait before concluding that an admitted pod was never stored, a `duration` longer than the API server's --request-timeout")
	flags.BoolVar(&r.withoutProof, "without-proof", false, "confirm that the recorded nodes that nothing proves to have released the volume are powered off")
	flags.StringVar(&r.by, "by", "", "your `name` for the record; default: the user of the connection")
}

func (r *releaseOptions) run(ctx context.Context, args []string) error {
	c, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	self, err := c.party(ctx)
	if err != nil {
		return err
	}
	by, err := person(ctx, c.API, r.by)
	if err != nil {
		return err
	}
	if r.image != "" {
		return r.releaseOrphan(ctx, c, self, by)
	}
	var failed []error
	for _, claim := range claims {
		volume, err := c.Volume(ctx, claim.namespace, claim.name)
		if err == nil {
			err = r.release(ctx, c, volume, "volume "+claim.String(), self, by)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("volume %s: %w", claim, failover.WithAdvice(err)))
		}
	}
	return errors.Join(failed...)
}

func (r *releaseOptions) releaseOrphan(ctx context.Context, c *connection, self ceph.Party, by string) error {
	spec, err := parseImage(r.image)
	if err != nil {
		return err
	}
	name := "image " + spec.String()
	volume, err := c.Orphan(ctx, r.clusterID, spec)
	if err == nil {
		err = r.release(ctx, c, volume, name, self, by)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, failover.WithAdvice(err))
	}
	return nil
}

// release proves and swaps, as the webhook's leader does. name is for people.
func (r *releaseOptions) release(ctx context.Context, c *connection, volume volumes.Volume, name string, self ceph.Party, by string) error {
	storage, spec, err := c.Image(ctx, volume)
	if err != nil {
		return err
	}
	released, err := r.prover(c, self).Release(ctx, storage, volume, spec, idle.Person{By: by, WithoutProof: r.withoutProof}, r.wait(name))
	switch {
	case err != nil:
		return err
	case released:
		fmt.Fprintf(r.std.stdout, "%s: released\n", name)
	default:
		fmt.Fprintf(r.std.stdout, "%s: nobody owns it\n", name)
	}
	return nil
}

func (r *releaseOptions) prover(c *connection, self ceph.Party) *idle.Prover {
	return &idle.Prover{Self: self, Usage: c.Usage, Quiet: &ownership.Quiet{Grace: r.grace}, Now: time.Now}
}

// wait says what a release waits for. name is for people.
func (r *releaseOptions) wait(name string) func(context.Context, time.Duration) error {
	return func(ctx context.Context, rest time.Duration) error {
		fmt.Fprintf(r.std.stderr, "%s: an admitted pod may still appear; this is settled in %s\n", name, rest.Round(time.Second))
		select {
		case <-time.After(rest + time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
