package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// leader is what the webhook's leader does to a Takeover between two looks at it.
type leader func(t *v1alpha1.Takeover)

// taking is a failover with a leader that does this, one thing after each look.
func taking(t *testing.T, api client.Client, f *failoverOptions, stdin string, does ...leader) *takeovers {
	t.Helper()
	return &takeovers{failoverOptions: f, api: api, answers: bufio.NewReader(strings.NewReader(stdin)), pause: func(ctx context.Context) error {
		var list v1alpha1.TakeoverList
		if err := api.List(ctx, &list); err != nil {
			return err
		}
		if len(does) == 0 || len(list.Items) == 0 {
			return nil
		}
		does[0](&list.Items[0])
		does = does[1:]
		return api.Status().Update(ctx, &list.Items[0])
	}}
}

func planned(hash string) leader {
	return func(t *v1alpha1.Takeover) {
		t.Status.Phase, t.Status.VolumeCount = v1alpha1.TakeoverPlanned, 1
		t.Status.Plan = &v1alpha1.TakeoverPlan{Hash: hash, Text: "volume shop/data, plan " + hash + "\n", Exact: true}
	}
}

func did(step string) leader {
	return func(t *v1alpha1.Takeover) {
		t.Status.Phase, t.Status.Confirmed = v1alpha1.TakeoverRunning, t.Spec.Confirm
		meta.SetStatusCondition(&t.Status.Conditions, metav1.Condition{Type: step, Status: "True", Reason: "Done", Message: "as it should",
			LastTransitionTime: metav1.NewTime(since)})
	}
}

func ends(phase v1alpha1.TakeoverPhase, message string) leader {
	return func(t *v1alpha1.Takeover) {
		t.Status.Phase, t.Status.Message = phase, message
		if phase == v1alpha1.TakeoverDone {
			t.Status.TakenCount = t.Status.VolumeCount
		}
	}
}

func TestTakeover(t *testing.T) {
	for name, test := range map[string]struct {
		stdin   string
		yes     bool
		does    []leader
		code    int
		stdout  string
		wants   string // in the error
		stays   bool   // the Takeover
		confirm string
	}{
		"planned, confirmed, done": {stdin: "east\n", does: []leader{planned("h1"), did("Begun"), ends(v1alpha1.TakeoverDone, "Start it here.")},
			stdout: "volume shop/data, plan h1\n14:03:00  Begun: as it should\n1 of 1 volume taken\nStart it here.\n",
			stays:  true, confirm: "h1"},
		"another name": {stdin: "west\n", does: []leader{planned("h1")}, code: exitRefused, stdout: "volume shop/data, plan h1\n", wants: "that is not its name; nothing was changed"},
		"begun, and then another name": {stdin: "east\nno\n", does: []leader{planned("h1"), did("Begun"), func(t *v1alpha1.Takeover) { planned("h2")(t); t.Status.Phase = v1alpha1.TakeoverFailed }},
			code: exitRefused, stdout: "volume shop/data, plan h1\n14:03:00  Begun: as it should\nThe situation has changed since the plan was made. The plan is now:\nvolume shop/data, plan h2\n",
			wants: "that is not its name", stays: true, confirm: "h1"},
		"another situation": {yes: true, does: []leader{planned("h1"), planned("h2"), ends(v1alpha1.TakeoverDone, "")},
			stdout: "volume shop/data, plan h1\nThe situation has changed since the plan was made. The plan is now:\nvolume shop/data, plan h2\n1 of 1 volume taken\nNothing to do. Start the workload here.\n",
			stays:  true, confirm: "h2"},
		"refused": {does: []leader{ends(v1alpha1.TakeoverRefused, "a foreign client\n  do this   look")}, code: exitRefused, wants: "nothing was changed\na foreign client\n  do this   look", stays: true},
		"failed": {yes: true, does: []leader{planned("h1"), did("Begun"), ends(v1alpha1.TakeoverFailed, "ceph does not answer")}, code: exitFailed,
			stdout: "volume shop/data, plan h1\n14:03:00  Begun: as it should\n", wants: "0 of 1 volume taken", stays: true, confirm: "h1"},
		"failed before, and needs another confirmation": {yes: true, does: []leader{planned("h1"), did("Begun"), func(t *v1alpha1.Takeover) { planned("h2")(t); t.Status.Phase = v1alpha1.TakeoverFailed }, ends(v1alpha1.TakeoverDone, "Start it here.")},
			stdout: "volume shop/data, plan h1\n14:03:00  Begun: as it should\nThe situation has changed since the plan was made. The plan is now:\nvolume shop/data, plan h2\n1 of 1 volume taken\nStart it here.\n",
			stays:  true, confirm: "h2"},
		"failed before, and is tried again": {yes: true, does: []leader{planned("h1"), func(t *v1alpha1.Takeover) { t.Status.Confirmed = "h1"; ends(v1alpha1.TakeoverFailed, "no")(t) }, did("Begun"), ends(v1alpha1.TakeoverDone, "Start it here.")},
			stdout: "volume shop/data, plan h1\n14:03:00  Begun: as it should\n1 of 1 volume taken\nStart it here.\n", stays: true, confirm: "h1"},
		"nobody plans": {code: exitUnknown, wants: "run failover with --direct", stays: true},
		"nobody begins": {yes: true, does: []leader{planned("h1")}, code: exitUnknown, stdout: "volume shop/data, plan h1\n",
			wants: "nobody has begun what was confirmed in Takeover", stays: true, confirm: "h1"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, complaints bytes.Buffer
			f := &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &complaints}}, from: "east", yes: test.yes}
			api := shows(t, interceptor.Funcs{})
			run := taking(t, api, f, test.stdin, test.does...)
			takeover, err := run.ask(t.Context(), []claim{{"shop", "data"}}, "ann")
			if err != nil {
				t.Fatal(err)
			}
			err = run.follow(t.Context(), takeover)
			wantEnd(t, err, test.code, test.wants)
			if diff := cmp.Diff(test.stdout, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s%s", diff, complaints.String())
			}
			var list v1alpha1.TakeoverList
			if err := api.List(t.Context(), &list); err != nil || (len(list.Items) > 0) != test.stays {
				t.Fatalf("%v, %+v", err, list.Items)
			}
			if test.stays {
				want := v1alpha1.TakeoverSpec{From: "east", By: "ann", Claims: []v1alpha1.ClaimReference{{Namespace: "shop", Name: "data"}}, Confirm: test.confirm}
				if diff := cmp.Diff(want, list.Items[0].Spec); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// wantEnd checks how a command has ended: with that exit code and, if it failed, that in its error.
func wantEnd(t *testing.T, err error, code int, inError string) {
	t.Helper()
	if exitCode(err) != code || err != nil && !strings.Contains(err.Error(), inError) {
		t.Errorf("%d: %v; want %d, %s", exitCode(err), err, code, inError)
	}
}

// A node of the own cluster is cut off by a Takeover, too, which names the cluster for leaders that do not
// know of nodes.
func TestTakeoverOfANode(t *testing.T) {
	rebooted := func(t *v1alpha1.Takeover) { planned("h2")(t); t.Status.Phase = v1alpha1.TakeoverFailed }
	this := &v1alpha1.FerryCluster{ObjectMeta: metav1.ObjectMeta{Name: "u-west"}, Status: v1alpha1.FerryClusterStatus{Name: "west", ThisCluster: true}}
	for name, test := range map[string]struct {
		cluster *v1alpha1.FerryCluster
		stdin   string
		yes     bool
		does    []leader
		code    int
		stdout  string
		wants   string // in the error
		confirm string
	}{
		"planned, confirmed, done": {cluster: this, stdin: "w1\n", does: []leader{planned("h1"), did("NodeFenced"), ends(v1alpha1.TakeoverDone, "Node w1 writes nothing more.")},
			stdout: "volume shop/data, plan h1\n14:03:00  NodeFenced: as it should\n1 of 1 volume safe from node w1\nNode w1 writes nothing more.\n", confirm: "h1"},
		"the cluster's name is not the node's":  {cluster: this, stdin: "west\n", does: []leader{planned("h1")}, code: exitRefused, stdout: "volume shop/data, plan h1\n", wants: "that is not its name"},
		"nothing to do":                         {cluster: this, does: []leader{ends(v1alpha1.TakeoverDone, "nothing to do: node w1 has none")}, stdout: "nothing to do: node w1 has none\n"},
		"--yes does not stand for another boot": {cluster: this, yes: true, does: []leader{planned("h1"), did("MachinesFenced"), rebooted}, code: exitRefused, stdout: "volume shop/data, plan h1\n14:03:00  MachinesFenced: as it should\nThe situation has changed since the plan was made. The plan is now:\nvolume shop/data, plan h2\n", wants: "--yes confirms only the first one", confirm: "h1"},
		"--yes does not stand for a second plan, although none was confirmed": {cluster: this, yes: true, does: []leader{planned("h1"), planned("h2")}, code: exitRefused,
			stdout: "volume shop/data, plan h1\nThe situation has changed since the plan was made. The plan is now:\nvolume shop/data, plan h2\n", wants: "--yes confirms only the first one", confirm: "h1"},
		"nobody knows what the cluster is called": {code: exitFailed, wants: "run failover with --direct"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, complaints bytes.Buffer
			f := &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &complaints}}, node: "w1", although: true, yes: test.yes}
			var there []client.Object
			if test.cluster != nil {
				there = append(there, test.cluster.DeepCopy())
			}
			api := shows(t, interceptor.Funcs{}, there...)
			run := taking(t, api, f, test.stdin, test.does...)
			takeover, err := run.ask(t.Context(), nil, "ann")
			if err == nil {
				err = run.follow(t.Context(), takeover)
			}
			wantEnd(t, err, test.code, test.wants)
			if diff := cmp.Diff(test.stdout, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s%s", diff, complaints.String())
			}
			var list v1alpha1.TakeoverList
			if err := api.List(t.Context(), &list); err != nil {
				t.Fatal(err)
			}
			for _, one := range list.Items {
				want := v1alpha1.TakeoverSpec{From: "west", Node: "w1", AlthoughReporting: true, By: "ann", Confirm: test.confirm}
				if diff := cmp.Diff(want, one.Spec); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// What another run has confirmed, or the leader has refused, --yes does not confirm again.
func TestYesIsForTheFirstPlanOfANode(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Takeover){
		"confirmed before":    func(t *v1alpha1.Takeover) { t.Spec.Confirm = "h0" },
		"rejected before":     func(t *v1alpha1.Takeover) { t.Status.Rejected = "h0" },
		"begun before":        func(t *v1alpha1.Takeover) { t.Status.Confirmed = "h0" },
		"begun, taken back":   func(t *v1alpha1.Takeover) { t.Status.Phase = v1alpha1.TakeoverFailed },
		"rejected, and again": func(t *v1alpha1.Takeover) { t.Spec.Confirm, t.Status.Rejected = "h1", "h1" },
	} {
		t.Run(name, func(t *testing.T) {
			takeover := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: "lost"}, Spec: v1alpha1.TakeoverSpec{From: "west", Node: "w1", By: "ann"}}
			planned("h1")(takeover)
			change(takeover)
			want := takeover.Spec.Confirm
			api := shows(t, interceptor.Funcs{}, takeover)
			var out bytes.Buffer
			run := taking(t, api, &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &out}}, node: "w1", yes: true}, "")
			if err := run.follow(t.Context(), "lost"); exitCode(err) != exitRefused || !strings.Contains(err.Error(), "--yes confirms only the first one") {
				t.Errorf("%d: %v", exitCode(err), err)
			}
			if err := api.Get(t.Context(), client.ObjectKey{Name: "lost"}, takeover); err != nil || takeover.Spec.Confirm != want {
				t.Errorf("%v: it has confirmed %q", err, takeover.Spec.Confirm)
			}
		})
	}
}

// What the leader has refused is confirmed again only when it has seen that the former confirmation was
// taken back.
func TestConfirmedAgain(t *testing.T) {
	takeover := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: "lost"}, Spec: v1alpha1.TakeoverSpec{From: "west", Node: "w1", By: "ann", Confirm: "h1"}}
	planned("h1")(takeover)
	takeover.Status.Phase, takeover.Status.Rejected, takeover.Status.Confirmed = v1alpha1.TakeoverFailed, "h1", "h1"
	api := shows(t, interceptor.Funcs{}, takeover)
	var out bytes.Buffer
	var seen []string
	notes := func(then leader) leader {
		return func(t *v1alpha1.Takeover) {
			seen = append(seen, t.Spec.Confirm)
			then(t)
		}
	}
	run := taking(t, api, &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &out}}, node: "w1"}, "w1\n",
		notes(func(*v1alpha1.Takeover) {}), notes(func(t *v1alpha1.Takeover) { t.Status.Rejected, t.Status.Confirmed = "", "" }),
		notes(did("NodeFenced")), ends(v1alpha1.TakeoverDone, "Node w1 writes nothing more."))
	if err := run.follow(t.Context(), "lost"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"", "", "h1"}, seen); diff != "" {
		t.Errorf("-want +got:\n%s%s", diff, out.String())
	}
}

// It says what was not cut off, and does not ask the leader for what is over.
func TestWhatIsOver(t *testing.T) {
	hourAgo := metav1.NewTime(time.Now().Add(-v1alpha1.TakeoverBegunWithin - time.Minute))
	for name, test := range map[string]struct {
		change func(*v1alpha1.Takeover)
		wants  string
	}{
		"nothing was cut off": {func(t *v1alpha1.Takeover) {
			ends(v1alpha1.TakeoverDone, "this Takeover cut nothing off; node w1 may write")(t)
			t.Status.TakenCount, t.Status.Confirmed = 0, "h1"
			t.Status.Conditions = []metav1.Condition{{Type: "NodeFenced", Status: metav1.ConditionFalse, Reason: "NotYet", LastTransitionTime: metav1.Now()}}
		}, "0 of 1 volume safe from node w1\nthis Takeover cut nothing off; node w1 may write"},
		"an hour": {func(t *v1alpha1.Takeover) {
			ends(v1alpha1.TakeoverFailed, "Create another Takeover")(t)
			t.CreationTimestamp, t.Status.Confirmed = hourAgo, "h0"
		}, "0 of 1 volume safe from node w1\nCreate another Takeover"},
		"refused on the way": {func(t *v1alpha1.Takeover) {
			ends(v1alpha1.TakeoverFailed, "a plan needs another confirmation")(t)
			t.Status.Plan, t.Status.Confirmed, t.Spec.Confirm = nil, "h1", "h1"
		}, "0 of 1 volume safe from node w1; kubectl cephferry failover --takeover lost follows it\na plan needs another confirmation"},
	} {
		t.Run(name, func(t *testing.T) {
			takeover := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: "lost"}, Spec: v1alpha1.TakeoverSpec{From: "west", Node: "w1", By: "ann"}}
			planned("h1")(takeover)
			test.change(takeover)
			var out bytes.Buffer
			run := taking(t, shows(t, interceptor.Funcs{}, takeover), &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &out}}, node: "w1"}, "w1\n")
			if err := run.follow(t.Context(), "lost"); exitCode(err) != exitFailed || err.Error() != test.wants {
				t.Errorf("%d: %v", exitCode(err), err)
			}
			if out.Len() > 0 {
				t.Errorf("it says %s", out.String())
			}
		})
	}
}

// Broken off, the same command goes on with the same Takeover.
func TestTakeoverGoesOn(t *testing.T) {
	spec := v1alpha1.TakeoverSpec{From: "east", By: "ann", All: true, Confirm: "h1"}
	there := func(name string, spec v1alpha1.TakeoverSpec, phase v1alpha1.TakeoverPhase) *v1alpha1.Takeover {
		return &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec, Status: v1alpha1.TakeoverStatus{Phase: phase}}
	}
	over := there("0", spec, v1alpha1.TakeoverFailed)
	over.CreationTimestamp = metav1.NewTime(time.Now().Add(-v1alpha1.TakeoverBegunWithin - time.Minute))
	another := spec
	another.By = "bob"
	api := shows(t, interceptor.Funcs{}, over, there("a", another, v1alpha1.TakeoverRunning), there("b", spec, v1alpha1.TakeoverDone), there("c", spec, v1alpha1.TakeoverRunning))
	var out bytes.Buffer
	run := taking(t, api, &failoverOptions{options: &options{std: streams{stdout: &out, stderr: &out}}, from: "east", all: true}, "")
	if name, err := run.ask(t.Context(), nil, "ann"); err != nil || name != "c" || run.created {
		t.Errorf("%q, %v", name, err)
	}
	run.pause = func(context.Context) error { return context.Canceled }
	if err := run.follow(t.Context(), "c"); !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), "kubectl cephferry failover --takeover c follows it") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestWhoIsDead(t *testing.T) {
	api := shows(t, interceptor.Funcs{}, shownVolume("a", heldBy("east", "u-east", false)), shownVolume("b", heldBy("north", "u-north", false)),
		shownVolume("ours", heldBy("west", "u-west", true)))
	for name, test := range map[string]struct {
		from   string
		claims []claim
		want   string
		err    string
	}{
		"named":           {"east", []claim{{"shop", "none"}}, "east", ""},
		"the only owner":  {"", []claim{{"shop", "a"}, {"shop", "ours"}}, "east", ""},
		"ours":            {"", []claim{{"shop", "ours"}}, "", "this cluster shows no other owner of that; name the cluster that is dead with --from"},
		"never here":      {"", []claim{{"shop", "none"}}, "", "this cluster shows no other owner of that; name the cluster that is dead with --from"},
		"several of them": {"", []claim{{"shop", "a"}, {"shop", "b"}}, "", "several clusters own these volumes: east (shop/a) and north (shop/b); name those of one, or the one that is dead with --from"},
	} {
		run := taking(t, api, &failoverOptions{options: &options{}, from: test.from}, "")
		got, err := run.dead(t.Context(), test.claims)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for from, want := range map[string]string{"east": "east-", "East_1.": "east-1-", strings.Repeat("e", 90): strings.Repeat("e", 50) + "-"} {
		if got := nameFor(from); got != want {
			t.Errorf("%s: %s", from, got)
		}
	}
}

// Whom the API server forbids it, that person is refused: exit code 2.
func TestTakeoverIsForbidden(t *testing.T) {
	no := apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("takeovers").GroupResource(), "east", errors.New("spec.by must be you"))
	api := shows(t, interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return no }})
	run := taking(t, api, &failoverOptions{options: &options{}, from: "east"}, "")
	if _, err := run.ask(t.Context(), []claim{{"shop", "data"}}, "bob"); exitCode(err) != exitRefused || !strings.Contains(err.Error(), "spec.by must be you") {
		t.Error(err)
	}
}
