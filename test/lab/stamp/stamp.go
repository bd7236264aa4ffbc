// Package stamp is what pods on the lab's nodes write into their images: a chain
// of small records. Each names its writer and the record before it, so that a
// reader can prove afterwards that nobody else wrote in between.
//
// The records are in slots at the beginning of the image. A writer reads them
// once, when it opens the image, and from then on trusts its own memory, as a
// filesystem does. It replaces old stamps in random order, so that two concurrent
// writers do not hide each other's stamps: both continue from the same one.
package stamp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// Size is that of a record in bytes. It divides every object size, so that
	// Ceph writes a record completely or not at all.
	Size = 1024
	// maxSlots is how many slots an image has that is large enough.
	maxSlots = 4096
)

// ErrOtherData means that the image begins with something else.
var ErrOtherData = errors.New("the image begins with data that is no stamp")

// Stamp is one record. It is stored as a line of JSON, filled up with spaces.
type Stamp struct {
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	Writer
	// Token is this record's own, Previous that of the record before it.
	Token    string `json:"token"`
	Previous string `json:"previous"`
}

// Writer is the pod that wrote a stamp.
type Writer struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	// Pod is namespace/name.
	Pod string `json:"pod"`
	UID string `json:"uid"`
}

func (w Writer) String() string { return fmt.Sprintf("%s on %s (%s)", w.Pod, w.Node, w.Cluster) }

// Area is the length in bytes of all slots in an image of that size.
func Area(imageSize uint64) int {
	return Size * int(min(maxSlots, imageSize/Size))
}

// Encode returns the record.
func (s Stamp) Encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if len(data) >= Size {
		return nil, fmt.Errorf("encode stamp of %s: %d bytes are too many", s.Writer, len(data))
	}
	record := bytes.Repeat([]byte(" "), Size)
	copy(record, data)
	record[Size-1] = '\n'
	return record, nil
}

// Log has the stamps of an image.
type Log struct {
	// Stamps are in the order of their sequence numbers.
	Stamps []Stamp
	// Kept is how many of the newest stamps no single writer replaces.
	Kept int
}

// Read reads the slots. It returns ErrOtherData when one has anything else.
func Read(area []byte) (Log, error) {
	log := Log{Kept: kept(len(area) / Size)}
	err := each(area, func(_ int, s Stamp) { log.Stamps = append(log.Stamps, s) })
	slices.SortStableFunc(log.Stamps, func(a, b Stamp) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return log, err
}

// each calls f for every slot with a stamp.
func each(area []byte, f func(slot int, s Stamp)) error {
	empty := make([]byte, Size)
	for i := range len(area) / Size {
		record := area[i*Size : (i+1)*Size]
		if bytes.Equal(record, empty) {
			continue
		}
		var s Stamp
		if err := json.Unmarshal(record, &s); err != nil || s.Token == "" {
			return ErrOtherData
		}
		f(i, s)
	}
	return nil
}

func kept(slots int) int { return slots / 2 }

// Last is the newest stamp, or the zero value.
func (l Log) Last() Stamp {
	if len(l.Stamps) == 0 {
		return Stamp{}
	}
	return l.Stamps[len(l.Stamps)-1]
}

// Run is an uninterrupted sequence of stamps by one writer.
type Run struct {
	Writer
	First, Last uint64
	From, Until time.Time
}

// Runs says who wrote, in the order in which they did.
func (l Log) Runs() []Run {
	var runs []Run
	for _, s := range l.Stamps {
		if n := len(runs) - 1; n >= 0 && runs[n].Writer == s.Writer {
			runs[n].Last, runs[n].Until = s.Sequence, s.Time
			continue
		}
		runs = append(runs, Run{s.Writer, s.Sequence, s.Sequence, s.Time, s.Time})
	}
	return runs
}

// Check returns an error when the stamps are not one chain: then two writers had
// the image at a time. The error shows the breaks.
func (l Log) Check() error {
	var breaks []string
	var before Stamp
	for _, s := range l.Stamps {
		linked := s.Sequence == before.Sequence+1 && s.Previous == before.Token
		// Of older stamps some are missing.
		old := s.Sequence+uint64(l.Kept) <= l.Last().Sequence+1 && s.Sequence > before.Sequence
		if !linked && !old || s.Time.Before(before.Time) {
			breaks = append(breaks, fmt.Sprintf("stamp %s does not follow stamp %s", s, before))
		}
		before = s
	}
	if breaks == nil {
		return nil
	}
	return fmt.Errorf("%d of %d stamps break the chain:\n%s", len(breaks), len(l.Stamps), strings.Join(breaks[:min(10, len(breaks))], "\n"))
}

func (s Stamp) String() string {
	return fmt.Sprintf("%d by %s at %s", s.Sequence, s.Writer, s.Time.Format(time.RFC3339Nano))
}
