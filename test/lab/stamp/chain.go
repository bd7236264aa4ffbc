package stamp

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Image is an open image.
type Image interface {
	io.ReaderAt
	io.WriterAt
}

// Chain writes stamps into an open image. Pods of one node that share the image
// share its chain.
type Chain struct {
	image Image

	mu   sync.Mutex
	last Stamp
	// slots are all slots, the one that was written longest ago first.
	slots []int
	// pending is a stamp whose write failed, for the last of slots. It may have
	// been written all the same, so that very stamp is written again.
	pending *Stamp
}

// Continue reads the slots of an image of that size and goes on after its last
// stamp.
func Continue(image Image, size uint64) (*Chain, error) {
	area := make([]byte, Area(size))
	if len(area) < 2*Size {
		return nil, fmt.Errorf("read stamps: an image of %d bytes has no room for them", size)
	}
	if _, err := image.ReadAt(area, 0); err != nil {
		return nil, fmt.Errorf("read stamps: %w", err)
	}
	c := &Chain{image: image}
	sequences := make([]uint64, len(area)/Size)
	if err := each(area, func(slot int, s Stamp) {
		sequences[slot] = s.Sequence
		if s.Sequence > c.last.Sequence {
			c.last = s
		}
	}); err != nil {
		return nil, err
	}
	for slot := range sequences {
		c.slots = append(c.slots, slot)
	}
	slices.SortStableFunc(c.slots, func(a, b int) int { return cmp.Compare(sequences[a], sequences[b]) })
	return c, nil
}

// Write writes the next stamp.
func (c *Chain) Write(writer Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		i := mathrand.IntN(len(c.slots) - kept(len(c.slots)))
		slot := c.slots[i]
		c.slots = append(slices.Delete(c.slots, i, i+1), slot)
		c.pending = &Stamp{
			Sequence: c.last.Sequence + 1,
			Time:     time.Now(),
			Writer:   writer,
			Token:    rand.Text(),
			Previous: c.last.Token,
		}
	}
	record, err := c.pending.Encode()
	if err != nil {
		return err
	}
	if _, err := c.image.WriteAt(record, int64(c.slots[len(c.slots)-1])*Size); err != nil {
		return fmt.Errorf("write stamp %d: %w", c.pending.Sequence, err)
	}
	c.last, c.pending = *c.pending, nil
	return nil
}
