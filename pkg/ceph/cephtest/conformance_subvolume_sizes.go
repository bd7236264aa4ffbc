package cephtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

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
