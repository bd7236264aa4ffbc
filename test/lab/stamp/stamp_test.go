package stamp

import (
	"errors"
	"strings"
	"testing"
)

// disk is an image in memory.
type disk struct {
	data []byte
	err  error // of a write, which is done all the same
}

func (d *disk) ReadAt(p []byte, offset int64) (int, error) { return copy(p, d.data[offset:]), nil }

func (d *disk) WriteAt(p []byte, offset int64) (int, error) {
	return copy(d.data[offset:], p), d.err
}

func (d *disk) open(t *testing.T) *Chain {
	t.Helper()
	chain, err := Continue(d, uint64(len(d.data)))
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func (d *disk) log(t *testing.T) Log {
	t.Helper()
	log, err := Read(d.data[:Area(uint64(len(d.data)))])
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func stamps(t *testing.T, chain *Chain, node string, count int) {
	t.Helper()
	for range count {
		if err := chain.Write(Writer{Cluster: "east", Node: node, Pod: "shop/db-0", UID: node}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneWriterAfterTheOther(t *testing.T) {
	for name, slots := range map[string]int{"with room": 100, "more than there is room for": 13} {
		t.Run(name, func(t *testing.T) {
			d := &disk{data: make([]byte, slots*Size+17)}
			stamps(t, d.open(t), "east-1", 10)
			stamps(t, d.open(t), "west-1", 5)
			stamps(t, d.open(t), "east-1", 1)
			log := d.log(t)
			if err := log.Check(); err != nil {
				t.Error(err)
			}
			if log.Last().Sequence != 16 {
				t.Errorf("the last is %s", log.Last())
			}
			runs := log.Runs()
			if len(runs) != 3 || runs[1].Node != "west-1" || runs[1].First != 11 || runs[1].Last != 15 {
				t.Errorf("runs = %+v", runs)
			}
		})
	}
}

func TestEveryWayToWriteTogetherIsFound(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, d *disk, a, b *Chain){
		"in turns": func(t *testing.T, d *disk, a, b *Chain) {
			for range 3 {
				stamps(t, a, "east-1", 1)
				stamps(t, b, "west-1", 1)
			}
		},
		"the first returns and goes on": func(t *testing.T, d *disk, a, b *Chain) {
			stamps(t, b, "west-1", 5)
			stamps(t, a, "east-1", 8)
		},
		"one late write of the first": func(t *testing.T, d *disk, a, b *Chain) {
			stamps(t, b, "west-1", 5)
			stamps(t, a, "east-1", 1)
		},
		"one late write, when what it follows is gone": func(t *testing.T, d *disk, a, b *Chain) {
			stamps(t, b, "west-1", 3000)
			stamps(t, a, "east-1", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &disk{data: make([]byte, 1000*Size)}
			a := d.open(t)
			stamps(t, a, "east-1", 3)
			write(t, d, a, d.open(t))
			if err := d.log(t).Check(); err == nil || !strings.Contains(err.Error(), "does not follow") {
				t.Errorf("Check = %v for %+v", err, d.log(t).Runs())
			}
		})
	}
}

// A write that failed may have been done.
func TestFailedWriteIsRepeated(t *testing.T) {
	d := &disk{data: make([]byte, 20*Size), err: errors.New("timeout")}
	chain := d.open(t)
	for range 2 {
		if err := chain.Write(Writer{Node: "east-1"}); !errors.Is(err, d.err) {
			t.Errorf("error = %v", err)
		}
	}
	d.err = nil
	stamps(t, chain, "east-1", 3)
	if log := d.log(t); log.Check() != nil || len(log.Stamps) != 3 {
		t.Errorf("%+v: %v", log, log.Check())
	}
}

func TestOtherDataIsLeftAlone(t *testing.T) {
	d := &disk{data: make([]byte, 20*Size)}
	d.data[5*Size+3] = 1
	if _, err := Continue(d, uint64(len(d.data))); !errors.Is(err, ErrOtherData) {
		t.Errorf("error = %v", err)
	}
	if _, err := Continue(d, Size-1); err == nil {
		t.Error("an image without room was taken")
	}
}
