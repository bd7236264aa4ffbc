package goceph

import (
	"container/list"
	"sync"
)

// kept keeps handles open that are slow to open, by key, and closes those that
// were not used for longest when there are more than limit. A handle that is in
// use is never closed: the call inside it would end the process.
type kept[K comparable, H any] struct {
	limit int
	close func(H)

	mu sync.Mutex
	// entries has the handles that further callers may use, order has them by
	// their last use, the latest in front.
	entries map[K]*list.Element
	order   list.List
}

// entry is one handle. Only the one who opens it writes handle and err, before
// closing opened; the other fields belong to kept.mu.
type entry[K comparable, H any] struct {
	key    K
	opened chan struct{}
	handle H
	err    error

	users int
	// dropped: the last user closes the handle.
	dropped bool
}

func newKept[K comparable, H any](limit int, close func(H)) *kept[K, H] {
	return &kept[K, H]{limit: limit, close: close, entries: map[K]*list.Element{}}
}

// borrow returns the handle of key, to be given back. When there is none yet, the
// first who asks opens it, and the others wait for that, and share its error.
func (k *kept[K, H]) borrow(key K, open func() (H, error)) (*entry[K, H], error) {
	k.mu.Lock()
	element, found := k.entries[key]
	if !found {
		element = k.order.PushFront(&entry[K, H]{key: key, opened: make(chan struct{})})
		k.entries[key] = element
	}
	k.order.MoveToFront(element)
	e := element.Value.(*entry[K, H])
	e.users++
	var surplus []*entry[K, H]
	for k.order.Len() > k.limit {
		oldest := k.order.Back().Value.(*entry[K, H])
		if k.drop(oldest) {
			surplus = append(surplus, oldest)
		}
	}
	k.mu.Unlock()

	if found {
		<-e.opened
	} else {
		e.handle, e.err = open()
		close(e.opened)
	}
	for _, s := range surplus {
		k.close(s.handle)
	}
	if e.err != nil {
		k.giveBack(e, false)
		return nil, e.err
	}
	return e, nil
}

// giveBack ends the use of a handle; keep says whether further callers may use
// it.
func (k *kept[K, H]) giveBack(e *entry[K, H], keep bool) {
	k.mu.Lock()
	if !keep {
		k.drop(e)
	}
	e.users--
	unused := e.dropped && e.users == 0
	k.mu.Unlock()
	if unused && e.err == nil {
		k.close(e.handle)
	}
}

// drop takes e out of what further callers find, and reports whether the caller
// has to close it because nobody uses it. The caller holds mu.
func (k *kept[K, H]) drop(e *entry[K, H]) (unused bool) {
	if e.dropped {
		return false
	}
	e.dropped = true
	k.order.Remove(k.entries[e.key])
	delete(k.entries, e.key)
	return e.users == 0
}

// closeAll closes every handle. Nobody may use any.
func (k *kept[K, H]) closeAll() {
	k.mu.Lock()
	var all []*entry[K, H]
	for element := k.order.Front(); element != nil; element = element.Next() {
		all = append(all, element.Value.(*entry[K, H]))
	}
	for _, e := range all {
		k.drop(e)
	}
	k.mu.Unlock()
	for _, e := range all {
		k.close(e.handle)
	}
}
