package cephtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) renames(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	operator := s.connect(t, Operator)

	t.Run("keep everything but the name", func(t *testing.T) {
		image := s.create(t, cluster, in("base"), 2*mib)
		record, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: mib})
		wantError(t, err, nil)
		renamed, err := cluster.RenameImage(t.Context(), image, "base~east")
		wantError(t, err, nil)
		want := image
		want.Name, want.Named = "base~east", "base~east"
		wantSame(t, renamed, want)
		s.wantNames(t, cluster, renamed, "base~east")
		after, err := cluster.Record(t.Context(), renamed)
		wantError(t, err, nil)
		wantSame(t, after, record)
		wantSame(t, s.Watchers(t, renamed.ImageSpec), 0)

		_, err = cluster.Image(t.Context(), in("base"))
		wantError(t, err, ceph.ErrImageNotFound)
		_, err = cluster.Watchers(t.Context(), in("base"))
		wantError(t, err, ceph.ErrImageNotFound)
		wantError(t, cluster.GrowImage(t.Context(), in("base"), 9*mib), ceph.ErrImageNotFound)
	})

	t.Run("go by the image's ID: its name may be an old one", func(t *testing.T) {
		image := s.create(t, cluster, in("moves"), mib)
		for _, name := range []string{"moves~east", "moves", "moves~west", "moves~east"} {
			renamed, err := cluster.RenameImage(t.Context(), image, name)
			wantError(t, err, nil)
			wantSame(t, renamed.ImageSpec, in(name))
			s.wantNames(t, cluster, image, name)
		}
	})

	t.Run("to the name that it has", func(t *testing.T) {
		image := s.create(t, cluster, in("stays"), mib)
		renamed, err := cluster.RenameImage(t.Context(), image, "stays", "stays~east")
		wantError(t, err, nil)
		wantSame(t, renamed, image)
		s.wantNames(t, cluster, image, "stays")
	})

	t.Run("while it is mapped: the watcher stays", func(t *testing.T) {
		image := s.create(t, cluster, in("mapped"), mib)
		watcher, stop := s.Watch(t, image.ImageSpec)
		renamed, err := cluster.RenameImage(t.Context(), image, "mapped~east")
		wantError(t, err, nil)
		s.wantNames(t, cluster, image, "mapped~east")
		watchers, err := cluster.Watchers(t.Context(), renamed.ImageSpec)
		wantError(t, err, nil)
		wantSame(t, watchers, []ceph.Watcher{watcher})
		stop()
		wantSame(t, s.Watchers(t, renamed.ImageSpec), 0)
	})

	t.Run("to a name that another image has", func(t *testing.T) {
		image, other := s.create(t, cluster, in("first"), mib), s.create(t, cluster, in("second"), mib)
		_, err := cluster.RenameImage(t.Context(), image, "second")
		wantError(t, err, ceph.ErrImageExists)
		s.wantNames(t, cluster, image, "first")
		s.wantNames(t, cluster, other, "second")
	})

	t.Run("of an image that is gone, and of one that has its name now", func(t *testing.T) {
		image := s.create(t, cluster, in("gone"), mib)
		s.RemoveImage(t, image.ImageSpec)
		_, err := cluster.RenameImage(t.Context(), image, "gone~east")
		wantError(t, err, ceph.ErrImageNotFound)
		_, err = cluster.ImageNames(t.Context(), image)
		wantError(t, err, ceph.ErrImageNotFound)

		other := s.create(t, cluster, in("gone"), mib)
		_, err = cluster.RenameImage(t.Context(), image, "gone~east")
		wantError(t, err, ceph.ErrImageNotFound)
		s.wantNames(t, cluster, other, "gone")
	})

	t.Run("to names that are too long or none", func(t *testing.T) {
		image := s.create(t, cluster, in("long"), mib)
		for _, name := range []string{"", "a/b", "a@b", strings.Repeat("a", 97)} {
			_, err := cluster.RenameImage(t.Context(), image, name)
			wantError(t, err, ceph.ErrImageName)
		}
		s.wantNames(t, cluster, image, "long")
		longest := strings.Repeat("a", 96)
		_, err := cluster.RenameImage(t.Context(), image, longest)
		wantError(t, err, nil)
		s.wantNames(t, cluster, image, longest)
	})

	t.Run("of an image that is mapped exclusively", func(t *testing.T) {
		image := s.create(t, cluster, in("exclusive"), mib)
		holder, unmap := s.MapImage(t, image.ImageSpec)
		_, err := cluster.RenameImage(t.Context(), image, "exclusive~east")
		s.wantLocked(t, err, holder)
		s.wantNames(t, cluster, image, "exclusive", "exclusive~east")
		unmap()
		_, err = cluster.RenameImage(t.Context(), image, "exclusive~east")
		wantError(t, err, nil)
		s.wantNames(t, cluster, image, "exclusive~east")
	})

	t.Run("of an image whose exclusive holder was fenced", func(t *testing.T) {
		image := s.create(t, cluster, in("taken-over"), mib)
		holder, _ := s.MapImage(t, image.ImageSpec)
		_, err := cluster.RenameImage(t.Context(), image, "taken-over~west")
		s.wantLocked(t, err, holder)
		wantError(t, operator.Blocklist(t.Context(), []string{holder.Addr}, years), nil)
		wantError(t, operator.Barrier(t.Context(), image.ImageSpec), nil)
		_, err = cluster.RenameImage(t.Context(), image, "taken-over~west")
		wantError(t, err, nil)
		s.wantNames(t, cluster, image, "taken-over~west")
		// Taking the lock over makes an entry for an hour, and this one stays.
		entries, err := operator.Blocklisted(t.Context())
		wantError(t, err, nil)
		if !slices.ContainsFunc(entries, func(e ceph.BlocklistEntry) bool {
			return e.Addr == holder.Addr && time.Until(e.Until) > years-slack
		}) {
			t.Errorf("%s is not on the blocklist for %v: %v", holder.Addr, years, entries)
		}
	})

	t.Run("by many at once: one name is left", func(t *testing.T) {
		other := s.connect(t, Provisioner)
		image := s.create(t, cluster, in("race"), mib)
		var all []string
		for i := range 6 {
			all = append(all, fmt.Sprintf("race~%d", i))
		}
		parallel(len(all), func(i int) {
			by := []ceph.Cluster{cluster, other}[i%2]
			_, err := by.RenameImage(t.Context(), image, all[i], all...)
			if !errors.Is(err, ceph.ErrImageRenamed) && !errors.Is(err, ceph.ErrImageLocked) {
				wantError(t, err, nil)
			}
		})
		names, err := cluster.ImageNames(t.Context(), image, all...)
		wantError(t, err, nil)
		if len(names) != 1 || !slices.Contains(all, names[0]) {
			t.Errorf("names are %q; want one of %q", names, all)
		}
	})
}

func (s suite) halfRenames(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	observer := s.connect(t, Observer)
	tests := map[string]struct {
		to     string
		others []string
		open   bool
	}{
		"and the same again":          {to: "%s~east"},
		"and back":                    {to: "%s", others: []string{"%s~east"}},
		"and to another name":         {to: "%s~west", others: []string{"%s~east"}},
		"and again, while it is open": {to: "%s~east", open: true},
		"and back, while it is open":  {to: "%s", others: []string{"%s~east"}, open: true},
	}
	n := 0
	for name, test := range tests {
		for _, listed := range []bool{false, true} {
			n++
			base := fmt.Sprintf("half-%d", n)
			t.Run(fmt.Sprintf("%s, directory %t", name, listed), func(t *testing.T) {
				image := s.create(t, cluster, in(base), mib)
				_, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: mib, Keyed: true})
				wantError(t, err, nil)
				s.HalfRenameImage(t, image, base+"~east", listed)
				names, err := observer.ImageNames(t.Context(), image, base+"~east", base+"~west")
				wantError(t, err, nil)
				wantSame(t, names, []string{base, base + "~east"})
				for _, spec := range []ceph.ImageSpec{in(base), in(base + "~east")} {
					opened, err := cluster.Image(t.Context(), spec)
					wantError(t, err, nil)
					wantSame(t, opened.ID, image.ID)
				}
				if test.open {
					_, stop := s.Watch(t, in(base))
					defer stop()
				}

				to := fmt.Sprintf(test.to, base)
				var others []string
				for _, other := range test.others {
					others = append(others, fmt.Sprintf(other, base))
				}
				renamed, err := cluster.RenameImage(t.Context(), image, to, others...)
				wantError(t, err, nil)
				wantSame(t, renamed.ImageSpec, in(to))
				s.wantNames(t, cluster, image, to, base, base+"~east", base+"~west")
				records, err := cluster.Records(t.Context(), mainPool, "")
				wantError(t, err, nil)
				var listedAs []string
				for _, of := range records {
					if of.Image.Name == base {
						listedAs = append(listedAs, of.Image.Own())
					}
				}
				wantSame(t, listedAs, []string{to})
			})
		}
	}

	t.Run("are mended, also when the image cannot have the name", func(t *testing.T) {
		image, other := s.create(t, cluster, in("mended"), mib), s.create(t, cluster, in("occupied"), mib)
		s.HalfRenameImage(t, image, "mended~east", false)
		_, err := cluster.RenameImage(t.Context(), image, "occupied", "mended~east")
		wantError(t, err, ceph.ErrImageExists)
		s.wantNames(t, cluster, image, "mended", "mended~east", "occupied")
		s.wantNames(t, cluster, other, "occupied")
	})

	t.Run("of another image are left alone", func(t *testing.T) {
		image, other := s.create(t, cluster, in("mine"), mib), s.create(t, cluster, in("theirs"), mib)
		s.HalfRenameImage(t, other, "theirs~east", false)
		_, err := cluster.RenameImage(t.Context(), image, "mine~east", "theirs", "theirs~east")
		wantError(t, err, nil)
		s.wantNames(t, cluster, image, "mine~east", "theirs", "theirs~east")
		names, err := cluster.ImageNames(t.Context(), other, "theirs~east")
		wantError(t, err, nil)
		wantSame(t, names, []string{"theirs", "theirs~east"})
	})
}

// wantNames checks that the image has that name and none of others, by all ways that
// there are to ask.
func (s suite) wantNames(t *testing.T, cluster ceph.Cluster, image ceph.Image, name string, others ...string) {
	t.Helper()
	names, err := cluster.ImageNames(t.Context(), image, append(others, name)...)
	wantError(t, err, nil)
	wantSame(t, names, []string{name})
	image.Name = name
	opened, err := cluster.Image(t.Context(), image.ImageSpec)
	wantError(t, err, nil)
	wantSame(t, opened.ID, image.ID)
}

func (s suite) wantLocked(t *testing.T, err error, holder ceph.Watcher) {
	t.Helper()
	wantError(t, err, ceph.ErrImageLocked)
	var locked *ceph.LockedError
	if errors.As(err, &locked) {
		wantSame(t, *locked, ceph.LockedError{Client: holder.Client, Addr: holder.Addr, Answers: true})
	} else {
		t.Errorf("%v does not say who holds the lock", err)
	}
}
