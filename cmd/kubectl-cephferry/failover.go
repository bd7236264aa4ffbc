package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
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

Shows first what that cuts off besides, and asks. Broken off at any point, it can be
run again. The dead cluster need not answer, nor the webhook of this one.`,
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

// job is a failover of one volume.
type job struct {
	claim   claim
	storage ceph.Cluster
	spaces  []failover.Space
	plan    failover.Plan
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
	wish, err := f.wish(ctx, c)
	if err != nil {
		return err
	}
	if f.drop {
		return f.dropAll(ctx, c, claims, wish.Taker)
	}
	jobs, err := f.plan(ctx, c, claims, wish)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		printPlan(f.std.stdout, job)
	}
	todo := slices.DeleteFunc(slices.Clone(jobs), func(j job) bool { return j.plan.Done })
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

// plan decides about all volumes before anything is done to one. All refusals are
// shown together.
func (f *failoverOptions) plan(ctx context.Context, c *connection, claims []claim, wish failover.Wish) ([]job, error) {
	var jobs []job
	var refused []error
	for _, claim := range claims {
		j, err := planOne(ctx, c, claim, wish)
		if err != nil {
			refused = append(refused, fmt.Errorf("volume %s: %w", claim, withAdvice(err)))
			continue
		}
		jobs = append(jobs, j)
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("nothing was changed\n%w", errors.Join(refused...))
	}
	return jobs, nil
}

// withAdvice is for an error of Ceph among several.
func withAdvice(err error) error {
	if advice := ceph.Advice(err); advice != "" {
		return fmt.Errorf("%v\n  do this   %s", err, advice)
	}
	return err
}

func planOne(ctx context.Context, c *connection, claim claim, wish failover.Wish) (job, error) {
	wish.Namespace, wish.Claim = claim.namespace, claim.name
	j := job{claim: claim}
	volume, err := c.Volume(ctx, claim.namespace, claim.name)
	if err != nil {
		return j, err
	}
	storage, spec, err := c.named(ctx, volume, wish.Cluster)
	if err != nil {
		return j, err
	}
	j.storage = storage
	if j.spaces, err = c.spaces(ctx, volume.Image.ClusterID); err != nil {
		return j, err
	}
	situation, err := failover.See(ctx, storage, spec, j.spaces)
	if err != nil {
		return j, err
	}
	if isPlanned(volume) && !situation.Record.Keyed {
		situation.Image = spec.Base()
	}
	if situation.Nodes, err = c.Nodes(ctx); err != nil {
		return j, err
	}
	situation.Local, situation.Exempt = c.settings.local, c.settings.exempt
	if situation.Explained, err = c.explained(ctx, volume, situation.Watchers); err != nil {
		return j, err
	}
	j.plan, err = failover.Decide(situation, wish)
	return j, err
}

// named is the image of a volume. One that the provisioner has not made yet leads to it by
// the name that it gets here, if it turns out to be keyed.
func (c *connection) named(ctx context.Context, volume volumes.Volume, self ceph.Party) (ceph.Cluster, ceph.ImageSpec, error) {
	storage, spec, err := c.Image(ctx, volume)
	if err != nil || !isPlanned(volume) {
		return storage, spec, err
	}
	keys, err := storage.Keys(ctx, spec.Pool, spec.Namespace)
	spec.Key = failover.OwnKey(keys, self)
	return storage, spec, err
}

// isPlanned reports whether the PersistentVolume is not there yet.
func isPlanned(volume volumes.Volume) bool { return volume.PV.UID == "" }

// explained are the watchers that this cluster accounts for.
func (c *connection) explained(ctx context.Context, volume volumes.Volume, watchers []ceph.Watcher) ([]string, error) {
	local, err := c.Usage.Local(ctx, c.Usage.Live(), volume)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, watcher := range watchers {
		if local.Unexplained(watcher) == "" {
			all = append(all, watcher.Addr)
		}
	}
	return all, nil
}

// take carries the plans out, one after the other. One that breaks off does not keep
// the others from being tried.
func (f *failoverOptions) take(ctx context.Context, c *connection, todo []job) error {
	var failed []error
	var nodes []string
	private := true
	for _, j := range todo {
		private = private && j.plan.OnlyThis()
		err := failover.Take(ctx, j.storage, j.plan, c.settings.exempt, func(step failover.Step) {
			fmt.Fprintf(f.std.stdout, "volume %s: %s\n", j.claim, step)
		})
		if err != nil {
			failed = append(failed, fmt.Errorf("volume %s: %w", j.claim, withAdvice(err)))
			continue
		}
		for _, fenced := range j.plan.Fenced() {
			if name := cmp.Or(fenced.Node.Name, strings.Join(fenced.Node.Addresses, " ")); !slices.Contains(nodes, name) {
				nodes = append(nodes, name)
			}
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	fmt.Fprintf(f.std.stdout, "Start the workload here.")
	switch {
	case private:
		fmt.Fprintf(f.std.stdout, " When cluster %s is back, no node has to be rebooted or let in again for this.", todo[0].plan.From.Name)
	case len(nodes) > 0:
		fmt.Fprintf(f.std.stdout, " When cluster %s is back, reboot %s and run `kubectl cephferry unfence %s` there.",
			cmp.Or(todo[0].plan.From.Name, "of those"), strings.Join(nodes, ", "), strings.Join(nodes, " "))
	}
	fmt.Fprintln(f.std.stdout)
	return nil
}

// dropAll gives up what was begun.
func (f *failoverOptions) dropAll(ctx context.Context, c *connection, claims []claim, taker ownership.Taker) error {
	var failed []error
	for _, claim := range claims {
		volume, err := c.Volume(ctx, claim.namespace, claim.name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		storage, spec, err := c.named(ctx, volume, taker.Cluster)
		if err == nil {
			var record ceph.Record
			if record, err = failover.Drop(ctx, storage, spec, taker); err == nil {
				fmt.Fprintf(f.std.stdout, "volume %s: %s\n", claim, describe(record))
				for _, fenced := range record.Fenced {
					fmt.Fprintf(f.std.stdout, "  stays fenced, if it was by then: %s\n", strings.Join(append([]string{fenced.Node.Name}, fenced.Node.Addresses...), " "))
				}
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("volume %s: %w", claim, withAdvice(err)))
		}
	}
	return errors.Join(failed...)
}
