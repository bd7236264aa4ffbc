package guard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const grace = 75 * time.Second

// unusing is a namespace shop with these labels that Unused looks at.
type unusing struct {
	*world
	guard.Unused
	now time.Time
	// patches is what changes of the namespace end with.
	patches error
	// lists is what reading the volumes from the API server ends with.
	lists error
}

func newUnusing(t *testing.T, labels map[string]string, pvs ...client.Object) *unusing {
	t.Helper()
	u := &unusing{world: newWorld(t, nil), now: noon}
	for _, object := range append(pvs, inNamespace("shop", labels)) {
		if err := u.objects.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	failing := interceptor.NewClient(u.objects, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			if u.patches != nil {
				return u.patches
			}
			return c.Patch(ctx, object, patch, options...)
		},
	})
	api := interceptor.NewClient(u.objects, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if u.lists != nil {
				return u.lists
			}
			return c.List(ctx, list, options...)
		},
	})
	u.Unused = guard.Unused{
		Client: failing, Finder: volumes.Finder{Cache: u.objects, API: api}, Grace: grace,
		Now: func() time.Time { return u.now },
	}
	return u
}

// reconcile runs Unused once, and checks for how long it wants to wait.
func (u *unusing) reconcile(wait time.Duration) {
	u.t.Helper()
	result, err := u.Reconcile(u.t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "shop"}})
	if err != nil {
		u.t.Fatal(err)
	}
	same(u.t, reconcile.Result{RequeueAfter: wait}, result)
}

// is checks the label and the mark of the namespace.
func (u *unusing) is(label, mark string) {
	u.t.Helper()
	var found corev1.Namespace
	if err := u.objects.Get(u.t.Context(), client.ObjectKey{Name: "shop"}, &found); err != nil {
		u.t.Fatal(err)
	}
	same(u.t, [2]string{label, mark}, [2]string{found.Labels[guard.GuardedLabel], found.Annotations[guard.UnusedAnnotation]})
}

// admits is what the volume endpoint does before a volume is stored.
func (u *unusing) admits() {
	u.t.Helper()
	n := guard.Namespaces{Client: u.objects, Finder: volumes.Finder{API: u.objects}}
	if err := n.Label(u.t.Context(), "shop"); err != nil {
		u.t.Fatal(err)
	}
}

func (u *unusing) stores(pv client.Object) {
	u.t.Helper()
	if err := u.objects.Create(u.t.Context(), pv); err != nil {
		u.t.Fatal(err)
	}
}

func TestTheLabelGoesWhenNoGuardedVolumeIsLeft(t *testing.T) {
	guarded := map[string]string{guard.GuardedLabel: "true"}
	elsewhere := volume("data")
	elsewhere.Spec.ClaimRef.Namespace = "elsewhere"
	tests := map[string]struct {
		pvs    []client.Object
		labels map[string]string
		want   string
	}{
		"no volume":                            {labels: guarded},
		"a volume of another namespace":        {pvs: []client.Object{elsewhere}, labels: guarded},
		"a volume for no claim":                {pvs: []client.Object{volume("data", withoutClaim)}, labels: guarded},
		"a volume that is not guarded":         {pvs: []client.Object{volume("data", dynamic)}, labels: guarded},
		"a volume on CephFS":                   {pvs: []client.Object{volume("data", cephFS)}, labels: guarded},
		"a guarded volume":                     {pvs: []client.Object{elsewhereNamed(elsewhere, "other"), volume("data")}, labels: guarded, want: "true"},
		"a guarded volume, its image unknown":  {pvs: []client.Object{volume("data", without("pool"))}, labels: guarded, want: "true"},
		"a label that does not guard":          {labels: map[string]string{guard.GuardedLabel: "false"}, want: "false"},
		"no label, and other labels are there": {labels: map[string]string{"team": "db"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUnusing(t, test.labels, test.pvs...)
			if test.want != "" || test.labels[guard.GuardedLabel] == "" {
				u.reconcile(0)
				u.now = u.now.Add(grace)
				u.reconcile(0)
				u.is(test.want, "")
				return
			}
			u.reconcile(0)
			u.is("true", "true")
			u.reconcile(grace)
			u.now = u.now.Add(grace - time.Second)
			u.reconcile(time.Second)
			u.is("true", "true")
			u.now = u.now.Add(time.Second)
			u.reconcile(0)
			u.is("", "")
		})
	}
}

func elsewhereNamed(pv *corev1.PersistentVolume, name string) *corev1.PersistentVolume {
	named := pv.DeepCopy()
	named.Name = name
	return named
}

// A volume comes meanwhile; whenever it is admitted and stored, its namespace has the
// label.
func TestTheLabelStaysForAVolumeOnItsWay(t *testing.T) {
	guarded := map[string]string{guard.GuardedLabel: "true"}
	for name, comes := range map[string]func(*unusing){
		"admitted before the mark, stored in the last moment": func(u *unusing) {
			u.admits()
			u.reconcile(0)
			u.reconcile(grace)
			u.now = u.now.Add(grace)
			u.Finder.Cache = newWorld(u.t, nil).objects // it is late
			u.stores(volume("data"))
		},
		"admitted after the mark, not stored yet": func(u *unusing) {
			u.reconcile(0)
			u.reconcile(grace)
			u.now = u.now.Add(grace)
			u.admits()
			u.reconcile(0) // the mark is there again
			u.reconcile(grace)
		},
		"admitted between the last look and the removal": func(u *unusing) {
			u.reconcile(0)
			u.reconcile(grace)
			u.now = u.now.Add(grace)
			before := u.Client
			u.Client = interceptor.NewClient(u.objects, interceptor.Funcs{
				Patch: func(ctx context.Context, _ client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
					u.admits()
					return before.Patch(ctx, object, patch, options...)
				},
			})
		},
		"a tool takes the mark away": func(u *unusing) {
			u.reconcile(0)
			u.reconcile(grace)
			u.now = u.now.Add(grace)
			var found corev1.Namespace
			if err := u.objects.Get(u.t.Context(), client.ObjectKey{Name: "shop"}, &found); err != nil {
				u.t.Fatal(err)
			}
			found.Annotations = nil
			if err := u.objects.Update(u.t.Context(), &found); err != nil {
				u.t.Fatal(err)
			}
		},
		"another process becomes the leader": func(u *unusing) {
			u.reconcile(0)
			u.reconcile(grace)
			u.now = u.now.Add(grace)
			u.Unused = guard.Unused{Client: u.Client, Finder: u.Finder, Grace: grace, Now: u.Now}
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnusing(t, guarded)
			comes(u)
			if _, err := u.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "shop"}}); err != nil {
				t.Fatal(err)
			}
			var found corev1.Namespace
			if err := u.objects.Get(t.Context(), client.ObjectKey{Name: "shop"}, &found); err != nil {
				t.Fatal(err)
			}
			same(t, "true", found.Labels[guard.GuardedLabel])
		})
	}
}

func TestTheLabelStaysWhenNothingCanBeKnown(t *testing.T) {
	guarded := map[string]string{guard.GuardedLabel: "true"}
	for name, test := range map[string]struct {
		fail func(*unusing)
		want string
	}{
		"the volumes cannot be read":     {func(u *unusing) { u.lists = errors.New("boom") }, "list persistent volumes: boom"},
		"the namespace cannot be marked": {func(u *unusing) { u.patches = errors.New("boom") }, "change namespace shop: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnusing(t, guarded)
			u.reconcile(0)
			u.reconcile(grace)
			u.now = u.now.Add(grace)
			test.fail(u)
			_, err := u.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "shop"}})
			if err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			u.is("true", "true")
		})
	}
}
