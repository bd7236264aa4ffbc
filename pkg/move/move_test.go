package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// world is two clusters and the volumes that they share. Between two looks it does what
// controllers, nodes and webhooks do there.
type world struct {
	t          *testing.T
	east, west *end
	now        time.Time
	said       []string
	// stuck: the source never lets go. broken: pods of the target never start.
	stuck, broken bool
	// interrupt ends the move when this was said.
	interrupt string
	cancel    context.CancelFunc
}

// end is a cluster.
type end struct {
	client.Client
	uid string
}

func newWorld(t *testing.T, objects func(cluster string) []client.Object) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for name, at := range map[string]**end{"east": &w.east, "west": &w.west} {
		// The webhook refuses replicas whose volume another cluster has.
		guard := interceptor.Funcs{Patch: func(ctx context.Context, api client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			set, ok := object.(*appsv1.StatefulSet)
			if ok && *set.Spec.Replicas > 0 {
				if owner := w.owner("data-db-0"); owner != "" && owner != "u-"+name {
					return errors.New("admission webhook denied the request: volume is in use by another cluster")
				}
			}
			return api.Patch(ctx, object, patch, options...)
		}}
		api := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(guard).WithObjects(objects(name)...).
			WithStatusSubresource(&appsv1.StatefulSet{}, &appsv1.Deployment{}, &v1alpha1.MigratableVolume{}).Build()
		*at = &end{api, "u-" + name}
	}
	return w
}

func (w *world) mover() *Mover {
	return &Mover{
		From: Cluster{w.east.Client, "east", "u-east"}, To: Cluster{w.west.Client, "west", "u-west"}, Limit: 10 * time.Second,
		Now: func() time.Time { return w.now },
		Say: func(step string) {
			w.said = append(w.said, step)
			if w.interrupt != "" && strings.Contains(step, w.interrupt) {
				w.cancel()
			}
		},
		Pause: func(ctx context.Context) error { w.now = w.now.Add(time.Second); w.passes(); return ctx.Err() },
	}
}

// passes is a second in both clusters.
func (w *world) passes() {
	w.t.Helper()
	for _, e := range []*end{w.east, w.west} {
		var sets appsv1.StatefulSetList
		w.must(e.List(w.t.Context(), &sets))
		for i := range sets.Items {
			set := &sets.Items[i]
			claim := "data-" + set.Name + "-0"
			owner := w.owner(claim)
			runs := *set.Spec.Replicas > 0 && (owner == "" || owner == e.uid) && (e != w.west || !w.broken)
			switch {
			case runs:
				w.own(claim, e.uid)
			case *set.Spec.Replicas == 0 && owner == e.uid && !(w.stuck && e == w.east):
				w.own(claim, "")
			}
			set.Status.ReadyReplicas = 0
			if runs {
				set.Status.ReadyReplicas = *set.Spec.Replicas
			}
			set.Status.ObservedGeneration = set.Generation
			w.must(e.Status().Update(w.t.Context(), set))
		}
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// owner is the uid of the cluster that owns the volume.
func (w *world) owner(claim string) string {
	var volume v1alpha1.MigratableVolume
	if w.east == nil || w.east.Get(w.t.Context(), client.ObjectKey{Namespace: "shop", Name: claim}, &volume) != nil || volume.Status.Owner == nil {
		return ""
	}
	return volume.Status.Owner.UID
}

// own makes both clusters show the owner.
func (w *world) own(claim, uid string) {
	w.t.Helper()
	for _, e := range []*end{w.east, w.west} {
		var volume v1alpha1.MigratableVolume
		if e.Get(w.t.Context(), client.ObjectKey{Namespace: "shop", Name: claim}, &volume) != nil {
			continue
		}
		volume.Status.State, volume.Status.Owner = v1alpha1.VolumeFree, nil
		if uid != "" {
			volume.Status.State, volume.Status.Owner = v1alpha1.VolumeHeld, &v1alpha1.VolumeOwner{Name: strings.TrimPrefix(uid, "u-"), UID: uid}
		}
		w.must(e.Status().Update(w.t.Context(), &volume))
	}
}

// state is the set in both clusters, and whose the volume is.
func (w *world) state() string {
	w.t.Helper()
	var parts []string
	for _, e := range []*end{w.east, w.west} {
		var set appsv1.StatefulSet
		w.must(e.Get(w.t.Context(), client.ObjectKey{Namespace: "shop", Name: "db"}, &set))
		parts = append(parts, fmt.Sprintf("%s %d%s", strings.TrimPrefix(e.uid, "u-"), *set.Spec.Replicas, set.Annotations[Replicas]))
	}
	return strings.Join(append(parts, w.owner("data-db-0")), ", ")
}

func statefulSet(replicas int32, change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", Annotations: map[string]string{releaseAnnotation: "db"}}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
	}}
	for _, f := range change {
		f(set)
	}
	return set
}

func shownAs(claim, image, uid string) *v1alpha1.MigratableVolume {
	volume := &v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: claim}}
	volume.Status.Image, volume.Status.State = image, v1alpha1.VolumeFree
	if uid != "" {
		volume.Status.State, volume.Status.Owner = v1alpha1.VolumeHeld, &v1alpha1.VolumeOwner{Name: strings.TrimPrefix(uid, "u-"), UID: uid}
	}
	return volume
}

// runsInEast is a set that runs in east, and is installed in west.
func runsInEast(cluster string) []client.Object {
	image := "rbd/shop.data-db-0~" + cluster
	if cluster == "west" {
		return []client.Object{statefulSet(0), shownAs("data-db-0", image, "u-east")}
	}
	return []client.Object{statefulSet(1), shownAs("data-db-0", image, "u-east")}
}

func TestMove(t *testing.T) {
	w := newWorld(t, runsInEast)
	m := w.mover()
	plan, err := m.Prepare(t.Context(), Wish{Namespace: "shop", Names: []Name{{StatefulSet, "db"}}})
	if err != nil {
		t.Fatal(err)
	}
	down, err := m.Run(t.Context(), plan)
	if err != nil || down != 2*time.Second {
		t.Errorf("%s, %v", down, err)
	}
	if got := w.state(); got != "east 0, west 1, u-west" {
		t.Error(got)
	}
	want := []string{
		"east: statefulset/db is scaled from 1 to 0", "east: volume data-db-0 is free", "west: statefulset/db is scaled from 0 to 1",
		"west: has volume data-db-0", "west: statefulset/db is ready",
	}
	if diff := cmp.Diff(want, w.said); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Whatever goes wrong, nothing runs twice, and what is possible is as it was before.
func TestMoveThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*world)
		want   string
		state  string
	}{
		"the source does not let go": {func(w *world) { w.stuck = true },
			"wait until east lets go, for 10s: volume data-db-0 is cluster east's (Held)\neast runs it again, as before", "east 1, west 0, u-east"},
		"the target does not start": {func(w *world) { w.broken = true },
			"wait until west runs it, for 10s: statefulset/db is not ready\neast runs it again, as before", "east 1, west 0, u-east"},
		"the target shows another image": {func(w *world) { w.interrupt = "is scaled from 0"; w.cancel = func() { w.shows("rbd/empty~west") } },
			"claim data-db-0 has image rbd/empty there, and not rbd/shop.data-db-0\neast runs it again, as before", "east 1, west 0, u-east"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, runsInEast)
			test.change(w)
			m := w.mover()
			plan, err := m.Prepare(t.Context(), Wish{Namespace: "shop"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Run(t.Context(), plan); err == nil || err.Error() != test.want {
				t.Errorf("%v", err)
			}
			w.passes()
			if got := w.state(); got != test.state {
				t.Errorf("%s, want %s; %q", got, test.state, w.said)
			}
		})
	}
}

// shows makes west show another image for the claim.
func (w *world) shows(image string) {
	var volume v1alpha1.MigratableVolume
	w.must(w.west.Get(w.t.Context(), client.ObjectKey{Namespace: "shop", Name: "data-db-0"}, &volume))
	volume.Status.Image = image
	w.must(w.west.Status().Update(w.t.Context(), &volume))
}

// The target has the volume and is not ready: that is not taken back without a person.
func TestMoveThatHasBegunThere(t *testing.T) {
	w := newWorld(t, runsInEast)
	m := w.mover()
	m.Limit = 0 // it has the volume, and is looked at no more
	plan, err := m.Prepare(t.Context(), Wish{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	w.must(plan.items[0].from.scale(t.Context(), w.east, 0, map[string]string{Replicas: "1", To: "u-west"}))
	w.own("data-db-0", "u-west")
	if _, err := m.Run(t.Context(), plan); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "so nothing was undone: data-db-0") {
		t.Errorf("%v", err)
	}
	if got := w.state(); got != "east 01, west 1, u-west" {
		t.Error(got)
	}
}

// Broken off after each step, the same command goes on, or goes back.
func TestMoveThatIsBrokenOff(t *testing.T) {
	for _, after := range []string{"is scaled from 1", "is free", "is scaled from 0", "has volume"} {
		for undo, state := range map[bool]string{false: "east 0, west 1, u-west", true: "east 1, west 0, u-east"} {
			t.Run(fmt.Sprint(after, undo), func(t *testing.T) {
				w := newWorld(t, runsInEast)
				w.interrupt = after
				ctx, cancel := context.WithCancel(t.Context())
				w.cancel = cancel
				m := w.mover()
				wish := Wish{Namespace: "shop", Release: "db"}
				plan, err := m.Prepare(ctx, wish)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Run(ctx, plan); ctx.Err() != nil && err == nil && !strings.HasPrefix(w.state(), "east 0, ") {
					t.Errorf("it ran to its end: %s", w.state())
				}
				w.interrupt, wish.Undo = "", undo
				again, err := m.Prepare(t.Context(), wish)
				var refusal *Refusal
				if errors.As(err, &refusal) && strings.HasPrefix(w.state(), "east 0, west 1") {
					return // it was at its end
				}
				if err != nil {
					t.Fatal(err)
				}
				if plan.Resumed || !again.Resumed {
					t.Errorf("the first run goes on with another one: %t; the second: %t", plan.Resumed, again.Resumed)
				}
				if undo {
					err = m.Undo(t.Context(), again)
				} else {
					_, err = m.Run(t.Context(), again)
				}
				if err != nil {
					t.Error(err)
				}
				w.passes()
				if got := w.state(); got != state {
					t.Errorf("%s, want %s; %q", got, state, w.said)
				}
			})
		}
	}
}

func TestMoveIsRefused(t *testing.T) {
	change := func(east, west func() []client.Object) func(string) []client.Object {
		return func(cluster string) []client.Object {
			if cluster == "east" && east != nil {
				return east()
			}
			if cluster == "west" && west != nil {
				return west()
			}
			return runsInEast(cluster)
		}
	}
	yes := true
	named := Wish{Namespace: "shop", Names: []Name{{StatefulSet, "db"}}}
	for name, test := range map[string]struct {
		objects func(string) []client.Object
		wish    Wish
		want    string
	}{
		"not there": {runsInEast, Wish{Namespace: "shop", Names: []Name{{Deployment, "web"}}}, "namespace shop of east has no deployment/web"},
		"nothing":   {runsInEast, Wish{Namespace: "shop", Release: "web"}, "namespace shop of east has nothing that runs"},
		"no target": {change(nil, func() []client.Object { return nil }), named, "west has no statefulset/db in namespace shop"},
		"down":      {change(func() []client.Object { return []client.Object{statefulSet(0)} }, nil), named, "statefulset/db has no replicas in east"},
		"an operator's": {change(func() []client.Object {
			return []client.Object{shownAs("data-db-0", "rbd/shop.data-db-0", "u-east"), statefulSet(1, func(s *appsv1.StatefulSet) {
				s.OwnerReferences = []metav1.OwnerReference{{Kind: "Postgres", Name: "db", Controller: &yes}}
			})}
		}, nil), named, "statefulset/db is controlled by Postgres db, which would undo it"},
		"going elsewhere": {change(func() []client.Object {
			return []client.Object{statefulSet(0, func(s *appsv1.StatefulSet) { s.Annotations = map[string]string{Replicas: "1", To: "u-north"} })}
		}, nil), named, "a move of statefulset/db to another cluster was begun"},
		"a note that is none": {change(func() []client.Object {
			return []client.Object{statefulSet(0, func(s *appsv1.StatefulSet) { s.Annotations = map[string]string{Replicas: "many"} })}
		}, nil), named, `statefulset/db has the annotation move.cephferry.io/replicas: "many", which is not a number of replicas`},
		"data that would stay": {change(func() []client.Object { return []client.Object{statefulSet(1)} }, nil), named,
			"claim data-db-0 of statefulset/db has no volume in east that can move (no MigratableVolume): its data would stay there"},
		"another image": {change(nil, func() []client.Object {
			return []client.Object{statefulSet(0), shownAs("data-db-0", "rbd/other~west", "")}
		}), named,
			"claim data-db-0 has image rbd/shop.data-db-0 in east and image rbd/other in west: it would start on another volume"},
		"another owner": {change(func() []client.Object {
			return []client.Object{statefulSet(1), shownAs("data-db-0", "rbd/shop.data-db-0", "u-north")}
		}, nil), named, "the volume of claim data-db-0 is cluster north's"},
		"nobody knows": {change(func() []client.Object {
			volume := shownAs("data-db-0", "rbd/shop.data-db-0", "")
			volume.Status.State = v1alpha1.VolumeUnknown
			return []client.Object{statefulSet(1), volume}
		}, nil), named, "who owns the volume of claim data-db-0 is not known to cluster east"},
		"nothing to undo": {runsInEast, Wish{Namespace: "shop", Names: named.Names, Undo: true}, "no move of statefulset/db was begun"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.objects)
			_, err := w.mover().Prepare(t.Context(), test.wish)
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.What != test.want || refusal.Do == "" {
				t.Errorf("%v", err)
			}
		})
	}
	w := newWorld(t, runsInEast)
	m := w.mover()
	m.To.UID = m.From.UID
	if _, err := m.Prepare(t.Context(), named); err == nil || !strings.HasPrefix(err.Error(), "contexts east and west lead to one cluster") {
		t.Error(err)
	}
}

// What a person leaves behind does not go along.
func TestLeave(t *testing.T) {
	w := newWorld(t, func(cluster string) []client.Object { return []client.Object{statefulSet(1)} })
	plan, err := w.mover().Prepare(t.Context(), Wish{Namespace: "shop", Stay: []string{"data-db-0"}})
	if err != nil || len(plan.Claims()) != 0 || !cmp.Equal(plan.Names(), []string{"statefulset/db (1)"}) {
		t.Errorf("%v, %+v", err, plan)
	}
}
