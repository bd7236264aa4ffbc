package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/ceph/goceph"
	"github.com/cephferry/cephferry/pkg/csiconfig"
)

// world is a source and a Ceph that tests change.
type world struct {
	*cephtest.Ceph
	t        *testing.T
	storages *Storages

	mu       sync.Mutex
	settings map[string]Settings
	// broken is the source's error.
	broken error
	// refuse is what dialing returns.
	refuse error
	// hang holds dialing back until it is closed.
	hang   chan struct{}
	dialed []goceph.Config
}

func newWorld(t *testing.T, settings map[string]Settings) *world {
	w := &world{
		Ceph:     cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: "image"}}}),
		t:        t,
		settings: settings,
	}
	w.storages = New(w, w.dial)
	return w
}

func (w *world) Settings(_ context.Context, clusterID string, secret corev1.SecretReference) (Settings, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return Settings{}, w.broken
	}
	settings, ok := w.settings[clusterID]
	if !ok {
		return Settings{}, fmt.Errorf("%w for clusterID %q", csiconfig.ErrNotFound, clusterID)
	}
	settings.User = cmp.Or(secret.Name, settings.User)
	return settings, nil
}

func (w *world) dial(ctx context.Context, config goceph.Config) (ceph.Cluster, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, config)
	hang := w.hang
	w.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return nil, w.refuse
	}
	return w.Dial(ctx, cephtest.Observer)
}

// set changes something.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// want checks that a clusterID leads to a cluster that answers, and how many
// connections were made and are open by then.
func (w *world) want(clusterID string, opened int) ceph.Cluster {
	w.t.Helper()
	cluster, _, err := w.storages.Cluster(w.t.Context(), clusterID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.answers(cluster, nil)
	if n := w.Opened(); n != opened {
		w.t.Errorf("%d connections were made; want %d", n, opened)
	}
	return cluster
}

func (w *world) answers(cluster ceph.Cluster, want error) {
	w.t.Helper()
	if _, err := cluster.Watchers(w.t.Context(), ceph.ImageSpec{Pool: "rbd", Name: "image"}); !errors.Is(err, want) {
		w.t.Errorf("watchers: %v; want %v", err, want)
	}
}

// end closes everything.
func (w *world) end() {
	w.t.Helper()
	for range 2 {
		if err := w.storages.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.AssertClosed(w.t)
}

func settings(monitor, key, namespace string) Settings {
	return Settings{Monitors: []string{monitor}, User: "observer", Key: key, RadosNamespace: namespace}
}

func TestConnectionIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{
			"rook":  {Monitors: []string{"m1", "m2"}, User: "observer", Key: "k"},
			"north": {Monitors: []string{"m2", "m1", "m2"}, User: "observer", Key: "k", RadosNamespace: "north"},
		})
		defer w.end()
		w.hang = make(chan struct{})
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				id, want := "rook", ""
				if i%2 == 0 {
					id, want = "north", "north"
				}
				cluster, namespace, err := w.storages.Cluster(t.Context(), id)
				if err != nil || namespace != want {
					t.Errorf("%s: namespace %q, %v", id, namespace, err)
					return
				}
				w.answers(cluster, nil)
				// It is not the caller's to close.
				if err := cluster.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(w.hang)
		wg.Wait()
		w.want("rook", 1)
		if len(w.dialed) != 1 || w.dialed[0].User != "observer" || w.dialed[0].Key != "k" || len(w.dialed[0].Monitors) < 2 {
			t.Errorf("dialed %+v", w.dialed)
		}
	})
}

// TestCallersNameTheSecret: the same clusterID leads to a connection per Ceph user,
// and each goes its own way when the configuration changes.
func TestCallersNameTheSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"rook": settings("m1", "k", "north"), "far": settings("m1", "k", "")})
		defer w.end()
		as := func(clusterID, secret string, opened int) ceph.Cluster {
			t.Helper()
			cluster, got, err := w.storages.ClusterAs(t.Context(), clusterID, corev1.SecretReference{Namespace: "rook-ceph", Name: secret})
			if err != nil {
				t.Fatal(err)
			}
			w.answers(cluster, nil)
			if want := w.settings[clusterID].RadosNamespace; got.RadosNamespace != want || w.Opened() != opened {
				t.Errorf("rados namespace %q and %d connections; want %q and %d", got.RadosNamespace, w.Opened(), want, opened)
			}
			return cluster
		}
		own := w.want("rook", 1)
		provisioner := as("rook", "provisioner", 2)
		as("far", "provisioner", 2)
		w.want("rook", 2)

		// The user of the source's choice moves to other monitors, with the rest.
		w.set(func() { w.settings["rook"] = settings("m2", "k", "") })
		as("rook", "provisioner", 3)
		time.Sleep(linger + time.Second)
		w.answers(provisioner, nil) // far still leads there
		w.answers(own, nil)         // nobody has asked as this user since
		w.want("rook", 4)
		time.Sleep(linger + time.Second)
		w.answers(own, fs.ErrClosed)
	})
}

func TestConnectionsOfSeveralCephClusters(t *testing.T) {
	w := newWorld(t, map[string]Settings{
		"a": settings("m1", "k", ""), "other monitors": settings("m2", "k", ""), "other key": settings("m1", "k2", ""),
		"other user": {Monitors: []string{"m1"}, User: "admin", Key: "k"},
	})
	defer w.end()
	for range 2 {
		for id := range w.settings {
			if _, _, err := w.storages.Cluster(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	}
	if n := w.Opened(); n != 4 {
		t.Errorf("%d connections were made; want 4", n)
	}
}

func TestCephThatDoesNotAnswer(t *testing.T) {
	tests := map[string]struct {
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want []error
	}{
		"and a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, []error{ceph.ErrUnreachable, context.DeadlineExceeded}},
		"and a caller who goes": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, []error{context.Canceled}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, map[string]Settings{"rook": settings("m", "k", "")})
				defer w.end()
				w.hang = make(chan struct{})
				for range 3 {
					start := time.Now()
					var wg sync.WaitGroup
					for range 100 {
						wg.Go(func() {
							ctx, cancel := test.ctx(t.Context())
							defer cancel()
							_, _, err := w.storages.Cluster(ctx, "rook")
							for _, want := range test.want {
								if !errors.Is(err, want) {
									t.Errorf("got %v; want %v", err, want)
								}
							}
						})
					}
					wg.Wait()
					if took := time.Since(start); took != time.Second {
						t.Errorf("took %v; want 1 s", took)
					}
				}
				if len(w.dialed) != 1 {
					t.Errorf("dialed %d times; want 1", len(w.dialed))
				}
				// It is back, and the attempt is not lost.
				close(w.hang)
				w.want("rook", 1)
				if len(w.dialed) != 1 {
					t.Errorf("dialed %d times; want 1", len(w.dialed))
				}
			})
		})
	}
}

func TestFailureIsRememberedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"rook": settings("m", "k", "")})
		defer w.end()
		w.refuse = ceph.ErrUnreachable
		wantDialed := func(n int) {
			t.Helper()
			for range 10 {
				if _, _, err := w.storages.Cluster(t.Context(), "rook"); !errors.Is(err, ceph.ErrUnreachable) {
					t.Errorf("got %v; want %v", err, ceph.ErrUnreachable)
				}
			}
			if len(w.dialed) != n {
				t.Errorf("dialed %d times; want %d", len(w.dialed), n)
			}
		}
		wantDialed(1)
		time.Sleep(retryAfter - time.Nanosecond)
		wantDialed(1)
		time.Sleep(time.Nanosecond)
		wantDialed(2)
		// Other settings do not wait.
		w.set(func() { w.refuse = nil; w.settings["rook"] = settings("m", "rotated", "") })
		w.want("rook", 1)
		// And the first ones are tried again when they are back.
		time.Sleep(retryAfter)
		w.set(func() { w.settings["rook"] = settings("m", "k", "") })
		w.want("rook", 2)
	})
}

func TestSettingsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"rook": settings("m", "k", ""), "north": settings("m", "k", "north")})
		defer w.end()
		old := w.want("rook", 1)
		w.want("north", 1)

		// The rados namespace is not the connection's.
		w.set(func() { w.settings["north"] = settings("m", "k", "south") })
		if _, namespace, err := w.storages.Cluster(t.Context(), "north"); err != nil || namespace != "south" || w.Opened() != 1 {
			t.Errorf("namespace %q, %v, %d connections", namespace, err, w.Opened())
		}

		// One of two leaves the connection, the other still needs it.
		w.set(func() { w.settings["rook"] = settings("m", "rotated", "") })
		w.want("rook", 2)
		time.Sleep(2 * linger)
		w.answers(old, nil)

		// The other one leaves as well; who has the old connection ends in peace.
		w.set(func() { w.settings["north"] = settings("m", "rotated", "north") })
		w.want("north", 2)
		time.Sleep(linger - time.Nanosecond)
		w.answers(old, nil)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		w.answers(old, fs.ErrClosed)
		w.want("rook", 2)
	})
}

// TestRenew: a connection whose client is on the blocklist is of no use to anybody.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"rook": settings("m", "k", ""), "north": settings("m", "k", "north")})
		defer w.end()
		old := w.want("rook", 1)
		w.storages.Renew(old)
		if now := w.want("rook", 2); now == old {
			t.Error("the connection is the same")
		}
		w.want("north", 2)
		// Many may be told at the same time, some of them late.
		w.storages.Renew(old)
		w.want("rook", 2)
		w.answers(old, nil)
		time.Sleep(linger)
		synctest.Wait()
		w.answers(old, fs.ErrClosed)
		// Nobody need ask again before the end.
		w.storages.Renew(w.want("rook", 2))
	})
}

// TestRenewOfAFencedMachine: connections that linger cost memory and threads.
func TestRenewOfAFencedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"rook": settings("m", "k", "")})
		defer w.end()
		opened := 1
		for range 5 {
			now := w.want("rook", opened)
			w.storages.Renew(now)
			opened++
			for range 20 {
				w.storages.Renew(w.want("rook", opened))
			}
			time.Sleep(renewAfter)
		}
	})
}

func TestSettingsChangeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := settings("m", "k", ""), settings("m", "rotated", "")
		w := newWorld(t, map[string]Settings{"rook": before})
		defer w.end()
		old := w.want("rook", 1)
		w.set(func() { w.settings["rook"] = after })
		w.want("rook", 2)
		time.Sleep(linger / 2)
		w.set(func() { w.settings["rook"] = before })
		w.want("rook", 2)
		time.Sleep(2 * linger)
		w.answers(old, nil)
		w.want("rook", 2)
		// The other one is gone by now.
		w.set(func() { w.settings["rook"] = after })
		w.want("rook", 3)
	})
}

func TestSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"rook": settings("m", "k", "")})
		defer w.end()
		old := w.want("rook", 1)

		// When it does not know, nothing has changed.
		w.set(func() { w.broken = errors.New("the API server is away") })
		if _, _, err := w.storages.Cluster(t.Context(), "rook"); !errors.Is(err, w.broken) {
			t.Errorf("got %v; want %v", err, w.broken)
		}
		time.Sleep(2 * linger)
		w.set(func() { w.broken = nil })
		w.answers(old, nil)
		w.want("rook", 1)

		// When it knows that there is none, the connection is of no use.
		w.set(func() { delete(w.settings, "rook") })
		for range 2 {
			if _, _, err := w.storages.Cluster(t.Context(), "rook"); !errors.Is(err, csiconfig.ErrNotFound) {
				t.Errorf("got %v; want %v", err, csiconfig.ErrNotFound)
			}
		}
		time.Sleep(linger)
		synctest.Wait()
		w.answers(old, fs.ErrClosed)
		w.AssertClosed(t)
	})
}

func TestErrorNamesTheClusterID(t *testing.T) {
	w := newWorld(t, map[string]Settings{"rook": settings("m", "k", "")})
	defer w.end()
	w.refuse = ceph.ErrAuth
	_, _, err := w.storages.Cluster(t.Context(), "rook")
	if diff := gocmp.Diff(`find ceph cluster of clusterID "rook": ceph does not accept the key`, fmt.Sprint(err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{"a": settings("m1", "k", ""), "b": settings("m2", "k", ""), "c": settings("m3", "k", "")})
		old := w.want("a", 1)
		w.set(func() { w.settings["a"] = settings("m1", "rotated", "") })
		w.want("a", 2) // and the old connection lingers
		w.set(func() { w.refuse = ceph.ErrAuth })
		if _, _, err := w.storages.Cluster(t.Context(), "b"); !errors.Is(err, ceph.ErrAuth) {
			t.Errorf("got %v; want %v", err, ceph.ErrAuth)
		}
		w.set(func() { w.hang = make(chan struct{}) })
		waiting := make(chan error)
		go func() {
			_, _, err := w.storages.Cluster(t.Context(), "c")
			waiting <- err
		}()
		synctest.Wait()

		go w.end()
		if err := <-waiting; !errors.Is(err, fs.ErrClosed) {
			t.Errorf("who was waiting got %v; want %v", err, fs.ErrClosed)
		}
		synctest.Wait()
		w.answers(old, fs.ErrClosed)
		if _, _, err := w.storages.Cluster(t.Context(), "a"); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("afterwards: %v; want %v", err, fs.ErrClosed)
		}
		time.Sleep(2 * linger)
		w.AssertClosed(t)
	})
}

// Many callers, while settings change, Ceph goes away and comes back, and at last
// everything is closed under them.
func TestStoragesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]Settings{})
		ids := []string{"a", "b", "c", "d"}
		change := func() {
			w.set(func() {
				id := ids[rand.IntN(len(ids))]
				w.settings[id] = settings(fmt.Sprint(rand.IntN(2)), fmt.Sprint(rand.IntN(2)), id)
				w.refuse = nil
				if rand.IntN(4) == 0 {
					w.refuse = ceph.ErrUnreachable
				}
				if rand.IntN(8) == 0 {
					delete(w.settings, id)
				}
			})
		}
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for {
					change()
					id := ids[rand.IntN(len(ids))]
					cluster, namespace, err := w.storages.Cluster(t.Context(), id)
					switch {
					case errors.Is(err, fs.ErrClosed):
						return
					case err == nil:
						if namespace != id {
							t.Errorf("%s has namespace %q", id, namespace)
						}
						if _, err := cluster.Watchers(t.Context(), ceph.ImageSpec{Pool: "rbd", Name: "image"}); err != nil && !errors.Is(err, fs.ErrClosed) {
							t.Error(err)
						}
					case !errors.Is(err, ceph.ErrUnreachable) && !errors.Is(err, csiconfig.ErrNotFound):
						t.Error(err)
					}
					time.Sleep(time.Duration(rand.Int64N(int64(3 * linger))))
				}
			})
		}
		time.Sleep(1000 * linger)
		w.end()
		wg.Wait()
		w.AssertClosed(t)
		if w.Opened() < 10 {
			t.Errorf("only %d connections were made", w.Opened())
		}
	})
}
