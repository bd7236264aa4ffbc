package keeper_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// steady is west with many volumes of one kind, and the controller that its leader would run,
// on the clock of the world.
type steady struct {
	*world
	sweep *keeper.Sweep
	queue *keeper.Queue
	due   map[string]time.Time
	// asked are the calls of the API server.
	asked map[string]int
}

// ofKind are volumes, and what makes them such: what stands in their records, and what uses
// them here.
type ofKind struct {
	owner *ceph.Party
	used  bool
}

func newSteady(t *testing.T, many int, kind ofKind) *steady {
	t.Helper()
	s := &steady{world: newWorld(t), due: map[string]time.Time{}, asked: map[string]int{}}
	pool := cephtest.Pool{Name: "replicapool"}
	objects := []client.Object{&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "block"}, Provisioner: rbdDriver, Parameters: map[string]string{"clusterID": "rook-ceph", "pool": "replicapool"}}}
	for i := range many {
		image, claim := fmt.Sprintf("shop.data-%d", i), fmt.Sprintf("data-%d", i)
		pool.Images = append(pool.Images, cephtest.Image{Name: image, Layout: ceph.Layout{Size: 1 << 20}})
		pv := volume(image, claim)
		pv.Spec.CSI.VolumeHandle = image
		objects = append(objects, pv)
		if kind.used {
			bound := boundPod(fmt.Sprint(i))
			bound.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = claim
			objects = append(objects, bound, attachment(image, "w1"))
		}
	}
	s.ceph = cephtest.New(pool)
	var err error
	if s.client, err = s.ceph.Dial(t.Context(), cephtest.Provisioner); err != nil {
		t.Fatal(err)
	}
	for i, image := range pool.Images {
		spec := ceph.ImageSpec{Pool: "replicapool", Name: image.Name}
		found, err := s.client.Image(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if kind.owner != nil {
			s.acquire(found, *kind.owner)
		}
		if kind.used {
			s.ceph.AddWatcher(spec, ceph.Watcher{Addr: fmt.Sprintf("10.0.2.11:0/%d", i), Client: "client.1", Cookie: 1})
		}
	}
	s.remove(volume("shop.data", "data"))
	s.create(objects...)
	s.queue = keeper.Run(s.keeper)
	s.sweep = &keeper.Sweep{Keeper: s.keeper, Storages: storages{s.client}, Log: logr.Discard()}
	asked := interceptor.NewClient(s.api, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			s.asked[fmt.Sprintf("list %T", list)]++
			return c.List(ctx, list, options...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			s.asked[fmt.Sprintf("get %T", object)]++
			return c.Get(ctx, key, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			s.asked[fmt.Sprintf("patch %T", object)]++
			return c.SubResource(sub).Patch(ctx, object, patch, options...)
		},
	})
	s.keeper.Usage.API, s.keeper.Finder.API, s.keeper.Client = asked, asked, asked
	return s
}

func (s *steady) acquire(image ceph.Image, by ceph.Party) {
	s.Helper()
	_, err := ownership.Change(s.Context(), s.client, image, func(stored ceph.Record) (ceph.Record, error) {
		return ownership.Acquire(stored, ownership.Request{Cluster: by, Namespace: "shop", Claim: "data", Nodes: nodeW1, Now: noon})
	})
	if err != nil {
		s.Fatal(err)
	}
}

// lives lets the leader live for a time: a sweep every 30 seconds, and each volume looked at
// when it is due. It returns what was asked of Ceph.
func (s *steady) lives(lasting time.Duration) map[string]int {
	s.Helper()
	before := len(s.ceph.Calls())
	clear(s.asked)
	for end := s.clock().Add(lasting); s.clock().Before(end); s.pass(time.Second) {
		if s.clock().Sub(noon)%(30*time.Second) == 0 {
			s.sweep.Pass(s.Context())
		}
		for pv, after := range s.queue.Waits {
			s.isDue(pv, after)
		}
		s.queue.Take()
		for _, pv := range slices.Sorted(maps.Keys(s.due)) {
			if s.due[pv].After(s.clock()) {
				continue
			}
			delete(s.due, pv)
			result, err := s.keeper.Reconcile(s.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: pv}})
			if err != nil {
				s.Fatal(err)
			}
			if result.RequeueAfter > 0 {
				s.isDue(pv, result.RequeueAfter)
			}
		}
	}
	methods := map[string]int{}
	for _, call := range s.ceph.Calls()[before:] {
		methods[call.Method]++
	}
	return methods
}

func (s *steady) isDue(pv string, after time.Duration) {
	if at := s.clock().Add(after); s.due[pv].IsZero() || at.Before(s.due[pv]) {
		s.due[pv] = at
	}
}

// TestSteadyState: what nothing happens to costs its share of a sweep. The calls of the API server
// do not grow with the volumes, and of Ceph only those that look for strangers, with a bound
// a minute.
func TestSteadyState(t *testing.T) {
	const begins, lasts = 10 * time.Minute, 20 * time.Minute
	for name, test := range map[string]struct {
		kind  ofKind
		looks bool
	}{
		"held by pods here": {kind: ofKind{&west, true}, looks: true},
		"free":              {},
		"another cluster's": {kind: ofKind{&east, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, many := range []int{5, 20} {
				s := newSteady(t, many, test.kind)
				s.lives(begins)
				methods := s.lives(lasts)
				if want := map[string]int{"list *v1.StorageClassList": 40}; !maps.Equal(s.asked, want) {
					t.Errorf("%d volumes: %v were asked of the API server in 20 minutes, want %v", many, s.asked, want)
				}
				sweeps, looks := methods["Records"], methods["Image"]
				delete(methods, "Records")
				if listed, any := methods["Watchers"]; any {
					methods["Watchers"] = listed / 2 // in the look, and after pods and nodes
				}
				if sweeps != 40 {
					t.Errorf("%d sweeps in 20 minutes, want 40", sweeps)
				}
				for method, times := range methods {
					if most := 4 * many; !test.looks || times != looks || times > most || times < 2*many {
						t.Errorf("%d volumes: %d times %s in 20 minutes: want 2 to 4 for each that is held here", many, times, method)
					}
				}
			}
		})
	}
}

// TestSweep: what a leader looks at by the records, when it begins and later.
func TestSweep(t *testing.T) {
	all := func(many int) (names []string) {
		for i := range many {
			names = append(names, fmt.Sprintf("shop.data-%d", i))
		}
		return names
	}
	for name, test := range map[string]struct {
		kind   ofKind
		before func(s *steady)
		// atOnce are looked at when the leader begins, and later when after is done.
		atOnce []string
		after  func(s *steady)
		later  []string
	}{
		"free":                             {},
		"free, and used here":              {kind: ofKind{nil, true}, atOnce: all(3)},
		"another cluster's":                {kind: ofKind{&east, false}},
		"another cluster's, and used here": {kind: ofKind{&east, true}, atOnce: all(3)},
		"held here, and used nowhere":      {kind: ofKind{&west, false}, atOnce: all(3)},
		"a claim says that its image is owned elsewhere, as a leader of before has left it": {
			kind: ofKind{&east, false}, before: func(s *steady) { s.create(claimThatSays("data-1")) }, atOnce: []string{"shop.data-1"},
		},
		"a record that is not known": {
			before: func(s *steady) { s.ceph.WriteRecord(s.image(2), []byte(`{"version":99}`)) }, atOnce: []string{"shop.data-2"},
		},
		"an image gets an owner": {after: func(s *steady) { s.acquire(s.image(0), east) }, later: []string{"shop.data-0"}},
		"an image of another cluster gets free": {
			kind: ofKind{&east, false},
			after: func(s *steady) {
				image := s.image(1)
				_, err := ownership.Change(s.Context(), s.client, image, func(stored ceph.Record) (ceph.Record, error) {
					return ownership.Release(stored, east, "", noon)
				})
				if err != nil {
					s.Fatal(err)
				}
			},
			later: []string{"shop.data-1"},
		},
		"a volume that is new": {after: func(s *steady) {
			pv := volume("new", "data-1")
			pv.Spec.CSI.VolumeHandle = "shop.data-1"
			s.create(pv)
		}},
		"a volume that is new, and used": {after: func(s *steady) {
			pv := volume("new", "data-1")
			pv.Spec.CSI.VolumeHandle = "shop.data-1"
			s.create(pv, attachment("new", "w2"))
		}, later: []string{"new"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSteady(t, 3, test.kind)
			if test.before != nil {
				test.before(s)
			}
			s.sweep.Pass(t.Context())
			if got := s.atOnce(); !slices.Equal(got, test.atOnce) {
				t.Errorf("at once %v, want %v", got, test.atOnce)
			}
			s.sweep.Pass(t.Context())
			if test.after == nil {
				return
			}
			test.after(s)
			s.atOnce()
			s.sweep.Pass(t.Context())
			if got := s.atOnce(); !slices.Equal(got, test.later) {
				t.Errorf("later %v, want %v", got, test.later)
			}
		})
	}
}

// atOnce takes the volumes that are looked at next.
func (s *steady) atOnce() []string {
	maps.DeleteFunc(s.queue.Waits, func(_ string, after time.Duration) bool { return after > 0 })
	return s.queue.Take()
}

func (s *steady) image(i int) ceph.Image {
	s.Helper()
	image, err := s.client.Image(s.Context(), ceph.ImageSpec{Pool: "replicapool", Name: fmt.Sprintf("shop.data-%d", i)})
	if err != nil {
		s.Fatal(err)
	}
	return image
}

func claimThatSays(name string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: keeper.Condition, Status: corev1.ConditionTrue}}
	return claim
}

// TestVolumesWithoutImages are looked at about a hundred times a second, however many there
// are: each of them by itself would be looked at some ten times in its first twenty seconds.
func TestVolumesWithoutImages(t *testing.T) {
	const many = 300
	s := newSteady(t, many, ofKind{})
	for i := range many {
		s.ceph.RemoveImage(ceph.ImageSpec{Pool: "replicapool", Name: fmt.Sprintf("shop.data-%d", i)})
		s.isDue(fmt.Sprintf("shop.data-%d", i), 0)
	}
	s.lives(time.Second) // when each has its first look
	if looks := s.lives(20 * time.Second)["Image"]; looks < many || looks > 120*20 {
		t.Errorf("in 20 seconds they are looked at %d times", looks)
	}
	others := many - 1 // half of them are made again, and the others' volumes go
	for i := range others {
		pv := fmt.Sprintf("shop.data-%d", i)
		if i%2 == 0 {
			if _, err := s.client.CreateImage(t.Context(), ceph.ImageSpec{Pool: "replicapool", Name: pv}, ceph.Layout{Size: 1 << 20}); err != nil {
				t.Fatal(err)
			}
		} else {
			s.remove(volume(pv, ""))
		}
		s.keep(pv)
	}
	last := fmt.Sprintf("shop.data-%d", others)
	s.remove(volume(last, ""))
	s.keep(last)
	pv := volume(last, last)
	pv.Spec.CSI.VolumeHandle = last
	s.create(pv)
	if wait := s.keep(last); wait > time.Second {
		t.Errorf("the only one waits %s, as if the others' images were not there yet", wait)
	}
}
