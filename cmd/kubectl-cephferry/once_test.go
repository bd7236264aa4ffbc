package main

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestOnceReadsOnceUntilItForgets(t *testing.T) {
	reads := 0
	down := errors.New("the API server is down")
	var fails error
	api := fake.NewClientBuilder().WithObjects(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ceph", Name: "config"}, Data: map[string]string{"key": "value"},
	}).WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
		if reads++; fails != nil {
			return fails
		}
		return c.Get(ctx, key, into, options...)
	}}).Build()
	o := &once{api: api}
	for range 3 {
		var into corev1.ConfigMap
		if err := o.get(t.Context(), "ceph", "config", &into); err != nil || into.Data["key"] != "value" {
			t.Fatalf("%v, %v", into.Data, err)
		}
		into.Data["key"] = "changed by the caller"
	}
	if reads != 1 {
		t.Errorf("it was read %d times", reads)
	}
	o.forget()
	fails = down
	for range 2 {
		if err := o.get(t.Context(), "ceph", "config", &corev1.ConfigMap{}); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	}
	if reads != 2 {
		t.Errorf("it was read %d times", reads)
	}
}
