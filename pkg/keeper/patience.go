package keeper

import (
	"slices"
	"sync"
	"time"
)

// patience is how long to wait before a look at what changes soon: little while it is
// news, and more the longer it stays as it is, however often it is looked at meanwhile. The
// zero value is ready.
type patience struct {
	mu   sync.Mutex
	last map[string]waiting
	// without is how many of them are in the state withoutImage.
	without int
	news    map[string]string
	// seen are clients that have no business with the volume's image.
	seen map[string][]string
}

type waiting struct {
	state string
	since time.Time
}

// shortest is the first wait for what somebody waits for.
const shortest = 100 * time.Millisecond

// lasts is for how long the volume has been in that state, of which it is told now.
func (p *patience) lasts(volume, state string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.note(volume, state, now)
}

// note is lasts for a caller that has mu.
func (p *patience) note(volume, state string, now time.Time) time.Duration {
	before, known := p.last[volume]
	if known && before.state == state {
		return now.Sub(before.since)
	}
	if p.last == nil {
		p.last = map[string]waiting{}
	}
	p.count(before.state, -1)
	p.count(state, 1)
	p.last[volume] = waiting{state, now}
	return 0
}

// waitFor is how long to wait in a state that lasts so long: first at first, then half as long
// again, at most longest.
func waitFor(lasts, first, longest time.Duration) time.Duration {
	return min(longest, max(first, lasts/2))
}

const (
	// withoutImage is the state of a volume whose image is not there.
	withoutImage = "there is no image"
	// withoutStep bounds the looks at such volumes to a hundred a second: if a pool was lost, there
	// may be thousands of them, and they must not keep pods waiting.
	withoutStep = 10 * time.Millisecond
)

// nextWithout is how long to wait for a volume whose image is not there. The more there are of
// them, the longer each waits.
func (p *patience) nextWithout(volume string, now time.Time, longest time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := waitFor(p.note(volume, withoutImage, now), shortest, longest)
	return max(wait, min(longest, time.Duration(p.without)*withoutStep))
}

// hasImage notes that the volume's image is there.
func (p *patience) hasImage(volume string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last[volume].state == withoutImage {
		p.count(withoutImage, -1)
		delete(p.last, volume)
	}
}

// count is for a caller that has mu.
func (p *patience) count(state string, by int) {
	if state == withoutImage {
		p.without += by
	}
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
	p.count(p.last[volume].state, -1)
	delete(p.last, volume)
	delete(p.news, volume)
	delete(p.seen, volume)
}
