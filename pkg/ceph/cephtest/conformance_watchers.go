package cephtest

import (
	"slices"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) watchers(t *testing.T) {
	cluster := s.connect(t, Observer)
	provisioner := s.connect(t, Provisioner)
	want := func(t *testing.T, spec ceph.ImageSpec, want ...ceph.Watcher) {
		t.Helper()
		slices.SortFunc(want, ceph.Watcher.Compare)
		got, err := cluster.Watchers(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, got, want)
		look, err := cluster.Look(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, look.Watchers, want)
	}
	wantNone := func(t *testing.T, spec ceph.ImageSpec) {
		t.Helper()
		got, err := cluster.Watchers(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		wantSame(t, got, nil)
		look, err := cluster.Look(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		wantSame(t, look, ceph.Look{})
	}

	t.Run("none", func(t *testing.T) {
		s.create(t, provisioner, in("quiet"), mib)
		want(t, in("quiet"))
	})

	t.Run("come and go at once", func(t *testing.T) {
		spec := in("watched")
		s.create(t, provisioner, spec, mib)
		want(t, spec)
		first, closeFirst := s.Watch(t, spec)
		want(t, spec, first)
		second, closeSecond := s.Watch(t, spec)
		third, closeThird := s.Watch(t, spec)
		want(t, spec, first, second, third)
		closeSecond()
		want(t, spec, first, third)
		closeFirst()
		want(t, spec, third)
		closeThird()
		want(t, spec)
	})

	t.Run("do not include who looks", func(t *testing.T) {
		spec := in("looked-at")
		s.create(t, provisioner, spec, mib)
		watcher, stop := s.Watch(t, spec)
		defer stop()
		parallel(8, func(i int) {
			by := []ceph.Cluster{cluster, provisioner}[i%2]
			for range 5 {
				got, err := by.Watchers(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, got, []ceph.Watcher{watcher})
			}
		})
		wantSame(t, s.Watchers(t, spec), 1)
	})

	t.Run("of the same name in several rados namespaces", func(t *testing.T) {
		all := map[string]ceph.Watcher{}
		for _, namespace := range []string{"", "north", "south"} {
			spec := ceph.ImageSpec{Pool: mainPool, Namespace: namespace, Name: "watched-everywhere"}
			s.create(t, provisioner, spec, mib)
			want(t, spec)
			watcher, stop := s.Watch(t, spec)
			defer stop()
			all[namespace] = watcher
		}
		for namespace, watcher := range all {
			want(t, ceph.ImageSpec{Pool: mainPool, Namespace: namespace, Name: "watched-everywhere"}, watcher)
		}
	})

	t.Run("of an image that does not exist", func(t *testing.T) {
		for _, namespace := range []string{"", "north"} {
			wantNone(t, ceph.ImageSpec{Pool: mainPool, Namespace: namespace, Name: "absent"})
		}
	})

	t.Run("of an image that is removed and made again", func(t *testing.T) {
		spec := in("watched-again")
		for range 3 {
			wantNone(t, spec)
			s.create(t, provisioner, spec, mib)
			want(t, spec)
			watcher, stop := s.Watch(t, spec)
			want(t, spec, watcher)
			stop()
			s.RemoveImage(t, spec)
		}
		wantNone(t, spec)
		s.create(t, provisioner, spec, mib)
		s.RemoveImage(t, spec)
		s.create(t, provisioner, spec, mib)
		watcher, stop := s.Watch(t, spec)
		defer stop()
		want(t, spec, watcher)
	})

	// As people do who bring a backup back: rename the image, make another.
	t.Run("of an image that takes the name of another", func(t *testing.T) {
		spec, aside := in("data"), in("data-aside")
		s.create(t, provisioner, spec, mib)
		before, stopBefore := s.Watch(t, spec)
		defer stopBefore()
		want(t, spec, before)

		s.RenameImage(t, spec, aside.Name)
		wantNone(t, spec)
		want(t, aside, before)

		s.create(t, provisioner, spec, mib)
		want(t, spec)
		after, stopAfter := s.Watch(t, spec)
		defer stopAfter()
		want(t, spec, after)
		want(t, aside, before)
	})

	t.Run("with the image and its record", func(t *testing.T) {
		spec := in("looked-at-with-record")
		image := s.create(t, provisioner, spec, mib)
		watcher, stop := s.Watch(t, spec)
		defer stop()
		look, err := cluster.Look(t.Context(), spec)
		wantError(t, err, nil)
		wantSame(t, look, ceph.Look{Image: image, Watchers: []ceph.Watcher{watcher}})
		for range 2 {
			look.Record.ClaimSize += mib
			put, err := provisioner.PutRecord(t.Context(), image, look.Record)
			wantError(t, err, nil)
			look, err = cluster.Look(t.Context(), spec)
			wantError(t, err, nil)
			wantSame(t, look, ceph.Look{Image: image, Record: put, Watchers: []ceph.Watcher{watcher}})
		}
	})
}
