package cephtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

const (
	mainFilesystem = "cephfs"
	furtherPool    = "conformance-files"
)

// SubvolumeFilesystem is the file system that [SubvolumeConformance] needs.
func SubvolumeFilesystem() Filesystem {
	return Filesystem{Name: mainFilesystem, DataPools: []string{furtherPool}}
}

// SubvolumeHarness is a Ceph cluster with the file system of
// [SubvolumeFilesystem], and the hands of its administrator. Its methods end the
// test when they cannot do what they are for.
type SubvolumeHarness interface {
	// Dial connects as a user whose rights, where it has any, are about
	// subvolumes. The suite closes the connection.
	Dial(t *testing.T, user User) (ceph.Cluster, error)
	// RemoveSubvolume does what `ceph fs subvolume rm` does.
	RemoveSubvolume(t *testing.T, spec ceph.SubvolumeSpec)
	// SetSubvolumeQuota sets the quota to any size; zero takes it away.
	SetSubvolumeQuota(t *testing.T, spec ceph.SubvolumeSpec, size uint64)
	// SubvolumeLayout returns the subvolume's real layout; DataPool is empty for
	// the default one.
	SubvolumeLayout(t *testing.T, spec ceph.SubvolumeSpec) ceph.SubvolumeLayout
	// WriteSubvolumeRecord overwrites the stored bytes of the subvolume's record.
	WriteSubvolumeRecord(t *testing.T, subvolume ceph.Subvolume, data []byte)
	// CutManager makes the manager stop answering, until heal.
	CutManager(t *testing.T) (heal func())
	// Bound is within what time a method must return meanwhile.
	Bound() time.Duration
}

// SubvolumeConformance tests every promise that package ceph makes about the
// subvolumes of a [ceph.Cluster].
func SubvolumeConformance(t *testing.T, harness SubvolumeHarness) {
	s := subvolumeSuite{harness}
	t.Run("creation", s.creation)
	t.Run("growth", s.growth)
	t.Run("records", s.records)
	t.Run("rights", s.rights)
	t.Run("file system not found", s.filesystemNotFound)
	t.Run("context", s.context)
	t.Run("close", s.close)
	t.Run("cut manager", s.cutManager)
}

type subvolumeSuite struct{ SubvolumeHarness }

func (s subvolumeSuite) connect(t *testing.T, user User) ceph.Cluster {
	t.Helper()
	cluster, err := s.Dial(t, user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wantError(t, cluster.Close(), nil) })
	return cluster
}

// create makes a subvolume that the test needs.
func (s subvolumeSuite) create(t *testing.T, cluster ceph.Cluster, name string, size uint64) ceph.Subvolume {
	t.Helper()
	made, err := cluster.CreateSubvolume(t.Context(), sub(name), ceph.SubvolumeLayout{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// sub names a subvolume in the main file system.
func sub(name string) ceph.SubvolumeSpec {
	return ceph.SubvolumeSpec{Filesystem: mainFilesystem, Group: "csi", Name: name}
}

// subvolumeMethod is a method of ceph.Cluster about a subvolume that exists.
type subvolumeMethod struct {
	name string
	// writes: an observer must not.
	writes bool
	// manager: it does not work without the manager.
	manager bool
	call    func(ctx context.Context, cluster ceph.Cluster, subvolume ceph.Subvolume) error
}

func subvolumeMethods() []subvolumeMethod {
	return []subvolumeMethod{
		{"Subvolume", false, true, func(ctx context.Context, cluster ceph.Cluster, subvolume ceph.Subvolume) error {
			_, err := cluster.Subvolume(ctx, subvolume.SubvolumeSpec)
			return err
		}},
		{"CreateSubvolume", true, true, func(ctx context.Context, cluster ceph.Cluster, subvolume ceph.Subvolume) error {
			subvolume.Name += "-new"
			_, err := cluster.CreateSubvolume(ctx, subvolume.SubvolumeSpec, ceph.SubvolumeLayout{Size: mib})
			return err
		}},
		{"GrowSubvolume", true, true, func(ctx context.Context, cluster ceph.Cluster, subvolume ceph.Subvolume) error {
			return cluster.GrowSubvolume(ctx, subvolume.SubvolumeSpec, subvolume.Size+mib)
		}},
		{"SubvolumeRecord", false, false, func(ctx context.Context, cluster ceph.Cluster, subvolume ceph.Subvolume) error {
			_, err := cluster.SubvolumeRecord(ctx, subvolume)
			return err
		}},
		{"PutSubvolumeRecord", true, false, func(ctx context.Context, cluster ceph.Cluster, subvolume ceph.Subvolume) error {
			record, err := cluster.SubvolumeRecord(ctx, subvolume)
			if err != nil {
				return err
			}
			_, err = cluster.PutSubvolumeRecord(ctx, subvolume, record)
			return err
		}},
	}
}

func (s subvolumeSuite) creation(t *testing.T) {
	cluster := s.connect(t, Provisioner)

	t.Run("what was made can be read back", func(t *testing.T) {
		made, err := cluster.CreateSubvolume(t.Context(), sub("shop.data"), ceph.SubvolumeLayout{Size: 10 * mib})
		wantError(t, err, nil)
		if !strings.HasPrefix(made.Path, "/volumes/csi/shop.data/") {
			t.Errorf("path %q", made.Path)
		}
		wantSame(t, made, ceph.Subvolume{SubvolumeSpec: sub("shop.data"), Path: made.Path, Size: 10 * mib})
		wantSame(t, s.SubvolumeLayout(t, sub("shop.data")), ceph.SubvolumeLayout{Size: 10 * mib})
		read, err := cluster.Subvolume(t.Context(), sub("shop.data"))
		wantError(t, err, nil)
		wantSame(t, read, made)
	})

	t.Run("one that does not exist", func(t *testing.T) {
		for _, group := range []string{"csi", "no-such-group"} {
			spec := ceph.SubvolumeSpec{Filesystem: mainFilesystem, Group: group, Name: "absent"}
			_, err := cluster.Subvolume(t.Context(), spec)
			wantError(t, err, ceph.ErrSubvolumeNotFound)
		}
	})

	t.Run("in a group that does not exist, and in one that does", func(t *testing.T) {
		for _, name := range []string{"first", "second"} {
			spec := ceph.SubvolumeSpec{Filesystem: mainFilesystem, Group: "team", Name: name}
			made, err := cluster.CreateSubvolume(t.Context(), spec, ceph.SubvolumeLayout{Size: mib})
			wantError(t, err, nil)
			read, err := cluster.Subvolume(t.Context(), spec)
			wantError(t, err, nil)
			wantSame(t, read, made)
		}
	})

	t.Run("without quota", func(t *testing.T) {
		wantSame(t, s.create(t, cluster, "unlimited", 0).Size, 0)
		wantSame(t, s.SubvolumeLayout(t, sub("unlimited")), ceph.SubvolumeLayout{})
	})

	t.Run("in another data pool", func(t *testing.T) {
		layout := ceph.SubvolumeLayout{Size: mib, DataPool: furtherPool}
		_, err := cluster.CreateSubvolume(t.Context(), sub("elsewhere"), layout)
		wantError(t, err, nil)
		wantSame(t, s.SubvolumeLayout(t, sub("elsewhere")), layout)
	})

	t.Run("in a data pool that the file system does not have", func(t *testing.T) {
		_, err := cluster.CreateSubvolume(t.Context(), sub("nowhere"), ceph.SubvolumeLayout{Size: mib, DataPool: "no-such-pool"})
		wantError(t, err, ceph.ErrPoolNotFound)
		_, err = cluster.Subvolume(t.Context(), sub("nowhere"))
		wantError(t, err, ceph.ErrSubvolumeNotFound)
	})

	t.Run("a name that is taken", func(t *testing.T) {
		made := s.create(t, cluster, "taken", 2*mib)
		for _, layout := range []ceph.SubvolumeLayout{{}, {Size: mib}, {Size: 4 * mib, DataPool: furtherPool}} {
			_, err := cluster.CreateSubvolume(t.Context(), sub("taken"), layout)
			wantError(t, err, ceph.ErrSubvolumeExists)
		}
		read, err := cluster.Subvolume(t.Context(), sub("taken"))
		wantError(t, err, nil)
		wantSame(t, read, made)
		wantSame(t, s.SubvolumeLayout(t, sub("taken")), ceph.SubvolumeLayout{Size: 2 * mib})
	})

	t.Run("made again after its removal it has another path", func(t *testing.T) {
		first := s.create(t, cluster, "again", mib)
		s.RemoveSubvolume(t, sub("again"))
		_, err := cluster.Subvolume(t.Context(), sub("again"))
		wantError(t, err, ceph.ErrSubvolumeNotFound)
		second := s.create(t, cluster, "again", 2*mib)
		if first.Path == second.Path {
			t.Errorf("both have path %q", first.Path)
		}
	})

	t.Run("by many at once: one makes it, and the largest size remains", func(t *testing.T) {
		other := s.connect(t, Provisioner)
		for round := range 5 {
			spec := sub(fmt.Sprintf("contended-%d", round))
			var mu sync.Mutex
			var paths []string
			parallel(6, func(i int) {
				by, size := []ceph.Cluster{cluster, other}[i%2], uint64(i+1)*mib
				made, err := by.CreateSubvolume(t.Context(), spec, ceph.SubvolumeLayout{Size: size})
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					paths = append(paths, made.Path)
					return
				}
				wantError(t, err, ceph.ErrSubvolumeExists)
				if err := by.GrowSubvolume(t.Context(), spec, size); !errors.Is(err, ceph.ErrSubvolumeShrinks) {
					wantError(t, err, nil)
				}
			})
			if len(paths) != 1 {
				t.Fatalf("%d made %s; want 1", len(paths), spec)
			}
			read, err := cluster.Subvolume(t.Context(), spec)
			wantError(t, err, nil)
			wantSame(t, read, ceph.Subvolume{SubvolumeSpec: spec, Path: paths[0], Size: 6 * mib})
		}
	})
}

func (s subvolumeSuite) growth(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	size := func(t *testing.T, name string) uint64 {
		t.Helper()
		read, err := cluster.Subvolume(t.Context(), sub(name))
		wantError(t, err, nil)
		return read.Size
	}

	t.Run("to more, and to what it is", func(t *testing.T) {
		before := s.create(t, cluster, "grows", 2*mib)
		for range 2 {
			wantError(t, cluster.GrowSubvolume(t.Context(), sub("grows"), 9*mib), nil)
			wantSame(t, size(t, "grows"), uint64(9*mib))
		}
		after, err := cluster.Subvolume(t.Context(), sub("grows"))
		wantError(t, err, nil)
		wantSame(t, after.Path, before.Path)
	})

	t.Run("never to less", func(t *testing.T) {
		s.create(t, cluster, "shrinks", 2*mib)
		for _, less := range []uint64{2*mib - 1, 1, 0} {
			wantError(t, cluster.GrowSubvolume(t.Context(), sub("shrinks"), less), ceph.ErrSubvolumeShrinks)
		}
		wantSame(t, size(t, "shrinks"), uint64(2*mib))
	})

	t.Run("from none, as a creation that died leaves it", func(t *testing.T) {
		s.create(t, cluster, "half-made", mib)
		s.SetSubvolumeQuota(t, sub("half-made"), 0)
		wantSame(t, size(t, "half-made"), 0)
		wantError(t, cluster.GrowSubvolume(t.Context(), sub("half-made"), 0), nil)
		wantSame(t, size(t, "half-made"), 0)
		wantError(t, cluster.GrowSubvolume(t.Context(), sub("half-made"), 3*mib), nil)
		wantSame(t, size(t, "half-made"), uint64(3*mib))
	})

	t.Run("of one that does not exist", func(t *testing.T) {
		wantError(t, cluster.GrowSubvolume(t.Context(), sub("absent"), mib), ceph.ErrSubvolumeNotFound)
	})

	t.Run("by many at once: the largest size remains", func(t *testing.T) {
		other := s.connect(t, Provisioner)
		for round := range 5 {
			name := fmt.Sprintf("race-%d", round)
			s.create(t, cluster, name, mib)
			parallel(6, func(i int) {
				by := []ceph.Cluster{cluster, other}[i%2]
				err := by.GrowSubvolume(t.Context(), sub(name), uint64(i+2)*mib)
				if largest := i == 5; largest || !errors.Is(err, ceph.ErrSubvolumeShrinks) {
					wantError(t, err, nil)
				}
			})
			wantSame(t, size(t, name), uint64(7*mib))
		}
	})
}

func (s subvolumeSuite) records(t *testing.T) {
	cluster := s.connect(t, Provisioner)

	t.Run("from none to the second", func(t *testing.T) {
		subvolume := s.create(t, cluster, "record", mib)
		_, err := cluster.SubvolumeRecord(t.Context(), subvolume)
		wantError(t, err, ceph.ErrRecordNotFound)
		first, err := cluster.PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{Token: "mine", ClaimSize: 10})
		wantError(t, err, nil)
		wantSame(t, first, ceph.Record{Token: first.Token, ClaimSize: 10, Revision: first.Revision})
		if first.Token == "" || first.Token == "mine" || first.Revision == 0 {
			t.Errorf("token %q, revision %d; want a new token and a revision", first.Token, first.Revision)
		}
		second, err := cluster.PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{ClaimSize: 20, Revision: first.Revision})
		wantError(t, err, nil)
		read, err := cluster.SubvolumeRecord(t.Context(), subvolume)
		wantError(t, err, nil)
		wantSame(t, read, second)
		for name, revision := range map[string]uint64{"none": 0, "the first": first.Revision, "a later": second.Revision + 1000} {
			if _, err := cluster.PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{ClaimSize: 3, Revision: revision}); !errors.Is(err, ceph.ErrRecordChanged) {
				t.Errorf("from %s: %v; want %v", name, err, ceph.ErrRecordChanged)
			}
		}
		read, err = cluster.SubvolumeRecord(t.Context(), subvolume)
		wantError(t, err, nil)
		wantSame(t, read, second)
	})

	t.Run("each subvolume has its own", func(t *testing.T) {
		first := s.create(t, cluster, "own", mib)
		_, err := cluster.PutSubvolumeRecord(t.Context(), first, ceph.Record{ClaimSize: 1})
		wantError(t, err, nil)
		elsewhere := sub("own")
		elsewhere.Group = "team"
		other, err := cluster.CreateSubvolume(t.Context(), elsewhere, ceph.SubvolumeLayout{Size: mib})
		wantError(t, err, nil)
		s.RemoveSubvolume(t, sub("own"))
		again := s.create(t, cluster, "own", mib)
		for name, subvolume := range map[string]ceph.Subvolume{"in another group": other, "made again": again} {
			if _, err := cluster.SubvolumeRecord(t.Context(), subvolume); !errors.Is(err, ceph.ErrRecordNotFound) {
				t.Errorf("one %s: %v; want %v", name, err, ceph.ErrRecordNotFound)
			}
		}
	})

	t.Run("one that this version does not understand", func(t *testing.T) {
		subvolume := s.create(t, cluster, "unknown", mib)
		for _, data := range []string{`{"version":0}`, "cephferry", ""} {
			s.WriteSubvolumeRecord(t, subvolume, []byte(data))
			_, err := cluster.SubvolumeRecord(t.Context(), subvolume)
			wantError(t, err, ceph.ErrRecordUnknown)
			_, err = cluster.PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{ClaimSize: 1})
			wantError(t, err, ceph.ErrRecordChanged)
		}
	})

	t.Run("of many who write from one revision, one wins", func(t *testing.T) {
		subvolume := s.create(t, cluster, "swap", mib)
		clusters := []ceph.Cluster{cluster, s.connect(t, Provisioner)}
		var current ceph.Record
		for round := range 10 {
			var mu sync.Mutex
			var winners []ceph.Record
			parallel(8, func(i int) {
				put, err := clusters[i%2].PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{ClaimSize: uint64(round*10 + i), Revision: current.Revision})
				if errors.Is(err, ceph.ErrRecordChanged) {
					return
				}
				wantError(t, err, nil)
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, put)
			})
			if len(winners) != 1 {
				t.Fatalf("round %d has %d winners; want 1", round, len(winners))
			}
			read, err := cluster.SubvolumeRecord(t.Context(), subvolume)
			wantError(t, err, nil)
			wantSame(t, read, winners[0])
			current = read
		}
	})
}

// recorded makes a subvolume with a record.
func (s subvolumeSuite) recorded(t *testing.T, cluster ceph.Cluster, name string) (ceph.Subvolume, ceph.Record) {
	t.Helper()
	subvolume := s.create(t, cluster, name, mib)
	record, err := cluster.PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{ClaimSize: mib})
	if err != nil {
		t.Fatal(err)
	}
	return subvolume, record
}

func (s subvolumeSuite) rights(t *testing.T) {
	provisioner, observer, stranger := s.connect(t, Provisioner), s.connect(t, Observer), s.connect(t, Stranger)
	subvolume, record := s.recorded(t, provisioner, "rights")
	for _, m := range subvolumeMethods() {
		t.Run("an observer and "+m.name, func(t *testing.T) {
			var want error
			if m.writes {
				want = ceph.ErrPermission
			}
			wantError(t, m.call(t.Context(), observer, subvolume), want)
		})
		t.Run("a stranger and "+m.name, func(t *testing.T) {
			wantError(t, m.call(t.Context(), stranger, subvolume), ceph.ErrPermission)
		})
	}
	after, err := provisioner.SubvolumeRecord(t.Context(), subvolume)
	wantError(t, err, nil)
	wantSame(t, after, record)
	unchanged, err := provisioner.Subvolume(t.Context(), subvolume.SubvolumeSpec)
	wantError(t, err, nil)
	wantSame(t, unchanged, subvolume)
}

func (s subvolumeSuite) filesystemNotFound(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	for _, m := range subvolumeMethods() {
		t.Run(m.name, func(t *testing.T) {
			subvolume := ceph.Subvolume{SubvolumeSpec: ceph.SubvolumeSpec{Filesystem: "no-such-fs", Group: "csi", Name: "data"}, Path: "/volumes/csi/data/1"}
			wantError(t, m.call(t.Context(), cluster, subvolume), ceph.ErrFilesystemNotFound)
		})
	}
}

func (s subvolumeSuite) context(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	subvolume, _ := s.recorded(t, cluster, "context")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, m := range subvolumeMethods() {
		t.Run(m.name+" with a context that ended", func(t *testing.T) {
			wantError(t, m.call(ctx, cluster, subvolume), context.Canceled)
		})
	}
}

func (s subvolumeSuite) close(t *testing.T) {
	cluster, err := s.Dial(t, Provisioner)
	wantError(t, err, nil)
	subvolume, _ := s.recorded(t, cluster, "close")
	wantError(t, cluster.Close(), nil)
	for _, m := range subvolumeMethods() {
		t.Run(m.name+" afterwards", func(t *testing.T) {
			wantError(t, m.call(t.Context(), cluster, subvolume), fs.ErrClosed)
		})
	}
}

func (s subvolumeSuite) cutManager(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	subvolume, _ := s.recorded(t, cluster, "cut")
	heal := s.CutManager(t)
	parallel(len(subvolumeMethods()), func(i int) {
		m := subvolumeMethods()[i]
		if !m.manager {
			return
		}
		start := time.Now()
		if err := m.call(t.Context(), cluster, subvolume); !errors.Is(err, ceph.ErrUnreachable) {
			t.Errorf("%s: %v; want %v", m.name, err, ceph.ErrUnreachable)
		}
		if took := time.Since(start); took > s.Bound() {
			t.Errorf("%s took %v; want at most %v", m.name, took, s.Bound())
		}
	})
	heal()

	// As after every outage: the same again works.
	s.eventually(t, "the subvolume can be read", func() error {
		_, err := cluster.Subvolume(t.Context(), subvolume.SubvolumeSpec)
		return err
	})
	s.eventually(t, "the subvolume that could not be made is there", func() error {
		_, err := cluster.CreateSubvolume(t.Context(), sub("cut-new"), ceph.SubvolumeLayout{Size: mib})
		if !errors.Is(err, ceph.ErrSubvolumeExists) {
			return err
		}
		return cluster.GrowSubvolume(t.Context(), sub("cut-new"), mib)
	})
	s.eventually(t, "the subvolume can grow", func() error {
		return cluster.GrowSubvolume(t.Context(), subvolume.SubvolumeSpec, 3*mib)
	})
	if t.Failed() {
		return
	}
	for name, size := range map[string]uint64{"cut": 3 * mib, "cut-new": mib} {
		read, err := cluster.Subvolume(t.Context(), sub(name))
		wantError(t, err, nil)
		wantSame(t, read.Size, size)
	}
}

func (s subvolumeSuite) eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	eventually(t, 10*s.Bound(), what, try)
}
