package cephtest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// keyedSpace is the rados namespace where east and west have keys.
const keyedSpace = "keyed"

func keyed(name, key string) ceph.ImageSpec {
	return ceph.ImageSpec{Pool: mainPool, Namespace: keyedSpace, Name: name, Key: key}
}

func (s suite) keyedImages(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	for _, name := range []string{"west", "east"} {
		_, err := cluster.ClaimKey(t.Context(), mainPool, keyedSpace, ceph.Party{UID: "uid-" + name, Name: name})
		wantError(t, err, nil)
	}

	t.Run("get their base name", func(t *testing.T) {
		made := s.create(t, cluster, keyed("made", "east"), mib)
		wantSame(t, made.ImageSpec, keyed("made", "east"))
		wantSame(t, made.Named, "made")
		plain, err := cluster.Image(t.Context(), keyed("made", ""))
		wantError(t, err, nil)
		want := made
		want.Key = ""
		wantSame(t, plain, want)
		_, err = cluster.Image(t.Context(), keyed("made~east", ""))
		wantError(t, err, ceph.ErrImageNotFound)
	})

	for i, named := range []string{"%s", "%s~east", "%s~west"} {
		for _, by := range []string{"east", "west", "nobody"} {
			base := fmt.Sprintf("found-%d-%s", i, by)
			name := fmt.Sprintf(named, base)
			t.Run(fmt.Sprintf("are found as "+named+" by %s, whatever one asks", "base", by), func(t *testing.T) {
				made := s.create(t, cluster, keyed(base, by), mib)
				if name != base {
					s.RenameImage(t, keyed(base, ""), name)
				}
				spec := keyed(base, by)
				want := made
				want.Named = name
				read, err := cluster.Image(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, read, want)

				holder, err := cluster.LockHolder(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, holder, nil)
				wantError(t, cluster.Barrier(t.Context(), spec), nil)
				wantError(t, cluster.GrowImage(t.Context(), spec, 2*mib), nil)
				want.Size = 2 * mib
				read, err = cluster.Image(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, read, want)
				watcher, stop := s.Watch(t, keyed(name, ""))
				defer stop()
				watchers, err := cluster.Watchers(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, watchers, []ceph.Watcher{watcher})
				look, err := cluster.Look(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, look, ceph.Look{Image: want, Watchers: watchers})

				_, err = cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: mib})
				wantError(t, err, ceph.ErrImageExists)
				names, err := cluster.ImageNames(t.Context(), read, base+"~east", base+"~west")
				wantError(t, err, nil)
				wantSame(t, names, []string{name})
			})
		}
	}

	t.Run("are not found by what is no key", func(t *testing.T) {
		s.create(t, cluster, keyed("lost", ""), mib)
		s.RenameImage(t, keyed("lost", ""), "lost~nobody")
		spec := keyed("lost", "east")
		_, err := cluster.Image(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		_, err = cluster.Watchers(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		_, err = cluster.Look(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		_, err = cluster.LockHolder(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		wantError(t, cluster.Barrier(t.Context(), spec), ceph.ErrImageNotFound)
		wantError(t, cluster.GrowImage(t.Context(), spec, 2*mib), ceph.ErrImageNotFound)
	})

	t.Run("are not found where no cluster has a key", func(t *testing.T) {
		spec := ceph.ImageSpec{Pool: mainPool, Namespace: "north", Name: "keyless", Key: "east"}
		_, err := cluster.Image(t.Context(), spec)
		wantError(t, err, ceph.ErrImageNotFound)
		made := s.create(t, cluster, spec, mib)
		wantSame(t, made.Named, "keyless")
		spec.Namespace = "no-such-namespace"
		_, err = cluster.Image(t.Context(), spec)
		wantError(t, err, ceph.ErrNamespaceNotFound)
	})

	t.Run("are the asker's own first", func(t *testing.T) {
		other, own := s.create(t, cluster, keyed("two", ""), mib), s.create(t, cluster, keyed("two~east", ""), mib)
		for _, test := range []struct {
			key, named string
			want       ceph.Image
		}{{"east", "two~east", own}, {"west", "two", other}} {
			read, err := cluster.Image(t.Context(), keyed("two", test.key))
			wantError(t, err, nil)
			wantSame(t, read.ID, test.want.ID)
			wantSame(t, read.Named, test.named)
		}
	})

	t.Run("are renamed from the name that led to them", func(t *testing.T) {
		made := s.create(t, cluster, keyed("moved", "east"), mib)
		s.RenameImage(t, keyed("moved", ""), "moved~west")
		read, err := cluster.Image(t.Context(), keyed("moved", "east"))
		wantError(t, err, nil)
		// The directory has the new name already: only Named leads to what was left.
		s.HalfRenameImage(t, inBase(read, read.Named), "moved~east", true)
		names, err := cluster.ImageNames(t.Context(), read)
		wantError(t, err, nil)
		wantSame(t, names, []string{"moved~east", "moved~west"})
		renamed, err := cluster.RenameImage(t.Context(), read, "moved~east")
		wantError(t, err, nil)
		want := made
		want.Named = "moved~east"
		wantSame(t, renamed, want)
		names, err = cluster.ImageNames(t.Context(), made, "moved~east", "moved~west")
		wantError(t, err, nil)
		wantSame(t, names, []string{"moved~east"})
		freed, err := cluster.RenameImage(t.Context(), renamed, "moved")
		wantError(t, err, nil)
		wantSame(t, freed, made)
	})

	t.Run("keep their base name as a half-done rename's other one", func(t *testing.T) {
		made := s.create(t, cluster, keyed("half", "east"), mib)
		s.HalfRenameImage(t, made, "half~east", true)
		read, err := cluster.Image(t.Context(), keyed("half", "east"))
		wantError(t, err, nil)
		wantSame(t, read.Named, "half~east")
		names, err := cluster.ImageNames(t.Context(), read)
		wantError(t, err, nil)
		wantSame(t, names, []string{"half", "half~east"})
	})

	t.Run("are listed with base name and key", func(t *testing.T) {
		listed := func(base string) []ceph.ImageSpec {
			records, err := cluster.Records(t.Context(), mainPool, keyedSpace)
			wantError(t, err, nil)
			var specs []ceph.ImageSpec
			for _, of := range records {
				if of.Image.Name == base {
					specs = append(specs, of.Image)
				}
			}
			return specs
		}
		made := s.create(t, cluster, keyed("listed", "east"), mib)
		_, err := cluster.PutRecord(t.Context(), made, ceph.Record{ClaimSize: mib, Keyed: true})
		wantError(t, err, nil)
		wantSame(t, listed("listed"), []ceph.ImageSpec{keyed("listed", "")})
		_, err = cluster.RenameImage(t.Context(), made, "listed~west")
		wantError(t, err, nil)
		wantSame(t, listed("listed"), []ceph.ImageSpec{keyed("listed", "west")})
	})

	t.Run("are found while they are renamed", func(t *testing.T) {
		made := s.create(t, cluster, keyed("restless", "east"), mib)
		other := s.connect(t, Provisioner)
		var done atomic.Bool
		parallel(4, func(i int) {
			if i == 0 {
				defer done.Store(true)
				for round := range 12 {
					name := []string{"restless~west", "restless", "restless~east"}[round%3]
					_, err := cluster.RenameImage(t.Context(), made, name, "restless~west", "restless~east")
					wantError(t, err, nil)
				}
				return
			}
			spec := keyed("restless", []string{"east", "west", "nobody"}[i-1])
			for !done.Load() {
				read, err := other.Image(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, read.ID, made.ID)
				_, err = other.Watchers(t.Context(), spec)
				wantError(t, err, nil)
				look, err := other.Look(t.Context(), spec)
				wantError(t, err, nil)
				wantSame(t, look.Image.ID, made.ID)
				_, err = other.CreateImage(t.Context(), spec, ceph.Layout{Size: mib})
				wantError(t, err, ceph.ErrImageExists)
				if t.Failed() {
					return
				}
			}
		})
	})

	t.Run("are made once by two clusters that rename theirs at once", func(t *testing.T) {
		for round := range 6 {
			base := fmt.Sprintf("race-%d", round)
			var made atomic.Int32
			parallel(2, func(i int) {
				key := []string{"east", "west"}[i]
				image, err := cluster.CreateImage(t.Context(), keyed(base, key), ceph.Layout{Size: mib})
				if errors.Is(err, ceph.ErrImageExists) {
					return
				}
				wantError(t, err, nil)
				made.Add(1)
				_, err = cluster.RenameImage(t.Context(), image, base+"~"+key)
				wantError(t, err, nil)
			})
			wantSame(t, made.Load(), int32(1))
		}
	})
}

// inBase is the image as one that has just that name.
func inBase(image ceph.Image, name string) ceph.Image {
	image.Name, image.Key, image.Named = name, "", name
	return image
}
