package keeper_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// TestWaker: a workload that was refused is touched once, when its volume is free.
func TestWaker(t *testing.T) {
	refused := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}}
	refused.Namespace, refused.Name, refused.UID = "shop", "web", "rs-1"
	tests := map[string]struct {
		object client.Object
		owner  ceph.Party // of the volume, until it is free
		patch  bool
	}{
		"a ReplicaSet":               {refused, east, true},
		"of a volume that is ours":   {refused, west, true},
		"a pod, which nobody makes":  {pod("p", "data"), east, false},
		"a ReplicaSet made again":    {made(refused, "rs-0"), east, false},
		"one that does not exist":    {named(refused, "gone"), east, false},
		"a kind that is not known":   {kind(refused, "example.com/v1", "Database"), east, false},
		"a Deployment, which scales": {kind(refused, "apps/v1", "Deployment"), east, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.admits(test.owner, "")
				var patches atomic.Int32
				set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "rs-1"}}
				api := fake.NewClientBuilder().WithObjects(set).WithStatusSubresource(set).WithInterceptorFuncs(interceptor.Funcs{
					SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
						if sub != "status" {
							t.Errorf("patch of %s", sub)
						}
						patches.Add(1)
						// As the API server does.
						if object.GetUID() != "rs-1" && object.GetName() == "web" {
							return apierrors.NewConflict(schema.GroupResource{}, "web", errors.New("the UID in the precondition is another"))
						}
						return c.Patch(ctx, object, patch)
					},
				}).Build()
				waker := &keeper.Waker{Free: w.free, Now: time.Now, Client: api, Log: logr.Discard()}
				var told []string
				waker.Woken = func(of volumes.Volume, workload string) { told = append(told, of.Claim+" of "+workload) }
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- waker.Start(ctx) }()

				waker.Refused(test.object, []volumes.Volume{{Namespace: "shop", Claim: "data", PV: volume("shop.data", "data"), Image: imageOf(t)}})
				time.Sleep(10 * time.Second)
				if test.owner != west {
					if patches.Load() != 0 {
						t.Error("it was woken before the volume was free")
					}
					w.change(func(stored ceph.Record) (ceph.Record, error) {
						return ownership.Release(stored, test.owner, "", noon)
					})
					time.Sleep(time.Second)
				}
				woken := patches.Load()
				time.Sleep(10 * time.Second)
				if patches.Load() != woken {
					t.Error("it was woken again")
				}
				var now appsv1.ReplicaSet
				if err := api.Get(t.Context(), client.ObjectKeyFromObject(set), &now); err != nil {
					t.Fatal(err)
				}
				if got := now.Annotations[keeper.WokenAnnotation] != ""; got != test.patch {
					t.Errorf("annotation: %v, want %v", got, test.patch)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				var want []string
				if test.patch {
					want = []string{"data of ReplicaSet/web"}
				}
				if !slices.Equal(told, want) {
					t.Errorf("told %q, want %q", told, want)
				}
			})
		})
	}
}

// TestWakerForgets: what is never free is not looked at for ever.
func TestWakerForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.admits(east, "p")
		waker := &keeper.Waker{Free: w.free, Now: time.Now, Client: w.api, Log: logr.Discard()}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- waker.Start(ctx) }()
		object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}}
		waker.Refused(object, []volumes.Volume{{Namespace: "shop", Claim: "data", PV: volume("shop.data", "data"), Image: imageOf(t)}})
		time.Sleep(time.Hour)
		before := len(w.ceph.Calls())
		time.Sleep(time.Hour)
		if after := len(w.ceph.Calls()); after != before || before == 0 {
			t.Errorf("%d calls, and then %d", before, after-before)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestWakerOfWhatStaysRefused: what looks free and is refused all the same is tried less and
// less often, and at once when it was not free in between.
func TestWakerOfWhatStaysRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}}
		object.Namespace, object.Name, object.UID = "shop", "web", "rs-1"
		all := []volumes.Volume{{Namespace: "shop", Claim: "data", PV: volume("shop.data", "data"), Image: imageOf(t)}}
		set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "rs-1"}}
		var patches atomic.Int32
		var isFree atomic.Bool
		isFree.Store(true)
		waker := &keeper.Waker{Free: func(context.Context, volumes.Volume) bool { return isFree.Load() }, Now: time.Now, Client: unreadable(), Log: logr.Discard()}
		waker.Client = fake.NewClientBuilder().WithObjects(set).WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				patches.Add(1)
				waker.Refused(object, all) // its controller tries at once
				return nil
			},
		}).Build()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- waker.Start(ctx) }()
		waker.Refused(object, all)
		time.Sleep(10 * time.Minute)
		if got := patches.Load(); got < 10 || got > 40 {
			t.Errorf("it was woken %d times in ten minutes", got)
		}
		isFree.Store(false)
		time.Sleep(time.Minute)
		before := patches.Load()
		isFree.Store(true)
		time.Sleep(time.Second)
		if patches.Load() == before {
			t.Error("it was not woken when its volume became free")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// free is what admission would say.
func (w *world) free(ctx context.Context, _ volumes.Volume) bool {
	image, err := w.client.Image(ctx, theData)
	if err != nil {
		return false
	}
	record, err := ownership.Read(ctx, w.client, image)
	return err == nil && (record.Owner == nil || ownership.Owns(record, west))
}

func imageOf(t *testing.T) staticpv.Image {
	t.Helper()
	image, _, err := staticpv.ImageOf(volume("shop.data", "data"))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func made(object *metav1.PartialObjectMetadata, uid string) client.Object {
	other := object.DeepCopy()
	other.SetUID(types.UID(uid))
	return other
}

func named(object *metav1.PartialObjectMetadata, name string) client.Object {
	other := object.DeepCopy()
	other.Name = name
	return other
}

func kind(object *metav1.PartialObjectMetadata, version, kind string) client.Object {
	other := object.DeepCopy()
	other.APIVersion, other.Kind = version, kind
	return other
}
