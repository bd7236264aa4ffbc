package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// flaky is an API server that counts reads, and fails them while it has an error.
type flaky struct {
	client.Client
	reads int
	err   error
}

func (f *flaky) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	f.reads++
	if f.err != nil {
		return f.err
	}
	return f.Client.Get(ctx, key, into, options...)
}

// TestRecent: an object is read again when it is no longer fresh, an error is not
// remembered, and callers cannot change what is remembered.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := &corev1.ConfigMap{Data: map[string]string{"a": "1"}}
		config.Namespace, config.Name = "rook-ceph", "ceph-csi-config"
		api := &flaky{Client: fake.NewClientBuilder().WithObjects(config.DeepCopy()).Build(), err: errors.New("connection refused")}
		r := &recent{api: api, answers: map[string]answer{}}
		read := func(name string) (string, error) {
			var got corev1.ConfigMap
			err := r.get(t.Context(), "rook-ceph", name, &got)
			value := got.Data["a"]
			if got.Data != nil {
				got.Data["a"] = "changed by the caller"
			}
			return value, err
		}
		step := func(what, name, want string, wantReads int, isErr func(error) bool) {
			t.Helper()
			got, err := read(name)
			if got != want || api.reads != wantReads || !isErr(err) {
				t.Errorf("%s: got %q and %v after %d reads, want %q after %d", what, got, err, api.reads, want, wantReads)
			}
		}
		none := func(err error) bool { return err == nil }
		step("the API server is away", "ceph-csi-config", "", 1, func(err error) bool { return err == api.err })
		api.err = nil
		step("it is back", "ceph-csi-config", "1", 2, none)
		step("fresh", "ceph-csi-config", "1", 2, none)
		step("absent", "rook-ceph-csi-config", "", 3, apierrors.IsNotFound)
		step("absent, still", "rook-ceph-csi-config", "", 3, apierrors.IsNotFound)

		changed := config.DeepCopy()
		changed.Data["a"] = "2"
		if err := api.Update(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		step("changed a moment ago", "ceph-csi-config", "1", 3, none)
		time.Sleep(fresh + time.Millisecond) // the bubble's clock
		step("changed", "ceph-csi-config", "2", 4, none)
	})
}
