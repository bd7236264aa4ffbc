package guard_test

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/volumes"
)

func inNamespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// labelsOf are the labels of a namespace, nil without the namespace.
func (w *world) labelsOf(name string) map[string]string {
	w.t.Helper()
	var found corev1.Namespace
	if err := w.objects.Get(w.t.Context(), client.ObjectKey{Name: name}, &found); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return found.Labels
}

func TestLabel(t *testing.T) {
	guarded := map[string]string{"cephferry.io/guarded": "true"}
	tests := map[string]struct {
		namespace *corev1.Namespace
		// fail and failRead are what writing and reading end with.
		fail, failRead error
		want           map[string]string
		wantError      string
		patches        int
	}{
		"no labels":            {namespace: inNamespace("shop", nil), want: guarded, patches: 1},
		"other labels stay":    {namespace: inNamespace("shop", map[string]string{"team": "db"}), want: map[string]string{"team": "db", "cephferry.io/guarded": "true"}, patches: 1},
		"labelled already":     {namespace: inNamespace("shop", guarded), want: guarded},
		"about to lose it":     {namespace: unusedNamespace("shop", guarded), want: guarded, patches: 1},
		"labelled with a no":   {namespace: inNamespace("shop", map[string]string{"cephferry.io/guarded": "false"}), want: guarded, patches: 1},
		"no namespace":         {wantError: "label namespace shop: it does not exist; create it before its volumes"},
		"the API server fails": {namespace: inNamespace("shop", nil), fail: errors.New("boom"), wantError: "label namespace shop: boom", patches: 1},
		"it cannot be read":    {namespace: inNamespace("shop", guarded), failRead: errors.New("boom"), want: guarded, wantError: "label namespace shop: boom"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if test.namespace != nil {
				if err := w.objects.Create(t.Context(), test.namespace); err != nil {
					t.Fatal(err)
				}
			}
			patches := 0
			failing := interceptor.NewClient(w.objects, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
					if test.failRead != nil {
						return test.failRead
					}
					return c.Get(ctx, key, object, options...)
				},
				Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
					patches++
					if test.fail != nil {
						return test.fail
					}
					return c.Patch(ctx, object, patch, options...)
				},
			})
			n := guard.Namespaces{Client: failing, Finder: volumes.Finder{API: failing}}
			got := ""
			if err := n.Label(t.Context(), "shop"); err != nil {
				got = err.Error()
			}
			same(t, test.wantError, got)
			same(t, test.want, w.labelsOf("shop"))
			same(t, test.patches, patches)
			var after corev1.Namespace
			if err := w.objects.Get(t.Context(), client.ObjectKey{Name: "shop"}, &after); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			same(t, "", after.Annotations[guard.UnusedAnnotation])
		})
	}
}

// TestManyVolumesOfANamespace: its label is written once, not for each of them.
func TestManyVolumesOfANamespace(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.objects.Create(t.Context(), inNamespace("shop", nil)); err != nil {
		t.Fatal(err)
	}
	gets, patches := 0, 0
	counting := interceptor.NewClient(w.objects, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			gets++
			return c.Get(ctx, key, object, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			patches++
			return c.Patch(ctx, object, patch, options...)
		},
	})
	n := guard.Namespaces{Client: counting, Finder: volumes.Finder{API: counting}}
	for range 200 {
		if err := n.Label(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	}
	same(t, [2]int{200, 1}, [2]int{gets, patches})
}

// unusedNamespace is one with the mark that it is unused.
func unusedNamespace(name string, labels map[string]string) *corev1.Namespace {
	namespace := inNamespace(name, labels)
	namespace.Annotations = map[string]string{guard.UnusedAnnotation: "true"}
	return namespace
}

// TestACacheThatDoesNotKnowTheMark: what takes the mark away is what the API server says.
func TestACacheThatDoesNotKnowTheMark(t *testing.T) {
	guarded := map[string]string{guard.GuardedLabel: "true"}
	stored, cached := newWorld(t, nil), newWorld(t, nil)
	for w, namespace := range map[*world]*corev1.Namespace{stored: unusedNamespace("shop", guarded), cached: inNamespace("shop", guarded)} {
		if err := w.objects.Create(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
	}
	// The manager's client reads from its cache, and writes to the API server.
	late := interceptor.NewClient(stored.objects, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			return cached.objects.Get(ctx, key, object, options...)
		},
	})
	n := guard.Namespaces{Client: late, Finder: volumes.Finder{Cache: cached.objects, API: stored.objects}}
	if err := n.Label(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	var after corev1.Namespace
	if err := stored.objects.Get(t.Context(), client.ObjectKey{Name: "shop"}, &after); err != nil {
		t.Fatal(err)
	}
	if _, marked := after.Annotations[guard.UnusedAnnotation]; marked || after.Labels[guard.GuardedLabel] != "true" {
		t.Errorf("the namespace has annotations %v and labels %v", after.Annotations, after.Labels)
	}
}

func TestNamespacesAreLabelledLater(t *testing.T) {
	guarded := map[string]string{"cephferry.io/guarded": "true"}
	tests := map[string]struct {
		pv        *corev1.PersistentVolume
		labels    map[string]string
		absent    bool
		want      map[string]string
		wantError string
	}{
		"a guarded volume":                     {pv: volume("data"), want: guarded},
		"a guarded volume, labelled already":   {pv: volume("data"), labels: guarded, want: guarded},
		"a guarded volume, labelled with a no": {pv: volume("data"), labels: map[string]string{"cephferry.io/guarded": "false"}, want: guarded},
		"a guarded volume for nobody":          {pv: volume("data", withoutClaim)},
		"a guarded volume, and no namespace":   {pv: volume("data"), absent: true},
		"a volume that is not guarded":         {pv: volume("data", dynamic)},
		"CephFS":                               {pv: volume("data", cephFS)},
		"no volume":                            {},
		"a label is not taken away here":       {pv: volume("data", dynamic), labels: guarded, want: guarded},
		"a volume whose image is not known": {
			pv:        volume("data", without("pool")),
			want:      guarded,
			wantError: "terminal error: PersistentVolume shop.data: spec.csi.volumeAttributes[pool] is missing, so its image is not known",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if test.pv != nil {
				if err := w.objects.Create(t.Context(), test.pv); err != nil {
					t.Fatal(err)
				}
			}
			if !test.absent {
				if err := w.objects.Create(t.Context(), inNamespace("shop", test.labels)); err != nil {
					t.Fatal(err)
				}
			}
			n := guard.Namespaces{Client: w.objects, Finder: w.endpoints.Finder}
			result, err := n.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "shop.data"}})
			same(t, reconcile.Result{}, result)
			got := ""
			if err != nil {
				got = err.Error()
			}
			same(t, test.wantError, got)
			same(t, test.want, w.labelsOf("shop"))
		})
	}
}
