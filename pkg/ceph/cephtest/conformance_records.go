package cephtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) records(t *testing.T) {
	cluster := s.connect(t, Provisioner)

	t.Run("from none to the second", func(t *testing.T) {
		image := s.create(t, cluster, in("record"), mib)
		none, err := cluster.Record(t.Context(), image)
		wantError(t, err, ceph.ErrRecordNotFound)
		wantSame(t, none, ceph.Record{})

		first, err := cluster.PutRecord(t.Context(), image, ceph.Record{Token: "mine", ClaimSize: 10})
		wantError(t, err, nil)
		wantSame(t, first, ceph.Record{Token: first.Token, ClaimSize: 10, Revision: first.Revision})
		if first.Token == "" || first.Token == "mine" || first.Revision == 0 {
			t.Errorf("token %q, revision %d; want a new token and a revision", first.Token, first.Revision)
		}
		read, err := cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, read, first)

		second, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 20, Revision: first.Revision})
		wantError(t, err, nil)
		if second.Token == first.Token || second.Revision == first.Revision {
			t.Errorf("second write %+v has the token or the revision of the first, %+v", second, first)
		}
		read, err = cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, read, second)
	})

	t.Run("a record of another image", func(t *testing.T) {
		image, other := s.create(t, cluster, in("one"), mib), s.create(t, cluster, in("other"), mib)
		_, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1})
		wantError(t, err, nil)
		_, err = cluster.Record(t.Context(), other)
		wantError(t, err, ceph.ErrRecordNotFound)
	})

	t.Run("an image that was made again has no record", func(t *testing.T) {
		image := s.create(t, cluster, in("reborn"), mib)
		_, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1})
		wantError(t, err, nil)
		s.RemoveImage(t, image.ImageSpec)
		image = s.create(t, cluster, in("reborn"), mib)
		_, err = cluster.Record(t.Context(), image)
		wantError(t, err, ceph.ErrRecordNotFound)
	})

	t.Run("a write from an old revision changes nothing", func(t *testing.T) {
		image := s.create(t, cluster, in("conflict"), mib)
		first, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1})
		wantError(t, err, nil)
		second, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 2, Revision: first.Revision})
		wantError(t, err, nil)
		for name, revision := range map[string]uint64{
			"none":      0,
			"the first": first.Revision,
			"a later":   second.Revision + 1000,
		} {
			_, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 3, Revision: revision})
			if !errors.Is(err, ceph.ErrRecordChanged) {
				t.Errorf("from %s: %v; want %v", name, err, ceph.ErrRecordChanged)
			}
		}
		read, err := cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, read, second)
	})

	t.Run("a revision where there is no record", func(t *testing.T) {
		image := s.create(t, cluster, in("vanished"), mib)
		_, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1, Revision: 7})
		wantError(t, err, ceph.ErrRecordChanged)
		_, err = cluster.Record(t.Context(), image)
		wantError(t, err, ceph.ErrRecordNotFound)
	})

	t.Run("one that this version does not understand", func(t *testing.T) {
		for name, data := range map[string]string{
			"a later version":  `{"version":9,"token":"t","claimSize":1}`,
			"an unknown field": `{"version":1,"token":"t","claimSize":1,"epoch":3}`,
			"no JSON":          "cephferry",
			"empty":            "",
		} {
			image := s.create(t, cluster, in("unknown "+name), mib)
			s.WriteRecord(t, image, []byte(data))
			_, err := cluster.Record(t.Context(), image)
			wantError(t, err, ceph.ErrRecordUnknown)
			// Nor is it written over by one who believes that there is none.
			_, err = cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 1})
			wantError(t, err, ceph.ErrRecordChanged)
		}
	})

	t.Run("one of version 1 has no owner, and becomes one of this version", func(t *testing.T) {
		image := s.create(t, cluster, in("first version"), mib)
		s.WriteRecord(t, image, []byte(`{"version":1,"token":"t","claimSize":1}`))
		read, err := cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, read, ceph.Record{Token: "t", ClaimSize: 1, Revision: read.Revision})

		owner := ceph.Owner{
			Party: ceph.Party{UID: "u", Name: "east"}, Namespace: "shop", Claim: "data",
			Since: time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC),
			Nodes: []ceph.Node{{Name: "e1", Addresses: []string{"10.0.1.12"}}}, Clients: []string{"10.0.1.12:0/3311202721"},
		}
		read.State, read.Owner, read.Epoch, read.Admissions, read.Pending = ceph.Held, &owner, 1, 1, []string{"pod"}
		written, err := cluster.PutRecord(t.Context(), image, read)
		wantError(t, err, nil)
		again, err := cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, again, written)
		wantSame(t, *again.Owner, owner)
	})

	t.Run("one of an image that was taken from a large cluster", func(t *testing.T) {
		image := s.create(t, cluster, in("large"), mib)
		var large ceph.Record
		for _, node := range manyNodes(1500) {
			large.Fenced = append(large.Fenced, ceph.FencedNode{Cluster: ceph.Party{UID: strings.Repeat("c", 36), Name: "east"}, Node: node})
		}
		large, err := cluster.PutRecord(t.Context(), image, large)
		wantError(t, err, nil)
		read, err := cluster.Record(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, read, large)
	})

	t.Run("of many who write from one revision, one wins", func(t *testing.T) {
		image := s.create(t, cluster, in("race"), mib)
		clusters := []ceph.Cluster{cluster, s.connect(t, Provisioner)}
		var current ceph.Record
		for round := range 50 {
			winner := onlyWinner(t, ceph.ErrRecordChanged, func(i int) (ceph.Record, error) {
				record := ceph.Record{ClaimSize: uint64(round*10 + i), Revision: current.Revision}
				return clusters[i%2].PutRecord(t.Context(), image, record)
			})
			read, err := cluster.Record(t.Context(), image)
			wantError(t, err, nil)
			wantSame(t, read, winner)
			current = read
		}
	})
}

// manyNodes are those of a large cluster, with names as long as a cloud gives them.
func manyNodes(n int) []ceph.Node {
	var nodes []ceph.Node
	for i := range n {
		nodes = append(nodes, ceph.Node{
			Name:      fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", i/250, i%250),
			Addresses: []string{fmt.Sprintf("10.0.%d.%d", i/250, i%250)},
			BootID:    strings.Repeat("b", 36), UID: strings.Repeat("u", 36), MachineID: strings.Repeat("m", 32), SystemUUID: strings.Repeat("s", 36),
		})
	}
	return nodes
}
