package guard

import (
	"sync"
	"time"
)

const (
	// floodWindow is how long equal refusals are counted instead of being logged one by one.
	floodWindow = time.Minute
	// maxFloods bounds the refusals that are counted. Others are logged one by one.
	maxFloods = 1000
)

// flood counts what comes again. A controller whose pods are refused asks on, and a line for each
// time hides all others. The zero value is ready.
type flood struct {
	mu  sync.Mutex
	all map[string]*repeated
}

// repeated is what came since the last line about it, and again writes the next one.
type repeated struct {
	times int
	again func(times int)
}

// comes reports whether key is to be written now. When it is not, again hears at the end of
// the window how often it came meanwhile; and so on, until a window passes without it.
func (f *flood) comes(key string, again func(times int)) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.all[key]; known != nil {
		known.times++
		known.again = again
		return false
	}
	if len(f.all) >= maxFloods {
		return true
	}
	if f.all == nil {
		f.all = map[string]*repeated{}
	}
	f.all[key] = &repeated{}
	time.AfterFunc(floodWindow, func() { f.ends(key) })
	return true
}

// ends ends a window.
func (f *flood) ends(key string) {
	f.mu.Lock()
	last := f.all[key]
	times, again := last.times, last.again
	if last.times = 0; times == 0 {
		delete(f.all, key)
	} else {
		time.AfterFunc(floodWindow, func() { f.ends(key) })
	}
	f.mu.Unlock()
	if times > 0 {
		again(times)
	}
}
