package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/move"
)

type moveOptions struct {
	*options
	from, to, release string
	all, undo         bool
	leave             []string
	limit             time.Duration
}

func newMove(o *options) *cobra.Command {
	m := &moveOptions{options: o}
	command := &cobra.Command{
		Use:   "move KIND/NAME... | --all | --release NAME --from-context CONTEXT --to-context CONTEXT",
		Short: "Move workloads from one live cluster to another",
		Long: `Moves Deployments and StatefulSets from one cluster to another: scales them down in the
first, waits until their volumes are free, scales them up in the second, and reports when they
are ready and how long nothing ran. They must be installed in both clusters.

It talks only to the two API servers. If it is interrupted, the same command continues, and
--undo goes back. If the second cluster cannot start the workloads and has taken nothing, the
command goes back by itself.`,
		Example: `  kubectl cephferry move statefulset/db -n shop --from-context east --to-context west
  kubectl cephferry move --release shop -n shop --from-context east --to-context west`,
		RunE: func(command *cobra.Command, args []string) error { return m.run(command.Context(), args) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&m.from, "from-context", "", "`context` of the cluster where they run")
	flags.StringVar(&m.to, "to-context", "", "`context` of the cluster where they are to run")
	flags.BoolVar(&m.all, "all", false, "all running Deployments and StatefulSets of the namespace")
	flags.StringVar(&m.release, "release", "", "those of the Helm release with this `name`")
	flags.StringArrayVar(&m.leave, "leave", nil, "`name` of a claim whose data stays behind; repeatable")
	flags.BoolVar(&m.undo, "undo", false, "go back to where they ran, after an interrupted move")
	flags.DurationVar(&m.limit, "timeout", 5*time.Minute, "how long the first cluster may take to release the volumes, and the second to start, a `duration`")
	for _, name := range []string{"from-context", "to-context"} {
		if err := command.RegisterFlagCompletionFunc(name, o.completeContexts); err != nil {
			panic(err) // there is no such flag
		}
	}
	return command
}

// wish reads arguments and flags.
func (m *moveOptions) wish(args []string, namespace string) (move.Wish, error) {
	wish := move.Wish{Namespace: namespace, Release: m.release, Stay: m.leave, Undo: m.undo}
	named := 0
	for _, one := range []bool{len(args) > 0, m.all, m.release != ""} {
		if one {
			named++
		}
	}
	switch {
	case m.from == "" || m.to == "":
		return wish, errors.New("name both clusters with --from-context and --to-context")
	case named != 1:
		return wish, errors.New("name workloads, such as statefulset/db, or those of a release with --release, or all of the namespace with --all")
	case m.limit <= 0:
		return wish, fmt.Errorf("--timeout %s: must be more than zero", m.limit)
	}
	for _, arg := range args {
		kind, name, ok := strings.Cut(arg, "/")
		one := move.Name{Name: name}
		switch strings.ToLower(kind) {
		case "deployment", "deployments", "deploy", "deployment.apps", "deployments.apps":
			one.Kind = move.Deployment
		case "statefulset", "statefulsets", "sts", "statefulset.apps", "statefulsets.apps":
			one.Kind = move.StatefulSet
		}
		if !ok || name == "" || one.Kind == "" {
			return wish, fmt.Errorf("%q is not a workload that can be moved: deployment/NAME or statefulset/NAME", arg)
		}
		wish.Names = append(wish.Names, one)
	}
	return wish, nil
}

func (m *moveOptions) run(ctx context.Context, args []string) error {
	if _, err := m.wish(args, ""); err != nil {
		return err
	}
	from, here, err := m.end(ctx, m.from)
	if err != nil {
		return err
	}
	_, there, err := m.end(ctx, m.to)
	if err != nil {
		return err
	}
	wish, err := m.wish(args, from.namespace)
	if err != nil {
		return err
	}
	begin := time.Now()
	mover := &move.Mover{From: here, To: there, Now: time.Now, Limit: m.limit, Pause: pause, Say: func(step string) {
		fmt.Fprintf(m.std.stdout, "%s %8s  %s\n", time.Now().UTC().Format(time.TimeOnly), "+"+time.Since(begin).Round(100*time.Millisecond).String(), step)
	}}
	plan, err := mover.Prepare(ctx, wish)
	if err != nil {
		return noObjects(err)
	}
	return m.carryOut(ctx, mover, plan)
}

// carryOut says what is moved, moves it, and says how it ended.
func (m *moveOptions) carryOut(ctx context.Context, mover *move.Mover, plan *move.Plan) error {
	out := m.std.stdout
	verb, from, to := "move", m.from, m.to
	if m.undo {
		verb, from, to = "take back", m.to, m.from
	}
	fmt.Fprintf(out, "%s from %s to %s: %s; volumes: %s\n", verb, from, to, strings.Join(plan.Names(), ", "), orDash(strings.Join(plan.Claims(), ", ")))
	if len(plan.New) > 0 && !m.undo {
		fmt.Fprintf(out, "%s has no volume yet for %s; the same image becomes its volume there when the workload starts\n", m.to, strings.Join(plan.New, ", "))
	}
	if m.undo {
		return m.brokenOff(ctx, mover.Undo(ctx, plan))
	}
	down, err := mover.Run(ctx, plan)
	if err != nil {
		return m.brokenOff(ctx, err)
	}
	if down = down.Round(100 * time.Millisecond); plan.Resumed {
		fmt.Fprintf(out, "%s runs it. Nothing ran for the %s of this run, nor since the one that was broken off.\n", m.to, down)
	} else {
		fmt.Fprintf(out, "%s runs it. Nothing ran for %s.\n", m.to, down)
	}
	return nil
}

// brokenOff says how to go on.
func (m *moveOptions) brokenOff(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.New("interrupted; run the same command to continue, or with --undo to go back")
	case errors.Is(err, move.ErrTaken):
		return fmt.Errorf("%w\n  do this   find out why it does not start: kubectl --context %s describe pods; then run the same command to continue, or with --undo to go back", err, m.to)
	}
	return err
}

// end connects to one end of a move.
func (m *moveOptions) end(ctx context.Context, context string) (*cluster, move.Cluster, error) {
	c, err := m.cluster(context)
	if err != nil {
		return nil, move.Cluster{}, err
	}
	var system corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return nil, move.Cluster{}, c.inContext(fmt.Errorf("read namespace %s, whose uid is the cluster's: %w", metav1.NamespaceSystem, err))
	}
	return c, move.Cluster{API: c.Client, Name: context, UID: string(system.UID)}, nil
}
