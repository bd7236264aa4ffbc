package cephtest

import (
	"context"
	"errors"
	"io/fs"
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
