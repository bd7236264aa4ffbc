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
// listing of its own, and proves as much.
//
// There is one listing at a time, whatever is listed, and next is what somebody has waited for
// longest. So proofs that list the same things in the same order come together: who is ahead waits
// for the others, and who has just got a listing has a moment to ask for its next one. The zero
// value is ready.
type listings struct {
	mu sync.Mutex
	// waiting are in the order in which they asked.
	waiting  []*asker
	underway bool
}

// listingLimit bounds a listing. Who asked may go sooner.
const listingLimit = 10 * time.Second

// betweenListings is enough to ask for the next one, and next to nothing for who waits.
const betweenListings = 2 * time.Millisecond

// asker is told of each page.
type asker struct {
	// key is equal for equal listings, so that list may be that of another asker with that key.
	key  string
	list func(ctx context.Context, each func(client.ObjectList)) error
	each func(client.ObjectList)
	done chan error

	mu sync.Mutex
	// gone: it does not wait any more, and is not to be called.
	gone bool
}

// share calls each for every page of a listing that begins after now. each is called by another
// goroutine, but not after share has returned, and must not change what it is given.
func (l *listings) share(ctx context.Context, key string, list func(context.Context, func(client.ObjectList)) error, each func(client.ObjectList)) error {
	one := &asker{key: key, list: list, each: each, done: make(chan error, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, one)
	if !l.underway {
		l.underway = true
		go l.run(context.WithoutCancel(ctx))
	}
	l.mu.Unlock()
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		one.leave()
		return ctx.Err()
	}
}

// run lists until nobody waits.
func (l *listings) run(ctx context.Context) {
	for all := l.take(); len(all) > 0; all = l.take() {
		limited, cancel := context.WithTimeout(ctx, listingLimit)
		err := all[0].list(limited, func(page client.ObjectList) {
			for _, one := range all {
				one.tell(page)
			}
		})
		cancel()
		for _, one := range all {
			one.done <- err
		}
		time.Sleep(betweenListings)
	}
}

// take returns who has waited longest, and those who wait for the same. Who asks for it from then on
// waits for the listing after that.
func (l *listings) take() []*asker {
	l.mu.Lock()
	defer l.mu.Unlock()
	var same, others []*asker
	for _, one := range l.waiting {
		switch {
		case one.hasLeft(): // nobody lists for it
		case len(same) == 0 || one.key == same[0].key:
			same = append(same, one)
		default:
			others = append(others, one)
		}
	}
	l.waiting, l.underway = others, len(same) > 0
	return same
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

func (a *asker) hasLeft() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone
}

// listingKey is equal for equal listings.
func listingKey(list client.ObjectList, options []client.ListOption) string {
	var all client.ListOptions
	all.ApplyOptions(options)
	return fmt.Sprintf("%T in %q, %v %v", list, all.Namespace, all.LabelSelector, all.FieldSelector)
}
