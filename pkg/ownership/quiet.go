package ownership

import (
	"sync"
	"time"
)

// Quiet tells for how long an image's admissions have been the same, on the clock of
// one process. A leader that begins knows nothing, and waits from then on.
type Quiet struct {
	// Grace is longer than a request to the API server may take (its flag
	// --request-timeout): a pod that was admitted before is stored by then, or never.
	Grace time.Duration

	mu   sync.Mutex
	seen map[string]sighting
}

type sighting struct {
	admissions uint64
	since      time.Time
}

// Observe notes the admissions in an image's record, which was read between begin and
// end, and reports whether they have been the same for longer than Grace. If not,
// they will be after rest.
func (q *Quiet) Observe(image string, admissions uint64, begin, end time.Time) (quiet bool, rest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	last, known := q.seen[image]
	if !known || last.admissions != admissions {
		if q.seen == nil {
			q.seen = map[string]sighting{}
		}
		q.seen[image] = sighting{admissions, end}
		return false, q.Grace
	}
	lasted := begin.Sub(last.since)
	return lasted > q.Grace, max(0, q.Grace-lasted)
}

// Forget is for an image that is not looked at any more.
func (q *Quiet) Forget(image string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.seen, image)
}
