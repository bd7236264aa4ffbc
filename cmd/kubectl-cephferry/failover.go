package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/planning"
)

type failoverOptions struct {
	*options
	from, by          string
	also, spare, only []string
	yes, resume, drop bool
}

func newFailover(o *options) *cobra.Command {
	f := &failoverOptions{options: o}
	command := &cobra.Command{
		Use:   "failover NAMESPACE/CLAIM...",
		Short: "Take volumes from a cluster that is dead",
		Long: `Takes volumes from a cluster that is dead, for this one. The clients that the volume's
record names, and where it is not certain their nodes too, are put on Ceph's blocklist
for good, so that they never write again, whatever becomes of them; then the volume is
this cluster's.

Shows first what that cuts off besides, and asks. Several volumes have one plan, one
answer and one fence; if one of them is refused, nothing happens to any. Broken off at
any point, it can be run again. The dead cluster need not answer, nor the webhook of
this one.`,
		Example: `  kubectl cephferry failover shop/data-db-0
  kubectl cephferry failover shop/data-db-0 shop/data-db-1 --from east --yes`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error { return f.run(command.Context(), args) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.from, "from", "", "`name` of the cluster that is dead; nothing is done if the record names another one")
	flags.BoolVar(&f.yes, "yes", false, "do not ask; --from is needed then")
	flags.StringArrayVar(&f.also, "also-fence", nil, "`address` of another machine of the dead cluster, or of a client as rbd status prints it, repeatable")
	flags.StringArrayVar(&f.only, "only-node", nil, "`name` of a node of the dead cluster: where the record leaves open which may have the volume, only these are fenced besides, repeatable")
	flags.StringArrayVar(&f.spare, "spare", nil, "`address` of a machine that is not fenced as a whole, although the record names it, repeatable")
	flags.BoolVar(&f.resume, "resume", false, "go on with what another person began for this cluster")
	flags.BoolVar(&f.drop, "drop", false, "give up what was begun: the volume is the other cluster's as before; what was fenced stays fenced")
	flags.StringVar(&f.by, "by", "", "`name` of the person, for the record; default: the user of the connection")
	return command
}

func (f *failoverOptions) run(ctx context.Context, args []string) error {
	if f.yes && f.from == "" && !f.drop {
		return errors.New("--yes: name the cluster that is dead with --from, so that it cannot be another one than you think")
	}
	c, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer c.storages.Close()
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	claims = eachOnce(claims)
	wish, err := f.wish(ctx, c)
	if err != nil {
		return err
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
		fmt.Fprintln(f.std.stdout, "Nothing is to be done. Start the workload here.")
		return nil
	}
	if !f.yes {
		if err := confirm(f.std, todo); err != nil {
			return err
		}
	}
	return f.take(ctx, c, todo)
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
	wish := failover.Wish{From: f.from, Nodes: f.only}
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
			fmt.Fprintf(f.std.stdout, "%d of %d volumes are taken. The same command, run again, goes on with the others.\n", len(taken), len(todo))
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
		last := step == failover.TakenOver || step == failover.NobodyLeft && volumes[i].Plan.Ours
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
