package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/count"
)

const (
	// takeoverPoll is how often a Takeover is looked at.
	takeoverPoll = 500 * time.Millisecond
	// leaderPolls is after how many looks without an answer nobody seems to plan or begin. The
	// leader takes two minutes at most for a plan.
	leaderPolls = 260
	// failedPolls is how many looks one that has failed before gets to be tried again.
	failedPolls = 30
	// plansAtMost is how many plans --yes confirms, should the situation go on changing.
	plansAtMost = 5
)

// run creates a Takeover, has its plan confirmed, and follows it to its end.
func (f *failoverOptions) run(ctx context.Context, args []string) error {
	c, err := f.cluster("")
	if err != nil {
		return err
	}
	claims, err := claimArgs(args, c.namespace)
	if err != nil {
		return err
	}
	t := &takeovers{failoverOptions: f, api: c.Client, pause: pause, answers: bufio.NewReader(f.std.stdin)}
	name := f.takeover
	if name == "" {
		by, err := person(ctx, c.Client, "")
		if err != nil {
			return err
		}
		if name, err = t.ask(ctx, eachOnce(claims), by); err != nil {
			return err
		}
	}
	return t.follow(ctx, name)
}

// pause is the time between two looks.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takeoverPoll):
		return nil
	}
}

// takeovers is a failover that the leader carries out.
type takeovers struct {
	*failoverOptions
	api     client.Client
	pause   func(context.Context) error
	answers *bufio.Reader

	// created: this run made the Takeover, so that it may take it away again.
	created bool
	// waited is how many looks nothing has changed for, shown the plan that was shown last.
	waited int
	shown  string
	plans  int
	// agreed is the plan that a person has agreed to, and that is confirmed when the leader has seen that the
	// former confirmation was taken back.
	agreed string
	// message is what the leader said last.
	message string
	// ran: it was seen to be carried out.
	ran bool
	// said are the steps that were.
	said  map[string]bool
	taken int32
}

// ask returns the name of a Takeover that asks for this: one that is not at its end, or a new one.
func (t *takeovers) ask(ctx context.Context, claims []claim, by string) (string, error) {
	var from, name string
	var err error
	if t.node != "" {
		from, err = t.own(ctx)
		name = nameFor(t.node)
	} else {
		from, err = t.dead(ctx, claims)
		name = nameFor(from)
	}
	if err != nil {
		return "", err
	}
	spec := v1alpha1.TakeoverSpec{
		From: from, Node: t.node, AlthoughReporting: t.although, By: by, All: t.all, AlsoFence: t.also, Spare: t.spare, OnlyNodes: t.only, Resume: t.resume,
	}
	for _, claim := range claims {
		spec.Claims = append(spec.Claims, v1alpha1.ClaimReference{Namespace: claim.namespace, Name: claim.name})
	}
	var list v1alpha1.TakeoverList
	if err := t.api.List(ctx, &list); err != nil {
		return "", fmt.Errorf("list Takeovers: %w", noObjects(err))
	}
	for _, one := range list.Items {
		asked := one.Spec
		asked.Confirm = ""
		if equality.Semantic.DeepEqual(asked, spec) && one.Status.Phase != v1alpha1.TakeoverRefused &&
			one.DeletionTimestamp == nil && !one.IsOver(time.Now()) {
			fmt.Fprintf(t.std.stderr, "Takeover %s exists already; going on with it.\n", one.Name)
			return one.Name, nil
		}
	}
	takeover := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{GenerateName: name}, Spec: spec}
	if err := t.api.Create(ctx, takeover); err != nil {
		return "", mayNot(fmt.Errorf("create a Takeover: %w", noObjects(err)))
	}
	t.created = true
	fmt.Fprintf(t.std.stderr, "Takeover %s is created; the webhook's leader plans it.\n", takeover.Name)
	return takeover.Name, nil
}

// nameFor begins the name of a Takeover. The name of a cluster is not always one that an
// object may have.
func nameFor(from string) string {
	valid := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, from)
	return strings.Trim(valid[:min(len(valid), 50)], "-") + "-"
}

// own is the name of this cluster, as its leader has registered it. A Takeover of a node has it, so that a
// leader of a version that does not know of nodes refuses it.
func (t *takeovers) own(ctx context.Context) (string, error) {
	var list v1alpha1.FerryClusterList
	if err := t.api.List(ctx, &list); err != nil {
		return "", fmt.Errorf("list FerryClusters: %w", noObjects(err))
	}
	for _, one := range list.Items {
		if one.Status.ThisCluster && one.Status.Name != "" {
			return one.Status.Name, nil
		}
	}
	return "", errors.New("no FerryCluster shows what this cluster is called, because its webhook has registered no volumes yet; if they are there, run failover with --direct")
}

// dead is the cluster that is named, or else the only other one that owns the claims' images
// as far as this cluster shows it. The plan compares it with the records.
func (t *takeovers) dead(ctx context.Context, claims []claim) (string, error) {
	if t.from != "" {
		return t.from, nil
	}
	owners := map[string]string{}
	for _, claim := range claims {
		var volume v1alpha1.MigratableVolume
		err := t.api.Get(ctx, client.ObjectKey{Namespace: claim.namespace, Name: claim.name}, &volume)
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("read MigratableVolume %s: %w", claim, noObjects(err))
		}
		if owner := volume.Status.Owner; err == nil && owner != nil && !owner.ThisCluster {
			owners[owner.Name] = claim.String()
		}
	}
	names := slices.Sorted(maps.Keys(owners))
	switch len(names) {
	case 1:
		return names[0], nil
	case 0:
		return "", errors.New("this cluster shows no other owner of that; name the cluster that is dead with --from")
	}
	return "", fmt.Errorf("several clusters own these volumes: %s (%s) and %s (%s); name those of one, or the one that is dead with --from",
		names[0], owners[names[0]], names[1], owners[names[1]])
}

// follow shows what becomes of a Takeover until it is at an end.
func (t *takeovers) follow(ctx context.Context, name string) error {
	t.said = map[string]bool{}
	for {
		var takeover v1alpha1.Takeover
		if err := t.api.Get(ctx, client.ObjectKey{Name: name}, &takeover); err != nil {
			return fmt.Errorf("read Takeover %s: %w", name, noObjects(err))
		}
		ended, err := t.look(ctx, &takeover)
		if ended || err != nil {
			return err
		}
		if err := t.pause(ctx); err != nil {
			fmt.Fprintf(t.std.stderr, "Takeover %s goes on without this command, if its plan was confirmed; kubectl cephferry failover --takeover %s follows it.\n", name, name)
			return err
		}
	}
}

// look is one look at the Takeover. It reports whether it is at its end.
func (t *takeovers) look(ctx context.Context, takeover *v1alpha1.Takeover) (ended bool, err error) {
	t.progress(takeover)
	status := takeover.Status
	switch status.Phase {
	case v1alpha1.TakeoverPlanning:
	case v1alpha1.TakeoverPlanned:
		if !needsConfirmation(takeover) {
			return false, t.waits(takeover, "has begun what was confirmed in")
		}
		return false, t.confirmPlan(ctx, takeover)
	case v1alpha1.TakeoverRefused:
		return true, refuse(fmt.Errorf("nothing was changed\n%s", messages(takeover)))
	case v1alpha1.TakeoverRunning:
		t.waited, t.ran = 0, true
		return false, nil
	case v1alpha1.TakeoverDone:
		if meta.IsStatusConditionFalse(status.Conditions, "NodeFenced") {
			return true, t.failed(takeover)
		}
		t.next(takeover)
		return true, nil
	case v1alpha1.TakeoverFailed:
		if takeover.IsOver(time.Now()) {
			return true, t.failed(takeover)
		}
		if needsConfirmation(takeover) {
			return false, t.confirmPlan(ctx, takeover)
		}
		if t.waited++; !t.ran && t.waited <= failedPolls {
			return false, nil // it failed before, and is tried again
		}
		return true, t.failed(takeover)
	}
	return false, t.waits(takeover, "plans")
}

// failed is how far it is. What follows, the leader says in its message.
func (t *takeovers) failed(takeover *v1alpha1.Takeover) error {
	text := taken(takeover)
	if !takeover.IsOver(time.Now()) {
		text += fmt.Sprintf("; kubectl cephferry failover --takeover %s follows it", takeover.Name)
	}
	return fmt.Errorf("%s\n%s", text, messages(takeover))
}

// needsConfirmation reports whether the leader waits for one of the plan that it shows.
func needsConfirmation(takeover *v1alpha1.Takeover) bool {
	plan := takeover.Status.Plan
	return plan != nil && (takeover.Spec.Confirm != plan.Hash || rejected(takeover))
}

// rejected reports whether the plan that is shown was confirmed, and the leader has refused that: it wants
// spec.confirm emptied first.
func rejected(takeover *v1alpha1.Takeover) bool {
	plan, confirm := takeover.Status.Plan, takeover.Spec.Confirm
	return plan != nil && confirm != "" && confirm == plan.Hash && confirm == takeover.Status.Rejected
}

// waits counts how long nobody has answered.
func (t *takeovers) waits(takeover *v1alpha1.Takeover, what string) error {
	if message := takeover.Status.Message; message != "" && message != t.message {
		t.message = message
		fmt.Fprintln(t.std.stderr, message)
	}
	if t.waited++; t.waited <= leaderPolls {
		return nil
	}
	return unknown(fmt.Errorf("nobody %s Takeover %s: %s\n"+
		"  do this   see that the webhook runs in this cluster; kubectl cephferry failover --takeover %s goes on then. Without a webhook, run failover with --direct",
		what, takeover.Name, orDash(takeover.Status.Message), takeover.Name))
}

// confirmPlan shows a plan, asks, and confirms it.
func (t *takeovers) confirmPlan(ctx context.Context, takeover *v1alpha1.Takeover) error {
	plan := takeover.Status.Plan
	again := rejected(takeover)
	switch {
	case t.agreed == plan.Hash && takeover.Status.Rejected == "" && takeover.Spec.Confirm == "":
		t.agreed = ""
		return t.patch(ctx, takeover, fmt.Sprintf("%q", plan.Hash))
	case t.agreed == plan.Hash:
		return t.waits(takeover, "has planned anew")
	case t.shown == plan.Hash && !again:
		return t.waits(takeover, "has begun what was confirmed in")
	case t.shown == plan.Hash:
		fmt.Fprintln(t.std.stdout, "The plan was refused after it was confirmed. It is:")
	case t.shown != "":
		fmt.Fprintln(t.std.stdout, "The situation has changed since the plan was made. The plan is now:")
	}
	t.agreed = ""
	t.shown, t.waited = plan.Hash, 0
	fmt.Fprintln(t.std.stdout, strings.TrimRight(plan.Text, "\n"))
	if t.plans++; t.plans > plansAtMost {
		return fmt.Errorf("the situation has changed %d times since it was planned for; look at kubectl get takeover %s -o yaml", plansAtMost, takeover.Name)
	}
	switch {
	case !t.yes:
		name, question := takeover.Spec.From, "the name of the cluster that is dead, %s,"
		if takeover.Spec.Node != "" {
			name, question = takeover.Spec.Node, "the name of the node that is lost, %s,"
		}
		if err := askFor(t.answers, t.std.stderr, name, fmt.Sprintf(question, name)); err != nil {
			t.takeBack(ctx, takeover)
			return err
		}
	case t.node != takeover.Spec.Node:
		return refuse(fmt.Errorf("the Takeover %s is about node %q of this cluster, and --node names %q; nothing was changed", takeover.Name, takeover.Spec.Node, t.node))
	case t.node != "" && (t.plans > 1 || takeover.Spec.Confirm != "" || takeover.Status.Rejected != "" || begun(takeover)):
		return refuse(fmt.Errorf("a plan of Takeover %s was shown or confirmed before, and --yes confirms only the first one:\n%s\n  do this   read the plan, and run the same command without --yes", takeover.Name, messages(takeover)))
	case again:
		return refuse(fmt.Errorf("the plan of Takeover %s was refused after it was confirmed:\n%s\n  do this   read the plan, and run the same command without --yes", takeover.Name, messages(takeover)))
	case t.node == "" && t.from != takeover.Spec.From:
		return refuse(fmt.Errorf("the Takeover %s takes from cluster %s, and --from names %s; nothing was changed", takeover.Name, takeover.Spec.From, t.from))
	}
	if again {
		t.agreed = plan.Hash
		return t.patch(ctx, takeover, "null")
	}
	return t.patch(ctx, takeover, fmt.Sprintf("%q", plan.Hash))
}

// patch sets spec.confirm to what that is in JSON.
func (t *takeovers) patch(ctx context.Context, takeover *v1alpha1.Takeover, confirm string) error {
	patch := client.RawPatch("application/merge-patch+json", []byte(fmt.Sprintf(`{"spec":{"confirm":%s}}`, confirm)))
	if err := t.api.Patch(ctx, takeover, patch); err != nil {
		return mayNot(fmt.Errorf("confirm Takeover %s: %w", takeover.Name, err))
	}
	return nil
}

// mayNot makes what the API server forbids a refusal.
func mayNot(err error) error {
	if apierrors.IsForbidden(err) {
		return refuse(err)
	}
	return err
}

// begun reports whether the leader has begun what was confirmed, be that taken back since.
func begun(takeover *v1alpha1.Takeover) bool {
	status := takeover.Status
	return status.Confirmed != "" || status.Phase == v1alpha1.TakeoverFailed || len(status.Conditions) > 0
}

// takeBack removes what this run has created and nobody has confirmed. What was begun stays.
func (t *takeovers) takeBack(ctx context.Context, takeover *v1alpha1.Takeover) {
	if !t.created || begun(takeover) {
		return
	}
	same := client.Preconditions{UID: &takeover.UID, ResourceVersion: &takeover.ResourceVersion}
	if err := t.api.Delete(context.WithoutCancel(ctx), takeover, same); err != nil {
		fmt.Fprintf(t.std.stderr, "Takeover %s stays, unconfirmed: %v\n", takeover.Name, err)
	}
}

// progress says which steps are done since it was asked last.
func (t *takeovers) progress(takeover *v1alpha1.Takeover) {
	status := takeover.Status
	for _, step := range []string{"Begun", "MachinesFenced", "InstancesFenced", "InForce", "Renamed", "NobodyLeft", "TakenOver", "NodeFenced"} {
		condition := meta.FindStatusCondition(status.Conditions, step)
		if condition == nil || condition.Status != metav1.ConditionTrue || t.said[step] {
			continue
		}
		t.said[step] = true
		fmt.Fprintf(t.std.stdout, "%s  %s: %s\n", condition.LastTransitionTime.UTC().Format(time.TimeOnly), step, orDash(oneLine(condition.Message)))
	}
	if status.TakenCount != t.taken {
		t.taken = status.TakenCount
		fmt.Fprintln(t.std.stdout, taken(takeover))
	}
}

// taken is to how many of the volumes it is done.
func taken(takeover *v1alpha1.Takeover) string {
	what := "taken"
	if takeover.Spec.Node != "" {
		what = "safe from node " + takeover.Spec.Node
	}
	return fmt.Sprintf("%d of %s %s", takeover.Status.TakenCount, count.Of(takeover.Status.VolumeCount, "volume"), what)
}

// next says what a person does now.
func (t *takeovers) next(takeover *v1alpha1.Takeover) {
	if takeover.Status.Confirmed == "" {
		if takeover.Spec.Node != "" {
			fmt.Fprintln(t.std.stdout, takeover.Status.Message)
		} else {
			fmt.Fprintln(t.std.stdout, "Nothing to do. Start the workload here.")
		}
		return
	}
	fmt.Fprintln(t.std.stdout, takeover.Status.Message)
}

// messages are what the Takeover says, and its volumes.
func messages(takeover *v1alpha1.Takeover) string {
	var lines []string
	if takeover.Status.Message != "" {
		lines = append(lines, takeover.Status.Message)
	}
	for _, volume := range takeover.Status.Volumes {
		if volume.Message != "" && !strings.Contains(takeover.Status.Message, volume.Message) {
			lines = append(lines, fmt.Sprintf("volume %s/%s: %s", volume.Namespace, volume.Claim, volume.Message))
		}
	}
	return strings.Join(lines, "\n")
}
