package inventory

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestOnceReadsOnceUntilItForgets(t *testing.T) {
	reads, lists := 0, 0
	down := errors.New("the API server is down")
	var fails error
	api := fake.NewClientBuilder().WithObjects(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ceph", Name: "config"}, Data: map[string]string{"key": "value"},
	}).WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
		if reads++; fails != nil {
			return fails
		}
		return c.Get(ctx, key, into, options...)
	}, List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
		lists++
		return c.List(ctx, into, options...)
	}}).Build()
	key := client.ObjectKey{Namespace: "ceph", Name: "config"}
	o := &Once{API: api}
	for range 3 {
		var into corev1.ConfigMap
		if err := o.Get(t.Context(), key, &into); err != nil || into.Data["key"] != "value" {
			t.Fatalf("%v, %v", into.Data, err)
		}
		into.Data["key"] = "changed by the caller"
	}
	if reads != 1 {
		t.Errorf("it was read %d times", reads)
	}
	o.Forget()
	fails = down
	for range 2 {
		if err := o.Get(t.Context(), key, &corev1.ConfigMap{}); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	}
	if reads != 2 {
		t.Errorf("it was read %d times", reads)
	}
	// A list is another one in another namespace.
	fails = nil
	for range 2 {
		for namespace, want := range map[string]int{"ceph": 1, "other": 0} {
			var list corev1.ConfigMapList
			if err := o.List(t.Context(), &list, client.InNamespace(namespace)); err != nil || len(list.Items) != want {
				t.Errorf("namespace %s has %d, %v", namespace, len(list.Items), err)
			}
		}
	}
	if lists != 2 {
		t.Errorf("it was listed %d times", lists)
	}
}

// TestOnceReadsEachPage: who reads page by page through it gets each page, and gets to the end.
func TestOnceReadsEachPage(t *testing.T) {
	lists := 0
	api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
		lists++
		all := (&client.ListOptions{}).ApplyOptions(options)
		page, next := "first", "2"
		if all.Continue != "" {
			page, next = "second", ""
		}
		list := into.(*corev1.ConfigMapList)
		list.Continue = next
		list.Items = []corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Name: page}}}
		return nil
	}}).Build()
	o := &Once{API: api}
	for range 2 {
		var names []string
		for token := ""; len(names) < 5; {
			var list corev1.ConfigMapList
			if err := o.List(t.Context(), &list, client.Limit(1), client.Continue(token)); err != nil {
				t.Fatal(err)
			}
			names = append(names, list.Items[0].Name)
			if token = list.Continue; token == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{"first", "second"}, names); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	// With another limit it is another page.
	if err := o.List(t.Context(), &corev1.ConfigMapList{}, client.Limit(2)); err != nil || lists != 3 {
		t.Errorf("%v, listed %d times", err, lists)
	}
}
