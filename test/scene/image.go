//go:build lab

package scene

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/lab/stamp"
)

// NobodysKey finds an image under any of its names, whoever owns it.
const NobodysKey = "nobody"

// Image is the image of a claim, as rbd's arguments name it.
func (s *Shop) Image(claim string) string { return s.Pool + "/" + s.imageName(claim) }

func (s *Shop) imageName(claim string) string {
	return cmp.Or(s.Images[claim], s.Namespace+"."+claim)
}

// Spec names the image of a claim.
func (s *Shop) Spec(claim string) ceph.ImageSpec {
	pool, namespace, _ := strings.Cut(s.Pool, "/")
	return ceph.ImageSpec{Pool: pool, Namespace: namespace, Name: s.imageName(claim), Key: NobodysKey}
}

// Watchers are those of the claim's image.
func (s *Shop) Watchers(claim string) []Watcher {
	s.Helper()
	return s.Ceph.Watchers(s.T, s.Spec(claim))
}

// Free waits until nobody has the image of the claim open.
func (s *Shop) Free(claim string) {
	s.Helper()
	s.Ceph.Free(s.T, s.Spec(claim))
}

// Stamps are what pods wrote into the claim's image.
func (s *Shop) Stamps(claim string) stamp.Log {
	s.Helper()
	return s.Ceph.Stamps(s.T, s.Spec(claim))
}

// Grows waits for new stamps.
func (s *Shop) Grows(claim string) {
	s.Helper()
	before := s.Stamps(claim).Last().Sequence
	s.Eventually("new stamps in "+claim, func() error {
		if last := s.Stamps(claim).Last().Sequence; last < before+2 {
			return fmt.Errorf("the last one is still %d", last)
		}
		return nil
	})
}

// Wrote waits for new stamps, and then is [Storage.Wrote].
func (s *Shop) Wrote(claim string, clusters ...*Cluster) {
	s.Helper()
	s.Grows(claim)
	var names []string
	for _, c := range clusters {
		names = append(names, c.Name)
	}
	s.Ceph.Wrote(s.T, s.Spec(claim), names...)
}

// Admin is a connection as Ceph's administrator.
func (s *Shop) Admin() ceph.Cluster {
	s.Helper()
	return s.Ceph.Admin(s.T)
}

// Record is the record of a claim's image, the zero one if there is none.
func (s *Shop) Record(claim string) ceph.Record {
	s.Helper()
	image, err := s.Admin().Image(s.Context(), s.Spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	record, err := ownership.Read(s.Context(), s.Admin(), image)
	if err != nil {
		s.Fatal(err)
	}
	return record
}

// Change swaps the record of a claim's image, and returns what it became.
func (s *Shop) Change(claim string, transition func(ceph.Record) (ceph.Record, error)) ceph.Record {
	s.Helper()
	image, err := s.Admin().Image(s.Context(), s.Spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	record, err := ownership.Change(s.Context(), s.Admin(), image, transition)
	if err != nil {
		s.Fatal(err)
	}
	return record
}

// Holders waits until the record names the nodes and clients that have the image
// open, if somebody owns it.
func (s *Shop) Holders(claim string) (ceph.Record, []Watcher) {
	s.Helper()
	var record ceph.Record
	var watchers []Watcher
	s.Eventually("the record of "+claim+" names who has it open", func() error {
		record, watchers = s.Record(claim), s.Watchers(claim)
		if record.Owner == nil {
			return nil
		}
		for _, w := range watchers {
			if !slices.Contains(record.Owner.Instances(), w.Address) || record.Owner.Nodes == nil {
				return fmt.Errorf("%s is not in %+v", w.Address, record.Owner)
			}
		}
		if len(record.Pending) > 0 {
			return fmt.Errorf("pods that may still appear: %v", record.Pending)
		}
		return nil
	})
	return record, watchers
}

// Released waits until the image of the claim is not the cluster's.
func (s *Shop) Released(c *Cluster, claim string) {
	s.Helper()
	s.Eventually(c.Name+" has released "+claim, func() error {
		if record := s.Record(claim); record.Owner != nil && record.Owner.Name == c.Name {
			return fmt.Errorf("it owns it: %s", record.Encode())
		}
		return nil
	})
}
