package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/connect"
)

// flaky is an API server that counts reads, and fails them while it has an error.
type flaky struct {
	client.Client
	reads atomic.Int32
	err   error
}

func (f *flaky) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	f.reads.Add(1)
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
		r := newRecent(api)
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
			if got != want || int(api.reads.Load()) != wantReads || !isErr(err) {
				t.Errorf("%s: got %q and %v after %d reads, want %q after %d", what, got, err, api.reads.Load(), want, wantReads)
			}
		}
		none := func(err error) bool { return err == nil }
		step("the API server is away", "ceph-csi-config", "", 1, func(err error) bool { return errors.Is(err, api.err) })
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

// TestRecentIsRenewed: what is ageing is read again while who asks gets what is known, once.
func TestRecentIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := &corev1.ConfigMap{Data: map[string]string{"a": "1"}}
		config.Namespace, config.Name = "rook-ceph", "ceph-csi-config"
		api := &flaky{Client: fake.NewClientBuilder().WithObjects(config.DeepCopy()).Build()}
		r := newRecent(api)
		read := func(what, want string, wantReads int) {
			t.Helper()
			var got corev1.ConfigMap
			if err := r.get(t.Context(), "rook-ceph", "ceph-csi-config", &got); err != nil || got.Data["a"] != want {
				t.Errorf("%s: got %q, %v; want %q", what, got.Data["a"], err, want)
			}
			synctest.Wait()
			if int(api.reads.Load()) != wantReads {
				t.Errorf("%s: %d reads; want %d", what, api.reads.Load(), wantReads)
			}
		}
		read("at first", "1", 1)
		config.Data["a"] = "2"
		if err := api.Update(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ageing)
		read("not ageing yet", "1", 1)
		time.Sleep(time.Millisecond)
		read("ageing", "1", 2)
		read("renewed", "2", 2)
		time.Sleep(ageing + time.Millisecond)
		api.err = errors.New("connection refused")
		read("the API server is away", "2", 3)
		read("it is still", "2", 4)
		api.err = nil
		read("it is back", "2", 5)
		time.Sleep(ageing)
		read("after that", "2", 5)
	})
}

// TestRemembered: settings are those of objects that are no older than fresh, whatever they
// were read for, and are not made anew before these are ageing.
func TestRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := &corev1.ConfigMap{}
		config.Namespace, config.Name = "rook-ceph", "ceph-csi-config"
		set := func(monitor string) {
			config.Data = map[string]string{"config.json": `[{"clusterID":"a","monitors":["` + monitor + `"]},{"clusterID":"b","monitors":["` + monitor + `"]}]`}
		}
		set("m1")
		secret := &corev1.Secret{Data: map[string][]byte{"userID": []byte("node"), "userKey": []byte("k")}}
		secret.Namespace, secret.Name = "rook-ceph", "node"
		api := &flaky{Client: fake.NewClientBuilder().WithObjects(config.DeepCopy(), secret).Build()}
		r := newRemembered(newRecent(api), connect.CSI{Namespaces: []string{"rook-ceph"}, Secret: corev1.SecretReference{Namespace: "rook-ceph", Name: "node"}})
		ask := func(what, clusterID, want string, wantReads int) {
			t.Helper()
			got, err := r.Settings(t.Context(), clusterID, corev1.SecretReference{})
			if err != nil || len(got.Monitors) != 1 || got.Monitors[0] != want || got.User != "node" {
				t.Errorf("%s: got %+v, %v; want %s", what, got, err, want)
			}
			synctest.Wait()
			if int(api.reads.Load()) != wantReads {
				t.Errorf("%s: %d reads; want %d", what, api.reads.Load(), wantReads)
			}
		}
		api.err = errors.New("connection refused")
		if _, err := r.Settings(t.Context(), "a", corev1.SecretReference{}); !errors.Is(err, api.err) {
			t.Errorf("got %v; want %v", err, api.err)
		}
		api.err = nil
		ask("at first", "a", "m1", 4)
		set("m2")
		if err := api.Update(t.Context(), config.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ageing)
		ask("another one, of the same objects", "b", "m1", 4)
		time.Sleep(time.Millisecond)
		ask("ageing", "b", "m1", 7)
		ask("both are renewed", "a", "m2", 7)
		time.Sleep(fresh + time.Millisecond)
		set("m3")
		if err := api.Update(t.Context(), config.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		ask("nobody has asked for long", "a", "m3", 10)
	})
}
