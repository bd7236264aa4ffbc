package cephtest

import (
	"context"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) lockHolders(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	observer, operator := s.connect(t, Observer), s.connect(t, Operator)
	want := func(t *testing.T, spec ceph.ImageSpec, want *ceph.LockedError) {
		t.Helper()
		got, err := observer.LockHolder(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, got, want)
	}

	t.Run("nobody", func(t *testing.T) {
		s.create(t, cluster, in("lock-unlocked"), mib)
		want(t, in("lock-unlocked"), nil)
	})
	t.Run("of an image that is not there", func(t *testing.T) {
		_, err := observer.LockHolder(t.Context(), in("absent"))
		wantError(t, err, ceph.ErrImageNotFound)
	})
	t.Run("one that answers, then one that was fenced", func(t *testing.T) {
		s.create(t, cluster, in("lock-locked"), mib)
		holder, _ := s.MapImage(t, in("lock-locked"))
		want(t, in("lock-locked"), &ceph.LockedError{Client: holder.Client, Addr: holder.Addr, Answers: true})
		wantError(t, operator.Blocklist(t.Context(), []string{holder.Addr}, years), nil)
		wantError(t, operator.Barrier(t.Context(), in("lock-locked")), nil)
		want(t, in("lock-locked"), &ceph.LockedError{Client: holder.Client, Addr: holder.Addr})
	})
	t.Run("one that has let go", func(t *testing.T) {
		s.create(t, cluster, in("lock-unmapped"), mib)
		_, unmap := s.MapImage(t, in("lock-unmapped"))
		unmap()
		want(t, in("lock-unmapped"), nil)
	})
	t.Run("one that lets go at that moment", func(t *testing.T) {
		s.create(t, cluster, in("lock-unmapping"), mib)
		for range 20 {
			holder, unmap := s.MapImage(t, in("lock-unmapping"))
			parallel(4, func(i int) {
				if i == 0 {
					unmap()
				}
				for !t.Failed() {
					got, err := observer.LockHolder(t.Context(), in("lock-unmapping"))
					wantError(t, err, nil)
					if got == nil {
						return
					}
					wantSame(t, got, &ceph.LockedError{Client: holder.Client, Addr: holder.Addr, Answers: true})
				}
			})
		}
	})
}

func (s suite) self(t *testing.T) {
	cluster, other := s.connect(t, Provisioner), s.connect(t, Provisioner)
	self, err := cluster.Self(t.Context())
	wantError(t, err, nil)
	wantError(t, ceph.CheckFence(self), nil)

	t.Run("is what watchers show", func(t *testing.T) {
		s.create(t, cluster, in("self"), mib)
		defer s.OpenWith(t, cluster, in("self"))()
		watchers, err := other.Watchers(t.Context(), in("self"))
		wantError(t, err, nil)
		if len(watchers) != 1 || watchers[0].Addr != self {
			t.Errorf("watchers are %v; want one at %s", watchers, self)
		}
	})
	t.Run("is another one for each connection, always the same for one", func(t *testing.T) {
		again, err := cluster.Self(t.Context())
		wantError(t, err, nil)
		wantSame(t, again, self)
		another, err := other.Self(t.Context())
		wantError(t, err, nil)
		if another == self {
			t.Errorf("two connections are both %s", self)
		}
	})
	t.Run("is what a fence cuts off", func(t *testing.T) {
		fenced := s.connect(t, Provisioner)
		s.create(t, cluster, in("self-fenced"), mib)
		addr, err := fenced.Self(t.Context())
		wantError(t, err, nil)
		operator := s.connect(t, Operator)
		wantError(t, operator.Blocklist(t.Context(), []string{addr}, years), nil)
		wantError(t, operator.Barrier(t.Context(), in("self-fenced")), nil)
		wantError(t, fenced.GrowImage(t.Context(), in("self-fenced"), 2*mib), ceph.ErrBlocklisted)
	})
	t.Run("needs no rights", func(t *testing.T) {
		_, err := s.connect(t, Stranger).Self(t.Context())
		wantError(t, err, nil)
	})
	t.Run("is not said when the caller has left", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := cluster.Self(ctx)
		wantError(t, err, context.Canceled)
	})
}
