package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/count"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/planning"
)

// runDirect asks Ceph itself, and fences from here.
func (f *failoverOptions) runDirect(ctx context.Context, args []string) error {
	if f.takeover != "" {
		return errors.New("--takeover: with --direct there is no Takeover; name claims")
	}
	c, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	return f.failOver(ctx, c, args)
}

// failOver is runDirect with a connection.
func (f *failoverOptions) failOver(ctx context.Context, c *connection, args []string) error {
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	claims = eachOnce(claims)
	wish, err := f.wish(ctx, c)
	if err != nil {
		return err
	}
	if f.all {
		owned, err := c.planner.Owned(ctx, f.from, wish.Taker.Cluster)
		if err != nil {
			return err
		}
		if len(owned) == 0 {
			return refuse(fmt.Errorf("cluster %s owns no volume of this cluster", f.from))
		}
		for _, name := range owned {
			claims = append(claims, claim{name.Namespace, name.Name})
		}
	}
	if f.node != "" && len(claims) == 0 {
		on, err := c.planner.On(ctx, f.node, wish.Taker.Cluster)
		if err != nil {
			return err
		}
		if len(on) == 0 {
			if err := f.known(ctx, c, wish.Taker.Cluster); err != nil {
				return err
			}
			fmt.Fprintf(f.std.stdout, "Nothing to do: node %s has no guarded volume.\n", f.node)
			return nil
		}
		for _, name := range on {
			claims = append(claims, claim{name.Namespace, name.Name})
		}
	}
	if f.drop {
		return f.dropAll(ctx, c, claims, wish.Taker)
	}
	all, err := c.planner.Plan(ctx, names(claims), wish)
	if err != nil {
		return err
	}
	if err := planning.Refused(all); err != nil {
		return fmt.Errorf("nothing was changed\n%w", err)
	}
	planning.Print(f.std.stdout, all)
	todo := slices.DeleteFunc(slices.Clone(all), func(v planning.Volume) bool { return v.Plan.Done })
	if len(todo) == 0 {
		if f.node != "" {
			if err := f.known(ctx, c, wish.Taker.Cluster); err != nil {
				return err
			}
			fmt.Fprintf(f.std.stdout, "Nothing to do: node %s has none of them.\n", f.node)
		} else {
			fmt.Fprintln(f.std.stdout, "Nothing to do. Start the workload here.")
		}
		return nil
	}
	if !f.yes {
		if err := confirm(f.std, todo); err != nil {
			return err
		}
	}
	return f.take(ctx, c, todo)
}

// known refuses a node of which nobody knows: its name may be misspelt.
func (f *failoverOptions) known(ctx context.Context, c *connection, self ceph.Party) error {
	known, err := c.planner.Knows(ctx, f.node, self)
	if err != nil || known {
		return err
	}
	return refuse(planning.UnknownNode(f.node))
}

// eachOnce are the claims in their order, without those that are named again.
func eachOnce(claims []claim) []claim {
	named := map[claim]bool{}
	return slices.DeleteFunc(claims, func(c claim) bool {
		again := named[c]
		named[c] = true
		return again
	})
}

// names are the claims as the API server names them.
func names(claims []claim) []types.NamespacedName {
	var all []types.NamespacedName
	for _, claim := range claims {
		all = append(all, types.NamespacedName{Namespace: claim.namespace, Name: claim.name})
	}
	return all
}

// wish is what all volumes have in common.
func (f *failoverOptions) wish(ctx context.Context, c *connection) (failover.Wish, error) {
	wish := failover.Wish{From: f.from, Nodes: f.only, Lost: f.node, AlthoughReporting: f.although}
	for _, text := range f.also {
		addr, err := failover.ParseAddress(text)
		if err != nil {
			return wish, fmt.Errorf("--also-fence: %w", err)
		}
		wish.Also = append(wish.Also, addr)
	}
	for _, text := range f.spare {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return wish, fmt.Errorf("--spare: %w", err)
		}
		wish.Spare = append(wish.Spare, address.Unmap())
	}
	self, err := c.party(ctx)
	if err != nil {
		return wish, err
	}
	by, err := person(ctx, c.API, f.by)
	if err != nil {
		return wish, err
	}
	wish.Taker = ownership.Taker{Cluster: self, By: by, Resume: f.resume, Now: time.Now()}
	return wish, nil
}

// person is who is named, or else who the API server takes this person for.
func person(ctx context.Context, api client.Reader, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	writer, ok := api.(client.Client)
	if !ok {
		return "", fmt.Errorf("%T cannot ask who this is", api)
	}
	var review authenticationv1.SelfSubjectReview
	if err := writer.Create(ctx, &review); err != nil {
		return "", fmt.Errorf("ask the API server who you are: %w; or say it with --by", err)
	}
	return review.Status.UserInfo.Username, nil
}

// take carries the plans out.
func (f *failoverOptions) take(ctx context.Context, c *connection, todo []planning.Volume) error {
	errs := c.planner.Take(ctx, todo, f.progress)
	var taken []planning.Volume
	for i, v := range todo {
		if errs[i] == nil {
			taken = append(taken, v)
		}
	}
	if err := errors.Join(planning.Failures(todo, errs)...); err != nil {
		if len(taken) > 0 {
			fmt.Fprintf(f.std.stdout, "%d of %s taken. Run the same command again to go on with the others.\n", len(taken), count.Of(len(todo), "volume"))
		}
		return err
	}
	fmt.Fprintln(f.std.stdout, planning.Next(taken))
	return nil
}

// progress says which steps are done: of several volumes, the last one of each, and once what is done
// for all of them.
func (f *failoverOptions) progress(volumes []planning.Volume) func(int, failover.Step) {
	said := map[failover.Step]bool{}
	return func(i int, step failover.Step) {
		common := step == failover.Begun || step == failover.Machines || step == failover.Instances
		last := step == failover.TakenOver || step == failover.NodeFenced || step == failover.NobodyLeft && volumes[i].Plan.Ours
		switch {
		case len(volumes) == 1 || last:
			fmt.Fprintf(f.std.stdout, "volume %s: %s\n", volumes[i].Claim, step)
		case common && !said[step]:
			said[step] = true
			fmt.Fprintf(f.std.stdout, "%d volumes: %s\n", len(volumes), step)
		}
	}
}

// dropAll gives up what was begun.
func (f *failoverOptions) dropAll(ctx context.Context, c *connection, claims []claim, taker ownership.Taker) error {
	found, err := c.Find(ctx, names(claims))
	if err != nil {
		return err
	}
	var failed []error
	for i, claim := range claims {
		if err := f.giveUp(ctx, c, claim, found[i], taker); err != nil {
			failed = append(failed, fmt.Errorf("volume %s: %w", claim, failover.WithAdvice(err)))
		}
	}
	return errors.Join(failed...)
}

func (f *failoverOptions) giveUp(ctx context.Context, c *connection, claim claim, found inventory.Found, taker ownership.Taker) error {
	if found.Err != nil {
		return found.Err
	}
	storage, spec, err := c.planner.Named(ctx, found.Volume, taker.Cluster)
	if err != nil {
		return err
	}
	record, err := failover.Drop(ctx, storage, spec, taker)
	if err != nil {
		return err
	}
	fmt.Fprintf(f.std.stdout, "volume %s: %s\n", claim, describe(record))
	for _, fenced := range record.Fenced {
		fmt.Fprintf(f.std.stdout, "  stays fenced, if it was by then: %s\n", strings.Join(append([]string{fenced.Node.Name}, fenced.Node.Addresses...), " "))
	}
	return nil
}
