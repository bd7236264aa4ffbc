//go:build lab && cgo

package goceph

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// TestRecordsOfSeveralPages: none is lost where one page ends and the next begins, nor
// when the last one is full.
func TestRecordsOfSeveralPages(t *testing.T) {
	t.Parallel()
	h := startHarness(t, []cephtest.Pool{{Name: "rbd"}})
	cluster := h.connect(t)
	var want []string
	for i := range 2 * recordPage {
		spec := ceph.ImageSpec{Pool: "rbd", Name: fmt.Sprintf("image-%03d", i)}
		image, err := cluster.CreateImage(t.Context(), spec, ceph.Layout{Size: 1 << 20})
		must(t, err)
		switch i {
		case 0, recordPage - 1, recordPage, 2*recordPage - 1:
			_, err := cluster.PutRecord(t.Context(), image, ceph.Record{ClaimSize: uint64(i)})
			must(t, err)
			want = append(want, spec.Name)
		}
	}
	records, err := cluster.Records(t.Context(), "rbd", "")
	must(t, err)
	var got []string
	for _, of := range records {
		got = append(got, of.Image.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A person takes a cluster off the register, or one died before it wrote more than its uid.
func TestARegistrationThatIsGone(t *testing.T) {
	h := startHarness(t, []cephtest.Pool{{Name: "pool"}})
	cluster := h.connect(t)
	for _, uid := range []string{"u-east", "u-west"} {
		_, err := cluster.PutRegistration(t.Context(), "pool", "", ceph.Registration{Party: ceph.Party{UID: uid}})
		must(t, err)
	}
	must(t, h.ioctx(t, ceph.ImageSpec{Pool: "pool"}).Delete(ceph.RegistrationObject("u-east")))
	all, err := cluster.Registrations(t.Context(), "pool", "")
	must(t, err)
	if len(all) != 1 || all[0].UID != "u-west" || all[0].Err != nil {
		t.Errorf("found %+v", all)
	}
	// It comes back by itself.
	_, err = cluster.PutRegistration(t.Context(), "pool", "", ceph.Registration{Party: ceph.Party{UID: "u-east"}})
	must(t, err)
	if all, err = cluster.Registrations(t.Context(), "pool", ""); err != nil || len(all) != 2 {
		t.Errorf("%v, found %+v", err, all)
	}
}
