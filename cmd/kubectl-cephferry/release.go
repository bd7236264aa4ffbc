package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
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
		Short: "Give up volumes that this cluster does not use any more",
		Long: `Gives up volumes of this cluster, so that another one may use them. The webhook does
that by itself; this is for a cluster where it does not run any more. A volume is
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
	flags.StringVar(&r.image, "image", "", "`pool/name` or pool/namespace/name of an image that no PersistentVolume leads to any more, instead of claims")
	flags.StringVar(&r.clusterID, "cluster-id", "", "`clusterID` by which ceph-csi's configuration leads to that image")
	flags.DurationVar(&r.grace, "admission-grace", 75*time.Second, "`time` after which a pod that was let start and is not at the API server never comes; longer than the API server's --request-timeout")
	flags.BoolVar(&r.withoutProof, "without-proof", false, "you know that the nodes that the record names, and that this cluster has no Node object of any more, are off")
	flags.StringVar(&r.by, "by", "", "`name` of the person, for the record; default: the user of the connection")
	return command
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
	by := r.by
	if by == "" {
		if by, err = user(ctx, c.API); err != nil {
			return err
		}
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
			failed = append(failed, fmt.Errorf("volume %s: %w", claim, withAdvice(err)))
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
		return fmt.Errorf("%s: %w", name, withAdvice(err))
	}
	return nil
}

// release proves and swaps, as the webhook's leader does, until nobody was faster. name
// is for people.
func (r *releaseOptions) release(ctx context.Context, c *connection, volume volumes.Volume, name string, self ceph.Party, by string) error {
	storage, spec, err := c.Image(ctx, volume)
	if err != nil {
		return err
	}
	quiet := ownership.Quiet{Grace: r.grace}
	for {
		image, err := storage.Image(ctx, spec)
		if err != nil {
			return err
		}
		begin := time.Now()
		record, err := ownership.Read(ctx, storage, image)
		if err != nil {
			return err
		}
		if record.State == ceph.Free {
			fmt.Fprintf(r.std.stdout, "%s: nobody owns it\n", name)
			return nil
		}
		if volume.Orphan {
			volume.Namespace, volume.Claim = record.Owner.Namespace, record.Owner.Claim
		}
		still, rest := quiet.Observe(name, image.ID, record.Admissions, begin, time.Now())
		seen, uses, err := c.Seen(ctx, volume, record, c.settings.exempt)
		if err != nil {
			return err
		}
		seen.Quiet = still
		if r.withoutProof {
			seen.Lost = nil
		}
		wait, err := mayRelease(record, self, seen, uses)
		if err != nil {
			return err
		}
		if wait {
			fmt.Fprintf(r.std.stderr, "%s: a pod that was let start may still appear; that is known in %s\n", name, rest.Round(time.Second))
			select {
			case <-time.After(rest + time.Millisecond):
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		next, err := ownership.Release(record, self, by, time.Now())
		if err != nil {
			return err
		}
		_, err = storage.PutRecord(ctx, image, next)
		switch {
		case errors.Is(err, ceph.ErrRecordChanged):
			continue
		case err != nil:
			return err
		}
		fmt.Fprintf(r.std.stdout, "%s: released\n", name)
		return nil
	}
}

// mayRelease refuses, or says whether to wait first: everything else is proven.
func mayRelease(record ceph.Record, self ceph.Party, seen ownership.Seen, uses []string) (wait bool, err error) {
	request := ownership.Request{Cluster: self}
	_, step, reason := ownership.Keep(record, request, seen)
	if step == ownership.LetGo {
		return false, nil
	}
	patient := seen
	patient.Quiet = true
	if _, step, _ := ownership.Keep(record, request, patient); step == ownership.LetGo {
		return true, nil
	}
	if record.State != ceph.Held || !ownership.Owns(record, self) {
		_, err := ownership.Release(record, self, "", time.Time{})
		return false, err
	}
	if len(uses) > 0 {
		reason += ": " + strings.Join(uses, ", ")
	}
	do := "scale the workload to zero, wait until its pods are gone, then run the same command again"
	if len(uses) == 0 && len(seen.Watchers) == 0 {
		do = "if you know that the node is off, say so with --without-proof"
	}
	return false, &failover.Refusal{What: "it is in use: " + reason, Do: do}
}
