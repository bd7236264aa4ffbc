package cephtest

import (
	"context"
	"slices"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) survey(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	operator := s.connect(t, Operator)
	in := func(name string) ceph.ImageSpec {
		return ceph.ImageSpec{Pool: mainPool, Namespace: "survey", Name: name}
	}

	t.Run("finds no record", func(t *testing.T) {
		records, err := operator.Records(t.Context(), mainPool, "survey")
		wantError(t, err, nil)
		wantSame(t, len(records), 0)
	})
	t.Run("finds all records, and says which it cannot read", func(t *testing.T) {
		s.create(t, cluster, in("without"), mib)
		first, err := cluster.PutRecord(t.Context(), s.create(t, cluster, in("b"), mib), ceph.Record{ClaimSize: 2})
		wantError(t, err, nil)
		second, err := cluster.PutRecord(t.Context(), s.create(t, cluster, in("a"), mib), ceph.Record{ClaimSize: 1})
		wantError(t, err, nil)
		s.WriteRecord(t, s.create(t, cluster, in("c"), mib), []byte(`{"version":99}`))
		gone := s.create(t, cluster, in("gone"), mib)
		_, err = cluster.PutRecord(t.Context(), gone, ceph.Record{ClaimSize: 3})
		wantError(t, err, nil)
		s.RemoveImage(t, gone.ImageSpec)

		records, err := operator.Records(t.Context(), mainPool, "survey")
		wantError(t, err, nil)
		for i := range records {
			if records[i].Image == in("c") {
				wantError(t, records[i].Err, ceph.ErrRecordUnknown)
				records[i].Err = nil
			}
		}
		wantSame(t, records, []ceph.RecordOf{
			{Image: in("a"), Record: second}, {Image: in("b"), Record: first}, {Image: in("c")},
		})
	})
	t.Run("of a namespace that does not exist", func(t *testing.T) {
		_, err := operator.Records(t.Context(), mainPool, "nowhere")
		wantError(t, err, ceph.ErrNamespaceNotFound)
	})
	t.Run("of a pool that does not exist", func(t *testing.T) {
		_, err := operator.Records(t.Context(), "no-such-pool", "")
		wantError(t, err, ceph.ErrPoolNotFound)
	})
	t.Run("needs rights", func(t *testing.T) {
		_, err := s.connect(t, Stranger).Records(t.Context(), mainPool, "survey")
		wantError(t, err, ceph.ErrPermission)
	})
	t.Run("finds the machines of ceph", func(t *testing.T) {
		daemons, err := operator.Daemons(t.Context())
		wantError(t, err, nil)
		if !slices.IsSortedFunc(daemons, func(a, b ceph.Daemon) int {
			if a.Name != b.Name {
				return slices.Compare([]string{a.Name}, []string{b.Name})
			}
			return a.Addr.Compare(b.Addr)
		}) {
			t.Errorf("not sorted: %v", daemons)
		}
	})
	t.Run("ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := operator.Records(ctx, mainPool, "survey")
		wantError(t, err, context.Canceled)
		_, err = operator.Daemons(ctx)
		wantError(t, err, context.Canceled)
	})
}
