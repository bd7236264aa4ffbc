package keeper

import (
	"slices"
	"sync"
	"time"
)

// patience is how long to wait before a look at what changes soon: little while it is
// news, and more while it stays as it is. The zero value is ready.
type patience struct {
	mu   sync.Mutex
	last map[string]waiting
	news map[string]string
	// seen are clients that have no business with the volume's image.
	seen map[string][]string
}

type waiting struct {
	state string
	wait  time.Duration
}

// shortest is the first wait.
const shortest = 100 * time.Millisecond

// next is how long to wait for a volume in that state, at most longest.
func (p *patience) next(volume, state string, longest time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]waiting{}
	}
	now := waiting{state, shortest}
	if before := p.last[volume]; before.state == state {
		now.wait = min(longest, before.wait*3/2)
	}
	p.last[volume] = now
	return now.wait
}

// isNews reports whether what is said of the volume was not said the last time.
func (p *patience) isNews(volume, what string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news[volume] == what {
		return false
	}
	if p.news == nil {
		p.news = map[string]string{}
	}
	p.news[volume] = what
	return true
}

// late notes the clients that have no business with the volume's image, and returns those
// that were noted the last time.
func (p *patience) late(volume string, clients []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.seen[volume]
	if len(clients) == 0 {
		delete(p.seen, volume)
		return nil
	}
	if p.seen == nil {
		p.seen = map[string][]string{}
	}
	p.seen[volume] = clients
	return slices.DeleteFunc(slices.Clone(clients), func(c string) bool { return !slices.Contains(before, c) })
}

func (p *patience) forget(volume string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, volume)
	delete(p.news, volume)
	delete(p.seen, volume)
}
