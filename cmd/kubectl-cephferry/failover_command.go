package main

import (
	"errors"

	"github.com/spf13/cobra"
)

type failoverOptions struct {
	*options
	from, by          string
	also, spare, only []string
	yes, resume, drop bool
	all               bool
	// node is one of this cluster, although: it is cut off whatever its Node says.
	node     string
	although bool
	// takeover is one that is there.
	takeover string
}

func newFailover(o *options) *cobra.Command {
	f := &failoverOptions{options: o}
	command := &cobra.Command{
		Use:   "failover NAMESPACE/CLAIM... | --all --from CLUSTER | --node NAME | --takeover NAME",
		Short: "Take volumes from a dead cluster, or cut off a lost node",
		Long: `Takes volumes from a dead cluster for this one. The clients in the volume's record, and their
nodes where the record is not certain, are put on Ceph's blocklist for good, so that they never
write again, whatever becomes of them. Then the volume belongs to this cluster.

The command first shows what else that cuts off, and asks. Several volumes have one plan, one
answer and one fence; if one of them is refused, nothing happens to any. It can be interrupted
at any point and run again. The dead cluster need not answer.

With --node, a node of this cluster is lost: it is cut off from all guarded volumes that it
has, or from those that are named, and they stay this cluster's. Once Kubernetes has moved
their pods, no late write of the node reaches them.

It creates a Takeover, which the leader of this cluster's webhook plans, and carries out
when its plan is confirmed. With --direct this program does all of it, with a build that has
Ceph's libraries, and no webhook has to run.`,
		Example: `  kubectl cephferry failover shop/data-db-0
  kubectl cephferry failover shop/data-db-0 shop/data-db-1 --from east --yes
  kubectl cephferry failover --all --from east
  kubectl cephferry failover --node west-1`,
		ValidArgsFunction: o.completeClaims,
		RunE: func(command *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			if f.direct {
				return f.runDirect(command.Context(), args)
			}
			return f.run(command.Context(), args)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.from, "from", "", "`name` of the dead cluster; nothing is done if the record names another one")
	flags.BoolVar(&f.all, "all", false, "all volumes of this cluster that the dead one owns; requires --from")
	flags.StringVar(&f.node, "node", "", "`name` of a node of this cluster that is lost; without claims, all guarded volumes that it has")
	flags.BoolVar(&f.although, "although-reporting", false, "with --node: the node is lost although its kubelet reports")
	flags.BoolVar(&f.yes, "yes", false, "do not ask; requires --from or --node")
	flags.StringVar(&f.takeover, "takeover", "", "`name` of an existing Takeover: show its plan, ask, and follow it; only its creator may confirm it")
	flags.StringArrayVar(&f.also, "also-fence", nil, "`address` of another machine of the dead cluster, or of a client as rbd status prints it; repeatable")
	flags.StringArrayVar(&f.only, "only-node", nil, "`name` of a node of the dead cluster; where the record leaves open which nodes may have the volume, only these are fenced; repeatable")
	flags.StringArrayVar(&f.spare, "spare", nil, "`address` of a recorded machine that is not fenced as a whole; repeatable")
	flags.BoolVar(&f.resume, "resume", false, "continue what another person began for this cluster")
	flags.BoolVar(&f.drop, "drop", false, "with --direct: give up what was begun; the volume stays the other cluster's, and what was fenced stays fenced")
	flags.StringVar(&f.by, "by", "", "with --direct: your `name` for the record; default: the user of the connection")
	return command
}

// check looks at the flags alone.
func (f *failoverOptions) check(args []string) error {
	named := 0
	for _, one := range []bool{len(args) > 0 || f.node != "" && f.takeover == "", f.all, f.takeover != ""} {
		if one {
			named++
		}
	}
	switch {
	case named == 0:
		return errors.New("name claims: NAMESPACE/CLAIM, or all that a cluster owns: --all --from CLUSTER, or a node that is lost: --node NAME")
	case named > 1:
		return errors.New("claims or --node, --all, and --takeover: only one of them")
	case f.node != "" && (f.from != "" || f.drop || f.resume || len(f.only) > 0):
		return errors.New("--node: it is one of this cluster, so --from, --only-node, --resume and --drop mean nothing")
	case f.although && f.node == "":
		return errors.New("--although-reporting: name the node with --node")
	case f.all && f.from == "":
		return errors.New("--all: name the cluster that is dead with --from")
	case f.yes && f.from == "" && !f.drop && f.node == "":
		return errors.New("--yes: name the cluster that is dead with --from, so that it cannot be the wrong one")
	case f.direct:
		return nil
	case f.drop:
		return errors.New("--drop: only with --direct")
	case f.by != "":
		return errors.New("--by: only with --direct; a Takeover is signed by whoever creates it, as the API server knows that person")
	}
	return nil
}
