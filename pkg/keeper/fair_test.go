package keeper_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// look is one look of the waker: at which workload, and when.
type look struct {
	namespace, name string
	at              time.Duration
}

// crowd are workloads of a namespace whose pods were refused, with as many volumes each.
type crowd struct {
	namespace     string
	many, volumes int
}

// looks runs the waker for a while with workloads that were refused in this order. Nothing
// becomes free; slow, unless nil, is what a look takes.
func looks(t *testing.T, lasting time.Duration, refused []crowd, slow func(ctx context.Context, namespace string)) []look {
	t.Helper()
	var all []look
	begin := time.Now()
	waker := &keeper.Waker{Now: time.Now, Client: unreadable(), Log: logr.Discard(), Free: func(ctx context.Context, volume volumes.Volume) bool {
		all = append(all, look{volume.Namespace, volume.Claim, time.Since(begin)})
		if slow != nil {
			slow(ctx, volume.Namespace)
		}
		return false
	}}
	for _, c := range refused {
		for i := range c.many {
			object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}}
			object.Namespace, object.Name = c.namespace, fmt.Sprint("web-", i)
			object.UID = types.UID(object.Namespace + object.Name)
			var its []volumes.Volume
			for range c.volumes {
				its = append(its, volumes.Volume{Namespace: object.Namespace, Claim: object.Name})
			}
			waker.Refused(object, its)
			waker.Refused(object, its) // its controller tries more than once
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- waker.Start(ctx) }()
	time.Sleep(lasting)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return all
}

// TestWakerIsFair: each pass is bounded, and the one that waits in namespace shop has its
// turn in the passes that it should, whoever else waits.
func TestWakerIsFair(t *testing.T) {
	shop := crowd{"shop", 1, 1}
	var hundred []crowd
	for i := range 100 {
		hundred = append(hundred, crowd{fmt.Sprint("ns-", i), 3, 1})
	}
	tests := map[string]struct {
		refused []crowd
		every   int // pass
		// all others have their turn within as many passes.
		others, within int
	}{
		"nobody else":                               {[]crowd{shop}, 1, 0, 1},
		"thirty of its own namespace":               {[]crowd{{"shop", 30, 1}}, 1, 0, 1},
		"a namespace with 900":                      {[]crowd{{"crowd", 900, 1}, shop}, 1, 900, 19},
		"a namespace with 900, after it":            {[]crowd{shop, {"crowd", 900, 1}}, 1, 900, 19},
		"a namespace with more than are remembered": {[]crowd{{"crowd", 2000, 1}, shop}, 1, 999, 21},
		"the same, after it":                        {[]crowd{shop, {"crowd", 2000, 1}}, 1, 999, 21},
		"a namespace with large workloads":          {[]crowd{{"crowd", 100, 40}, shop}, 1, 24, 24},
		"a namespace with the largest workloads":    {[]crowd{{"crowd", 100, 256}, shop}, 2, 3, 6},
		"a hundred namespaces":                      {append(slices.Clone(hundred), shop), 3, 300, 7},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const pass = 400 * time.Millisecond
				passes := map[int][]look{}
				others, within := map[string]bool{}, 0
				all := looks(t, 40*pass+pass/2, test.refused, nil)
				for _, l := range all {
					n := int(l.at / pass)
					passes[n] = append(passes[n], l)
					if id := l.namespace + "/" + l.name; l.namespace != "shop" && !others[id] {
						others[id], within = true, n
					}
				}
				last := 0
				for n := 1; n <= 40; n++ {
					if many := len(passes[n]); many > 50 {
						t.Errorf("pass %d has %d looks", n, many)
					}
					seen := map[look]bool{}
					for _, l := range passes[n] {
						if seen[l] {
							t.Errorf("pass %d looks at %v twice", n, l)
						}
						seen[l] = true
						if l.namespace == "shop" {
							last = n
						}
					}
					if n-last >= test.every {
						t.Fatalf("it had no turn in passes %d to %d", last+1, n)
					}
				}
				if len(others) != test.others || within > test.within {
					t.Errorf("%d others had their turn within %d passes, want %d within %d", len(others), within, test.others, test.within)
				}
			})
		})
	}
}

// TestWakerWithACephThatDoesNotAnswer: it keeps those of another Ceph waiting for one look
// at a time.
func TestWakerWithACephThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := looks(t, 5*time.Minute, []crowd{{"dead", 100, 1}, {"shop", 2, 1}}, func(ctx context.Context, namespace string) {
			if namespace == "dead" {
				<-ctx.Done()
			}
		})
		dead, shop := 0, 0
		for _, l := range all {
			if l.namespace == "shop" {
				shop, dead = shop+1, 0
				continue
			}
			if dead++; dead > 1 {
				t.Fatalf("%d looks at the dead one in a row, at %s", dead, l.at)
			}
		}
		if shop == 0 {
			t.Error("it had no turn")
		}
	})
}

// TestWakerOfManyVolumes: who waits for one of many volumes costs one look at a time, at the
// one that was not free before, and is woken when the last one is free.
func TestWakerOfManyVolumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		busy, looked := map[string]bool{"data-3": true, "data-17": true}, []string{}
		object := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}}
		object.Namespace, object.Name, object.UID = "shop", "web", "rs-1"
		var its []volumes.Volume
		for i := range 20 {
			its = append(its, volumes.Volume{Namespace: "shop", Claim: fmt.Sprint("data-", i)})
		}
		var woken atomic.Int32
		api := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				woken.Add(1)
				return nil
			},
		}).Build()
		waker := &keeper.Waker{Now: time.Now, Log: logr.Discard(), Client: api, Free: func(_ context.Context, volume volumes.Volume) bool {
			mu.Lock()
			defer mu.Unlock()
			looked = append(looked, volume.Claim)
			return !busy[volume.Claim]
		}}
		waker.Refused(object, its)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- waker.Start(ctx) }()
		// in is what is looked at in a minute, after one that settles it.
		in := func(free string) []string {
			mu.Lock()
			delete(busy, free)
			mu.Unlock()
			time.Sleep(time.Minute)
			mu.Lock()
			looked = nil
			mu.Unlock()
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			all := slices.Clone(looked)
			slices.Sort(all)
			return slices.Compact(all)
		}
		first := in("")
		if len(first) != 1 || !busy[first[0]] {
			t.Errorf("it looks at %q", first)
		}
		second := in(first[0])
		if len(second) != 1 || !busy[second[0]] {
			t.Errorf("then it looks at %q", second)
		}
		if got := in(second[0]); len(got) != 0 {
			t.Errorf("woken, it looks at %q", got)
		}
		if woken.Load() != 1 {
			t.Errorf("it was woken %d times", woken.Load())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
