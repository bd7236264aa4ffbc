package usage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// listings lets those who list the same at the same time share one listing. It works as a
// database commits in groups: who asks while a listing is under way gets the next one, together
// with all others who asked meanwhile. So what anybody gets was listed after it asked, as with a
// listing of its own, and proves as much.
//
// They take turns, whatever is listed, and next is what somebody has waited for longest. So proofs
// that list the same things in the same order come together: who is ahead waits for the others, and
// who has just got a listing has a moment to ask for its next one. A slow listing has its turn for
// a moment only, and then others begin beside it, but none of the same. The zero value is ready.
type listings struct {
	mu sync.Mutex
	// waiting are in the order in which they asked.
	waiting []*asker
	// underway are the keys of the listings that have not ended.
	underway map[string]bool
	// turns: run gives them.
	turns bool
}

const (
	// listingLimit bounds a listing. It is well below what the keeper has for a look, so that
	// who waited for another listing still gets its own.
	listingLimit = 5 * time.Second
	// listingTurn is how long at most a listing keeps others waiting.
	listingTurn = time.Second / 2
	// betweenListings is enough to ask for the next one, and next to nothing for who waits.
	betweenListings = 2 * time.Millisecond
)

// asker is told of each page.
type asker struct {
	// key is equal for equal listings, so that list may be that of another asker with that key.
	key  string
	list func(ctx context.Context, each func(client.ObjectList)) error
	each func(client.ObjectList)
	done chan error
	// left is called once when it does not wait any more, unless it is nil. It is set and read
	// with the mu of listings.
	left func()

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
	l.goOn(context.WithoutCancel(ctx))
	l.mu.Unlock()
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		l.leave(one)
		return ctx.Err()
	}
}

// goOn is for a caller that has mu.
func (l *listings) goOn(ctx context.Context) {
	if !l.turns && len(l.waiting) > 0 {
		l.turns = true
		go l.run(ctx)
	}
}

// run gives turns until nobody waits but for what is being listed.
func (l *listings) run(ctx context.Context) {
	for {
		over := l.begin(ctx)
		if over == nil {
			return
		}
		select {
		case <-over:
		case <-time.After(listingTurn):
		}
		time.Sleep(betweenListings)
	}
}

// begin begins the listing for who has waited longest, and returns what is closed when it is over. It
// is nil if there is none to begin.
func (l *listings) begin(ctx context.Context) (over chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.take()
	if len(all) == 0 {
		l.turns = false
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, listingLimit)
	interested := len(all)
	for _, one := range all {
		one.left = func() {
			if interested--; interested == 0 {
				cancel() // nobody wants it any more
			}
		}
	}
	key := all[0].key
	if l.underway == nil {
		l.underway = map[string]bool{}
	}
	l.underway[key] = true
	over = make(chan struct{})
	go func() {
		err := listFor(ctx, all)
		cancel()
		for _, one := range all {
			one.done <- err
		}
		close(over)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.underway, key)
		l.goOn(context.WithoutCancel(ctx))
	}()
	return over
}

// take removes who has waited longest for what is not being listed, and those who wait for the same.
// Who asks for it from then on waits for the listing after that. It is for a caller that has mu.
func (l *listings) take() []*asker {
	var same, others []*asker
	for _, one := range l.waiting {
		if !l.underway[one.key] && (len(same) == 0 || one.key == same[0].key) {
			same = append(same, one)
		} else {
			others = append(others, one)
		}
	}
	l.waiting = others
	return same
}

// listFor lists once for all of them. Nothing else recovers a panic of this goroutine.
func listFor(ctx context.Context, all []*asker) (err error) {
	defer func() {
		if r := recover(); r != nil {
			for _, handle := range utilruntime.PanicHandlers {
				handle(ctx, r)
			}
			err = fmt.Errorf("list %s: panic: %v [recovered]", all[0].key, r)
		}
	}()
	return all[0].list(ctx, func(page client.ObjectList) {
		for _, one := range all {
			one.tell(page)
		}
	})
}

// leave is for who does not wait any more. When it returns, it is not called any more.
func (l *listings) leave(one *asker) {
	l.mu.Lock()
	l.waiting = slices.DeleteFunc(l.waiting, func(other *asker) bool { return other == one })
	if one.left != nil {
		one.left()
	}
	l.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	one.gone = true
}

func (a *asker) tell(page client.ObjectList) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.gone {
		a.each(page)
	}
}

// listingKey is equal for equal listings.
func listingKey(list client.ObjectList, options []client.ListOption) string {
	var all client.ListOptions
	all.ApplyOptions(options)
	return fmt.Sprintf("%T in %q, %v %v", list, all.Namespace, all.LabelSelector, all.FieldSelector)
}
