package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// told is what the keeper shows, as lines.
type told struct {
	mu    sync.Mutex
	lines []string
	owned map[string]int
}

// Show implements keeper.Shown.
func (s *told) Show(volume volumes.Volume, seen keeper.Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := ""
	if seen.Record.Owner != nil {
		owner = " " + seen.Record.Owner.Name
	}
	line := fmt.Sprintf("%s/%s: %s%s", volume.Namespace, volume.Claim, seen.Record.State, owner)
	if seen.Err != nil {
		line = fmt.Sprintf("%s/%s: %v", volume.Namespace, volume.Claim, seen.Err)
	}
	if seen.News {
		line += ", news"
	}
	if seen.Elsewhere != "" {
		line += ", elsewhere"
	}
	s.lines = append(s.lines, line)
}

// Owned implements keeper.Shown.
func (s *told) Owned(images map[string]int) { s.owned = images }

// take returns and forgets what was shown, each line once.
func (s *told) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := slices.Compact(slices.Sorted(slices.Values(s.lines)))
	s.lines = nil
	return lines
}

func (w *world) shows(shown *told, want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, shown.take(), cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("shown (-want +got):\n%s", diff)
	}
}

// TestWhatALookFindsIsShown: with the record as the look leaves it.
func TestWhatALookFindsIsShown(t *testing.T) {
	w := newWorld(t)
	shown := &told{}
	w.keeper.Shown = shown
	w.keep()
	w.shows(shown, "shop/data: free, news")
	w.create(boundPod("p"), attachment("shop.data", "w1"))
	w.keep() // it takes what is used here and nobody owns
	w.shows(shown, "shop/data: held west, news")

	image, err := w.client.Image(t.Context(), theData)
	if err != nil {
		t.Fatal(err)
	}
	w.ceph.WriteRecord(image, []byte(`{"version":99}`))
	if _, err := w.keeper.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "shop.data"}}); !errors.Is(err, ceph.ErrRecordUnknown) {
		t.Fatal(err)
	}
	if got := shown.take(); len(got) != 1 || !strings.Contains(got[0], "version 99") {
		t.Errorf("it shows %q", got)
	}
	w.ceph.RemoveImage(theData)
	w.keep()
	if got := shown.take(); len(got) != 1 || !strings.Contains(got[0], ceph.ErrImageNotFound.Error()) {
		t.Errorf("it shows %q", got)
	}
}

// TestWhatIsOwnedElsewhereAndUsedHereIsShown: until it is over, by each sweep too.
func TestWhatIsOwnedElsewhereAndUsedHereIsShown(t *testing.T) {
	w := newWorld(t, boundPod("p"), attachment("shop.data", "w1"))
	shown := &told{}
	w.keeper.Shown = shown
	w.admits(east, "")
	w.keep()
	w.shows(shown, "shop/data: held east, news, elsewhere")
	keeper.Run(w.keeper)
	sweep := &keeper.Sweep{Keeper: w.keeper, Storages: storages{w.client}, Log: logr.Discard()}
	sweep.Pass(t.Context())
	w.shows(shown, "shop/data: held east, elsewhere")
	w.remove(boundPod("p"), attachment("shop.data", "w1"))
	w.keep()
	w.shows(shown, "shop/data: held east, news")
}

// TestASweepShowsWhatItReads: all volumes that are calm, and how many images each cluster owns;
// and that Ceph does not answer, when it has not for a while.
func TestASweepShowsWhatItReads(t *testing.T) {
	s := newSteady(t, 3, ofKind{owner: &east})
	shown := &told{}
	s.keeper.Shown = shown
	all := []string{"shop/data-0: held east", "shop/data-1: held east", "shop/data-2: held east"}
	for range 2 {
		s.sweep.Pass(t.Context())
		s.shows(shown, all...)
	}
	if diff := cmp.Diff(map[string]int{east.UID: 3}, shown.owned); diff != "" {
		t.Errorf("owned (-want +got):\n%s", diff)
	}

	silent := false
	s.ceph.Intercept(func(_ context.Context, _ cephtest.Call, proceed func() error) error {
		if silent {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	silent, shown.owned = true, nil
	for range 2 {
		s.sweep.Pass(t.Context())
		s.shows(shown)
	}
	for range 2 {
		s.sweep.Pass(t.Context())
		if got := shown.take(); len(got) != 3 || !strings.Contains(got[0], ceph.ErrUnreachable.Error()) {
			t.Errorf("it shows %q", got)
		}
	}
	if shown.owned != nil {
		t.Errorf("it counts %v although it could read nothing", shown.owned)
	}
	silent = false
	s.sweep.Pass(t.Context())
	s.shows(shown, all...)
}

// TestTheWakerSaysWhoWaits: from the refusal until the workload is woken.
func TestTheWakerSaysWhoWaits(t *testing.T) {
	w := newWorld(t)
	w.admits(east, "")
	var lines []string
	waker := &keeper.Waker{
		Free: w.free, Now: w.clock, Client: fake.NewClientBuilder().Build(), Log: logr.Discard(),
		Waits: func(volume volumes.Volume, workload string) { lines = append(lines, volume.Claim+": "+workload) },
	}
	says := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, lines, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("says (-want +got):\n%s", diff)
		}
		lines = nil
	}
	waiting := []volumes.Volume{{Namespace: "shop", Claim: "data", PV: volume("shop.data", "data"), Image: imageOf(t)}}
	web := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}}
	web.Namespace, web.Name, web.UID = "shop", "web", "rs-1"
	waker.Refused(web, waiting)
	says("data: ReplicaSet/web")
	waker.Pass(t.Context())
	says()
	w.change(func(stored ceph.Record) (ceph.Record, error) { return ownership.Release(stored, east, "", noon) })
	waker.Pass(t.Context())
	says("data: ")

	w.admits(east, "")
	waker.Refused(web, waiting)
	says("data: ReplicaSet/web")
	w.pass(time.Hour) // longer than a controller waits before it tries again
	waker.Pass(t.Context())
	says("data: ")
}

// unreadable is an API server that does not answer.
func unreadable() client.Client {
	return fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no answer")
		},
	}).Build()
}

// TestWhoNoLongerWantsItsPodsDoesNotWait: the workload is gone, or was scaled to zero.
func TestWhoNoLongerWantsItsPodsDoesNotWait(t *testing.T) {
	replicaSet := func(uid types.UID, replicas int32) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: uid}, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}}
	}
	for name, test := range map[string]struct {
		api  client.Client
		over bool
	}{
		"it wants them":         {fake.NewClientBuilder().WithObjects(replicaSet("rs-1", 1)).Build(), false},
		"it was scaled to zero": {fake.NewClientBuilder().WithObjects(replicaSet("rs-1", 0)).Build(), true},
		"it is gone":            {fake.NewClientBuilder().Build(), true},
		"it was made anew":      {fake.NewClientBuilder().WithObjects(replicaSet("rs-2", 1)).Build(), true},
		"it cannot be read":     {unreadable(), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.admits(east, "")
			waits := ""
			waker := &keeper.Waker{
				Free: w.free, Now: w.clock, Client: test.api, Log: logr.Discard(),
				Waits: func(_ volumes.Volume, workload string) { waits = workload },
			}
			web := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}}
			web.Namespace, web.Name, web.UID = "shop", "web", "rs-1"
			waker.Refused(web, []volumes.Volume{{Namespace: "shop", Claim: "data", PV: volume("shop.data", "data"), Image: imageOf(t)}})
			w.pass(5*time.Minute - time.Second)
			waker.Pass(t.Context())
			if waits == "" {
				t.Error("it is forgotten at once")
			}
			w.pass(time.Second)
			waker.Pass(t.Context())
			if over := waits == ""; over != test.over {
				t.Errorf("it waits no more: %v, want %v", over, test.over)
			}
		})
	}
}
