package cephtest

import (
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
)

func (s suite) notes(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	first := ceph.Note{Owner: "u-east", Epoch: 3, Pods: []ceph.NotedPod{{Name: "shop/db-0", Node: "e1"}}}
	second := ceph.Note{Owner: "u-east", Epoch: 3, Missing: []ceph.Missing{{
		Kind: "AttachmentNotGone", Subject: "VolumeAttachment/csi-1", What: "it does not go", WayOut: "see why",
		Since: time.Date(2026, 11, 27, 9, 30, 0, 0, time.UTC),
	}}}

	t.Run("from none to the second", func(t *testing.T) {
		image, other := s.create(t, cluster, in("noted"), mib), s.create(t, cluster, in("not-noted"), mib)
		note, err := cluster.Note(t.Context(), image)
		wantError(t, err, nil)
		wantSame(t, note, ceph.Note{})
		for _, want := range []ceph.Note{first, second} {
			wantError(t, cluster.PutNote(t.Context(), image, want), nil)
			note, err = s.connect(t, Observer).Note(t.Context(), image)
			wantError(t, err, nil)
			wantSame(t, note, want)
		}
		note, err = cluster.Note(t.Context(), other)
		wantError(t, err, nil)
		wantSame(t, note, ceph.Note{})
		_, err = cluster.Record(t.Context(), image)
		wantError(t, err, ceph.ErrRecordNotFound)
	})

	t.Run("a write leaves the record as it was", func(t *testing.T) {
		image := s.create(t, cluster, in("noted-and-owned"), mib)
		record, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: 10})
		wantError(t, err, nil)
		wantError(t, cluster.PutNote(t.Context(), image, first), nil)
		_, err = cluster.PutRecord(t.Context(), image, record)
		wantError(t, err, nil)
	})

	t.Run("what a later version or somebody by hand has written", func(t *testing.T) {
		image := s.create(t, cluster, in("noted-otherwise"), mib)
		for text, want := range map[string]ceph.Note{
			`{"owner":"u-east","epoch":3,"pods":[{"name":"shop/db-0","node":"e1"}],"mood":"good"}`: first,
			`{"owner":`: {},
			``:          {},
		} {
			s.writeNote(t, image, text)
			note, err := cluster.Note(t.Context(), image)
			wantError(t, err, nil)
			wantSame(t, note, want)
		}
	})

	t.Run("in a namespace that does not exist", func(t *testing.T) {
		nowhere := ceph.Image{ImageSpec: ceph.ImageSpec{Pool: mainPool, Namespace: "nowhere", Name: "x"}, ID: "1"}
		_, err := cluster.Note(t.Context(), nowhere)
		wantError(t, err, ceph.ErrNamespaceNotFound)
		wantError(t, cluster.PutNote(t.Context(), nowhere, first), ceph.ErrNamespaceNotFound)
	})
}

// writeNote overwrites the stored bytes of a note: it is an object as that of a record.
func (s suite) writeNote(t *testing.T, image ceph.Image, data string) {
	t.Helper()
	image.ID = ceph.NoteObject(image.ID)[len(ceph.RecordObject("")):]
	s.WriteRecord(t, image, []byte(data))
}
