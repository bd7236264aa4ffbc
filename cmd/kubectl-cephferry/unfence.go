package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/failover"
)

type unfenceOptions struct {
	*options
	withoutProof bool
}

func newUnfence(o *options) *cobra.Command {
	u := &unfenceOptions{options: o}
	command := &cobra.Command{
		Use:   "unfence NODE|ADDRESS...",
		Short: "Let machines back in that a failover cut off",
		Long: `Lets machines of this cluster back in that a failover cut off from Ceph. That is safe once they
have rebooted, which the Node objects of the same machines show, and when their kubelet would
not mount what belongs to another cluster. Run it in the cluster that was dead, or in one rebuilt
on the same machines. Client instances from before stay on the blocklist; none of them returns.`,
		Example: `  kubectl cephferry unfence east-1 --context east
  kubectl cephferry unfence 10.0.1.12 --without-proof`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error { return u.run(command.Context(), args) },
	}
	command.Flags().BoolVar(&u.withoutProof, "without-proof", false, "confirm that every machine that had the address was powered off after it was fenced")
	return command
}

func (u *unfenceOptions) run(ctx context.Context, names []string) error {
	c, err := u.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	self, err := c.party(ctx)
	if err != nil {
		return err
	}
	places, err := c.places(ctx)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return errors.New("this cluster has no guarded volume, so the records that say who is fenced cannot be found; run this in a cluster that has one, with --without-proof")
	}
	var nothing []error
	done := 0
	for _, place := range places {
		records, err := failover.Records(ctx, place.storage, place.spaces)
		if err != nil {
			return err
		}
		nodes, err := failover.Find(records, names)
		if len(nodes) == 0 {
			nothing = append(nothing, err)
			continue
		}
		if err != nil {
			return err
		}
		if err := u.prove(ctx, c, self, nodes); err != nil {
			return fmt.Errorf("nothing was changed\n%w", err)
		}
		if err := failover.Lift(ctx, place.storage, place.spaces, nodes); err != nil {
			return err
		}
		done++
		for _, node := range nodes {
			fmt.Fprintf(u.std.stdout, "%s of cluster %s may use Ceph again (%s)\n", nameOf(node), node.Cluster.Name, strings.Join(node.Node.Addresses, ", "))
		}
	}
	if done == 0 {
		return errors.Join(nothing...)
	}
	return nil
}

func nameOf(node failover.Fenced) string {
	if node.Node.Name == "" {
		return strings.Join(node.Node.Addresses, ", ")
	}
	return "node " + node.Node.Name
}

// prove asks for every node, and shows all refusals together.
//
// It fails while the record of any guarded volume cannot be read, as where a clusterID is not configured,
// also if no fence was for that volume: kubelet would mount any volume that a pod on the node has, and only
// the record says whose it is.
func (u *unfenceOptions) prove(ctx context.Context, c *connection, self ceph.Party, nodes []failover.Fenced) error {
	if u.withoutProof {
		return nil
	}
	var refused []error
	for _, node := range nodes {
		var sight failover.Sight
		if node.Node.Name != "" {
			var err error
			if sight, err = c.Sight(ctx, self, node.Node); err != nil {
				return err
			}
		}
		if err := failover.MayLift(node.FencedNode, sight); err != nil {
			refused = append(refused, err)
		}
	}
	return errors.Join(refused...)
}

// place is one Ceph with the spaces in it that this cluster knows.
type place struct {
	storage ceph.Cluster
	spaces  []failover.Space
}

// places are all that this cluster's guarded volumes are in.
func (c *connection) places(ctx context.Context) ([]place, error) {
	all, err := c.Volumes(ctx, "")
	if err != nil {
		return nil, err
	}
	var known [][]string
	var places []place
	asked := map[string]bool{}
	for _, found := range all {
		if found.Err != nil || asked[found.Image.ClusterID] {
			continue // an error is in status
		}
		asked[found.Image.ClusterID] = true
		monitors, err := c.planner.Monitors(ctx, found.Image.ClusterID)
		if errors.Is(err, csiconfig.ErrNotFound) {
			continue // nobody can mount it, and status says why
		} else if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(known, func(k []string) bool { return csiconfig.SameCeph(k, monitors) }) {
			continue
		}
		known = append(known, monitors)
		storage, _, err := c.storages.Cluster(ctx, found.Image.ClusterID)
		if err != nil {
			return nil, err
		}
		spaces, err := c.planner.Spaces(ctx, all, found.Image.ClusterID)
		if err != nil {
			return nil, err
		}
		places = append(places, place{storage, spaces})
	}
	return places, nil
}
