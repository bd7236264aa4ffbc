package stamp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Folder is a mounted folder. Any number of nodes may have it mounted at once.
type Folder interface {
	// Append adds data to the end of a file, which it makes if needed.
	Append(file string, data []byte) error
	// Ends returns the last [End] bytes of every file.
	Ends() (map[string][]byte, error)
}

// End is how much of a file's end is enough to find its newest stamp.
const End = 4 * Size

// Diary writes the stamps of pods into a folder. Each pod has a file of its own
// there, one line per stamp, and nobody else writes into that.
type Diary struct {
	folder Folder

	mu sync.Mutex
	// last has the numbers of the newest stamps, by file.
	last map[string]uint64
}

// Open is a diary that goes on where the files in the folder end.
func Open(folder Folder) (*Diary, error) {
	d := &Diary{folder: folder, last: map[string]uint64{}}
	newest, err := Newest(folder)
	for _, s := range newest {
		d.last[s.file()] = s.Sequence
	}
	return d, err
}

// Write writes the writer's next stamp.
func (d *Diary) Write(writer Writer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Stamp{Sequence: d.last[writer.file()] + 1, Time: time.Now(), Writer: writer}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := d.folder.Append(writer.file(), append(line, '\n')); err != nil {
		return fmt.Errorf("write stamp %d: %w", s.Sequence, err)
	}
	d.last[writer.file()] = s.Sequence
	return nil
}

// file is the name of the pod's file.
func (w Writer) file() string { return w.Cluster + "." + w.UID + ".stamps" }

// Newest reads everybody's newest stamp, in the order of their clusters and pods.
func Newest(folder Folder) ([]Stamp, error) {
	ends, err := folder.Ends()
	if err != nil {
		return nil, fmt.Errorf("read stamps: %w", err)
	}
	var newest []Stamp
	for file, end := range ends {
		// The last line may be there in part.
		lines := bytes.Split(end, []byte("\n"))
		if len(lines) < 2 {
			continue
		}
		var s Stamp
		if err := json.Unmarshal(lines[len(lines)-2], &s); err != nil || s.file() != file {
			continue // somebody else's file
		}
		newest = append(newest, s)
	}
	slices.SortFunc(newest, func(a, b Stamp) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.UID, b.UID))
	})
	return newest, nil
}
