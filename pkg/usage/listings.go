package usage

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// listings lets those who list the same at the same time share one listing. It works as a
// database commits in groups: who asks while a listing is under way gets the next one, together
// with all others who asked meanwhile. So what anybody gets was listed after it asked, as with a
// listing of its own, and proves as much; and it waits for two listings at most. The zero value is
// ready.
type listings struct {
	mu sync.Mutex
	// waiting are those who get the next listing, by what they list. A key is there while one of
	// that kind is under way.
	waiting map[string][]*asker
}

// listingLimit bounds a listing. Who asked may go sooner.
const listingLimit = 10 * time.Second

// asker is told of each page.
type asker struct {
	each func(client.ObjectList)
	done chan error

	mu sync.Mutex
	// gone: it does not wait any more, and is not to be called.
	gone bool
}

// share calls each for every page of a listing that begins after now. list lists; it may be that of
// another asker with the same key. each is called by another goroutine, but not after share has
// returned, and must not change what it is given.
func (l *listings) share(ctx context.Context, key string, list func(context.Context, func(client.ObjectList)) error, each func(client.ObjectList)) error {
	one := &asker{each: each, done: make(chan error, 1)}
	l.mu.Lock()
	if l.waiting == nil {
		l.waiting = map[string][]*asker{}
	}
	_, underway := l.waiting[key]
	l.waiting[key] = append(l.waiting[key], one)
	l.mu.Unlock()
	if !underway {
		go l.run(context.WithoutCancel(ctx), key, list)
	}
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		one.leave()
		return ctx.Err()
	}
}

// run lists until nobody waits.
func (l *listings) run(ctx context.Context, key string, list func(context.Context, func(client.ObjectList)) error) {
	for {
		all := l.take(key)
		if len(all) == 0 {
			return
		}
		limited, cancel := context.WithTimeout(ctx, listingLimit)
		err := list(limited, func(page client.ObjectList) {
			for _, one := range all {
				one.tell(page)
			}
		})
		cancel()
		for _, one := range all {
			one.done <- err
		}
	}
}

// take returns those who wait. From then on others wait for the listing after that.
func (l *listings) take(key string) []*asker {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.waiting[key]
	if len(all) == 0 {
		delete(l.waiting, key)
	} else {
		l.waiting[key] = nil
	}
	return all
}

func (a *asker) tell(page client.ObjectList) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.gone {
		a.each(page)
	}
}

func (a *asker) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
}

// listingKey is equal for equal listings.
func listingKey(list client.ObjectList, options []client.ListOption) string {
	var all client.ListOptions
	all.ApplyOptions(options)
	return fmt.Sprintf("%T in %q, %v %v", list, all.Namespace, all.LabelSelector, all.FieldSelector)
}
