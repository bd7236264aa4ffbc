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
		fail      error
		want      map[string]string
		wantError string
	}{
		"no labels":            {namespace: inNamespace("shop", nil), want: guarded},
		"other labels stay":    {namespace: inNamespace("shop", map[string]string{"team": "db"}), want: map[string]string{"team": "db", "cephferry.io/guarded": "true"}},
		"labelled already":     {namespace: inNamespace("shop", guarded), want: guarded},
		"labelled with a no":   {namespace: inNamespace("shop", map[string]string{"cephferry.io/guarded": "false"}), want: guarded},
		"no namespace":         {wantError: "label namespace shop: it does not exist; create it before its volumes"},
		"the API server fails": {namespace: inNamespace("shop", nil), fail: errors.New("boom"), wantError: "label namespace shop: boom"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if test.namespace != nil {
				if err := w.objects.Create(t.Context(), test.namespace); err != nil {
					t.Fatal(err)
				}
			}
			failing := interceptor.NewClient(w.objects, interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
					if test.fail != nil {
						return test.fail
					}
					return c.Patch(ctx, object, patch, options...)
				},
			})
			n := guard.Namespaces{Client: failing, Finder: w.endpoints.Finder}
			got := ""
			if err := n.Label(t.Context(), "shop"); err != nil {
				got = err.Error()
			}
			same(t, test.wantError, got)
			same(t, test.want, w.labelsOf("shop"))
		})
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
