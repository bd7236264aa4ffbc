package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// slowly is an API server whose listings take a second each, of two pages. What it lists are
// pods with the time at which the listing began as their name.
type slowly struct {
	client.Reader
	mu    sync.Mutex
	lists map[string]int
	begun map[string]string
	err   error
}

func (s *slowly) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	all := (&client.ListOptions{}).ApplyOptions(options)
	s.mu.Lock()
	if all.Continue == "" {
		if s.lists == nil {
			s.lists, s.begun = map[string]int{}, map[string]string{}
		}
		s.lists[all.Namespace]++
		s.begun[all.Namespace] = now()
		list.SetContinue("more")
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: s.begun[all.Namespace], Namespace: all.Namespace}}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second / 2):
	}
	if pods, ok := list.(*corev1.PodList); ok {
		pods.Items = []corev1.Pod{pod}
	}
	return s.err
}

func now() string { return time.Now().Format("05.000") }

// inBubble runs a test on a clock of its own, until the last listing is over.
func inBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t)
		time.Sleep(time.Minute)
	})
}

// listed lists the pods of a namespace, and returns when the listing began that it got.
func listed(ctx context.Context, source Source, namespace string) ([]string, error) {
	var begun []string
	err := EachPage(ctx, source, func(pods *corev1.PodList) {
		for _, pod := range pods.Items {
			begun = append(begun, pod.Namespace+" "+pod.Name)
		}
	}, client.InNamespace(namespace))
	return begun, err
}

// TestListings: nobody gets a listing that began before it asked, those who wait together get one,
// and each gets all of its pages.
func TestListings(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &slowly{}
		g := &Gatherer{API: api}
		var all sync.WaitGroup
		for asked := range 30 { // every 100 ms
			all.Go(func() {
				asks := now()
				got, err := listed(t.Context(), g.Together(), "shop")
				if err != nil {
					t.Error(err)
					return
				}
				if len(got) != 2 || got[0] != got[1] || got[0] < "shop "+asks {
					t.Errorf("who asked at %s as number %d got the pages %q", asks, asked, got)
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		// The first one alone, then the ten of each second.
		if want := 4; api.lists["shop"] != want {
			t.Errorf("%d listings, want %d", api.lists["shop"], want)
		}
		time.Sleep(time.Second)
		g.listings.mu.Lock()
		defer g.listings.mu.Unlock()
		if len(g.listings.waiting) != 0 || len(g.listings.underway) != 0 || g.listings.turns {
			t.Errorf("it goes on waiting: %v, %v", g.listings.waiting, g.listings.underway)
		}
	})
}

// TestListingsOfOthers: only equal listings are shared.
func TestListingsOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &slowly{}
		g := &Gatherer{API: api}
		var all sync.WaitGroup
		for range 2 {
			for _, namespace := range []string{"shop", "bank"} {
				all.Go(func() {
					got, err := listed(t.Context(), g.Together(), namespace)
					if err != nil || len(got) != 2 || got[0] != got[1] || got[0][:4] != namespace {
						t.Errorf("of %s it got %q, %v", namespace, got, err)
					}
				})
			}
			synctest.Wait()
		}
		all.Go(func() {
			if err := EachPage(t.Context(), g.Together(), func(*corev1.NodeList) {}, client.InNamespace("shop")); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		// Of what is listed first, the second one has come too late.
		if api.lists["shop"]+api.lists["bank"] != 4 {
			t.Errorf("%v listings, want three of pods, and one of nodes", api.lists)
		}
	})
}

// TestAListingFails: everybody whose listing it was is told, and nobody else.
func TestAListingFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &slowly{err: errors.New("boom")}
		g := &Gatherer{API: api}
		if _, err := listed(t.Context(), g.Together(), "shop"); !errors.Is(err, api.err) {
			t.Errorf("got %v", err)
		}
		api.err = nil
		if got, err := listed(t.Context(), g.Together(), "shop"); err != nil || len(got) != 2 {
			t.Errorf("the next one got %q, %v", got, err)
		}
	})
}

// TestAListingWithoutAnAnswer: who asked waits no longer than it may, and gets nothing later. The
// listing ends when nobody wants it any more, and otherwise by itself.
func TestAListingWithoutAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := &Gatherer{API: mute{}}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := listed(ctx, g.Together(), "shop"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 300*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		// The next one waits for its own listing alone.
		if _, err := listed(t.Context(), g.Together(), "shop"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 300*time.Millisecond+betweenListings+listingLimit {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

// mute never answers.
type mute struct{ client.Reader }

func (mute) List(ctx context.Context, _ client.ObjectList, _ ...client.ListOption) error {
	<-ctx.Done()
	return ctx.Err()
}

// keepersLimit is what the keeper has for a look.
const keepersLimit = 10 * time.Second

// TestASlowListing: a namespace whose pods are not listed in time fails for itself alone, though each
// volume is in a namespace of its own, and looks last no longer than the keeper allows.
func TestASlowListing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const parallel, namespaces = 8, 30
		g := &Gatherer{API: &stuck{slowly: slowly{}, namespace: "shop-7"}}
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := range namespaces {
			namespace := fmt.Sprintf("shop-%d", i)
			group.Go(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), keepersLimit)
				defer cancel()
				begin := time.Now()
				_, err := listed(ctx, g.Together(), namespace)
				if slow := namespace == "shop-7"; slow != (err != nil) || time.Since(begin) > keepersLimit-time.Second {
					t.Errorf("%s after %s: %v", namespace, time.Since(begin), err)
				}
				return nil
			})
		}
		_ = group.Wait()
	})
}

// TestASlowListingOfAll: what does not answer is asked once at a time, and everybody is told before
// the keeper's deadline, or by it.
func TestASlowListingOfAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &stuck{namespace: "shop"}
		g := &Gatherer{API: api}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), keepersLimit)
				defer cancel()
				if _, err := listed(ctx, g.Together(), "shop"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if got, err := listed(ctx, g.Together(), "bank"); err == nil && len(got) != 2 {
					t.Errorf("of another namespace it got %q", got)
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		all.Wait()
		if most := 1; api.most != most {
			t.Errorf("%d such listings at a time, want %d", api.most, most)
		}
	})
}

// stuck never lists the pods of one namespace.
type stuck struct {
	slowly
	namespace string
	at, most  int
}

func (s *stuck) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if (&client.ListOptions{}).ApplyOptions(options).Namespace != s.namespace {
		return s.slowly.List(ctx, list, options...)
	}
	s.mu.Lock()
	s.at++
	s.most = max(s.most, s.at)
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.at--
	s.mu.Unlock()
	return ctx.Err()
}

// TestAListingPanics: everybody whose listing it was is told, and the next one is as any other.
func TestAListingPanics(t *testing.T) {
	defer func(all []func(context.Context, any)) { utilruntime.PanicHandlers = all }(utilruntime.PanicHandlers)
	panics := 0
	utilruntime.PanicHandlers = []func(context.Context, any){func(context.Context, any) { panics++ }}
	inBubble(t, func(t *testing.T) {
		g := &Gatherer{API: &slowly{}}
		go func() { _, _ = listed(t.Context(), g.Together(), "bank") }() // the others wait for it together
		synctest.Wait()
		var all sync.WaitGroup
		all.Go(func() {
			err := EachPage(t.Context(), g.Together(), func(*corev1.PodList) { panic("boom") }, client.InNamespace("shop"))
			if err == nil || !strings.Contains(err.Error(), "boom") {
				t.Errorf("who panics got %v", err)
			}
		})
		all.Go(func() {
			if _, err := listed(t.Context(), g.Together(), "shop"); err == nil || !strings.Contains(err.Error(), "boom") {
				t.Errorf("the other one got %v", err)
			}
		})
		all.Wait()
		if got, err := listed(t.Context(), g.Together(), "shop"); err != nil || len(got) != 2 {
			t.Errorf("the next one got %q, %v", got, err)
		}
	})
	if panics != 1 {
		t.Errorf("%d panics were reported, want 1", panics)
	}
}

// TestWhoLeftAListing is not called any more.
func TestWhoLeftAListing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := &Gatherer{API: &slowly{}}
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		got, err := listed(ctx, g.Together(), "shop")
		if len(got) != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the first page it has %q, %v", got, err)
		}
		before := slices.Clone(got)
		time.Sleep(time.Minute)
		if fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("later it has %q", got)
		}
	})
}
