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
	image      string
	admissions uint64
	since      time.Time
}

// Observe notes the admissions in the record of a volume's image, which was read
// between begin and end, and reports whether they have been the same for longer than
// Grace. If not, they will be after rest. The image is named by its ID: one that was
// made again counts anew.
func (q *Quiet) Observe(volume, image string, admissions uint64, begin, end time.Time) (quiet bool, rest time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	last, known := q.seen[volume]
	if !known || last.image != image || last.admissions != admissions {
		if q.seen == nil {
			q.seen = map[string]sighting{}
		}
		q.seen[volume] = sighting{image, admissions, end}
		return false, q.Grace
	}
	lasted := begin.Sub(last.since)
	return lasted > q.Grace, max(0, q.Grace-lasted)
}

// Forget is for a volume that is not looked at any more.
func (q *Quiet) Forget(volume string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.seen, volume)
}
