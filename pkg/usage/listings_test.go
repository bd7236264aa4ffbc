package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// slowly is an API server whose listings take a second each, of two pages. What it lists are
// pods with the time at which the listing began as their name.
type slowly struct {
	client.Reader
	mu    sync.Mutex
	lists map[string]int
	begun string
	err   error
}

func (s *slowly) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	all := (&client.ListOptions{}).ApplyOptions(options)
	s.mu.Lock()
	if all.Continue == "" {
		if s.lists == nil {
			s.lists = map[string]int{}
		}
		s.lists[all.Namespace]++
		s.begun = now()
		list.SetContinue("more")
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: s.begun, Namespace: all.Namespace}}
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
		if len(g.listings.waiting) != 0 || g.listings.underway {
			t.Errorf("it goes on waiting: %v", g.listings.waiting)
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

// TestAListingWithoutAnAnswer: who asked waits no longer than it may, and gets nothing later; and
// the listing ends by itself.
func TestAListingWithoutAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		g := &Gatherer{API: mute{}}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := listed(ctx, g.Together(), "shop"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 300*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		// The next one waits for the end of that, and its own listing.
		if _, err := listed(t.Context(), g.Together(), "shop"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 2*listingLimit+betweenListings {
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
