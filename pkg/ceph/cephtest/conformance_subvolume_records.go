package cephtest

import (
	"errors"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

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
			winner := onlyWinner(t, ceph.ErrRecordChanged, func(i int) (ceph.Record, error) {
				return clusters[i%2].PutSubvolumeRecord(t.Context(), subvolume, ceph.Record{ClaimSize: uint64(round*10 + i), Revision: current.Revision})
			})
			read, err := cluster.SubvolumeRecord(t.Context(), subvolume)
			wantError(t, err, nil)
			wantSame(t, read, winner)
			current = read
		}
	})
}
