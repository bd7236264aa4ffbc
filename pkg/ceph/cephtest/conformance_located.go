package cephtest

import (
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// located tests [ceph.Located].
func (s suite) located(t *testing.T) {
	cluster, other := s.connect(t, Provisioner), s.connect(t, Observer)
	fsid, err := cluster.FSID(t.Context())
	wantError(t, err, nil)
	again, err := other.FSID(t.Context())
	wantError(t, err, nil)
	wantSame(t, again, fsid)
	if len(fsid) != 36 {
		t.Errorf("the cluster's id is %q; want a uuid", fsid)
	}
	id, err := cluster.PoolID(t.Context(), mainPool)
	wantError(t, err, nil)
	same, err := other.PoolID(t.Context(), mainPool)
	wantError(t, err, nil)
	wantSame(t, same, id)
	if another, err := other.PoolID(t.Context(), dataPool); err != nil || another == id || id <= 0 {
		t.Errorf("the ids of two pools are %d and %d, %v", id, another, err)
	}
	_, err = cluster.PoolID(t.Context(), "no-such-pool")
	wantError(t, err, ceph.ErrPoolNotFound)
}
