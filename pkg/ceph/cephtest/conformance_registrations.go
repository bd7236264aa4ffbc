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

const registerSpace = "register"

func (s suite) registrations(t *testing.T) {
	cluster := s.connect(t, Provisioner)
	east := ceph.Registration{
		Party: ceph.Party{UID: "7a3f1c2e-0d6b-4f4e-9a55-c1f0e2b3d4a5", Name: "east"}, Version: "v1",
		Nodes: []ceph.Node{
			{Name: "e1", Addresses: []string{"10.0.1.11", "fd00::11"}, BootID: "b1", UID: "n1", MachineID: "m1", SystemUUID: "s1"},
			{Name: "e2", Addresses: []string{"10.0.1.12"}, BootID: "b2"},
		},
		Written: time.Date(2026, 11, 27, 9, 30, 0, 0, time.UTC),
	}
	stored := func(want ceph.Registration) {
		t.Helper()
		read, err := cluster.Registration(t.Context(), mainPool, registerSpace, want.UID)
		wantError(t, err, nil)
		wantSame(t, read, want)
	}

	t.Run("of none", func(t *testing.T) {
		all, err := cluster.Registrations(t.Context(), mainPool, registerSpace)
		wantError(t, err, nil)
		wantSame(t, len(all), 0)
		none, err := cluster.Registration(t.Context(), mainPool, registerSpace, east.UID)
		wantError(t, err, ceph.ErrRegistrationNotFound)
		wantSame(t, none, ceph.Registration{})
	})

	t.Run("from none to the second", func(t *testing.T) {
		first := east
		first.Token = "mine"
		first, err := cluster.PutRegistration(t.Context(), mainPool, registerSpace, first)
		wantError(t, err, nil)
		if first.Token == "" || first.Token == "mine" || first.Revision == 0 {
			t.Errorf("token %q, revision %d; want a new token and a revision", first.Token, first.Revision)
		}
		want := east
		want.Token, want.Revision = first.Token, first.Revision
		wantSame(t, first, want)
		stored(first)

		second := first
		second.Nodes = second.Nodes[:1]
		second, err = cluster.PutRegistration(t.Context(), mainPool, registerSpace, second)
		wantError(t, err, nil)
		if second.Token == first.Token || second.Revision == first.Revision {
			t.Errorf("second write %+v has the token or the revision of the first, %+v", second, first)
		}
		stored(second)

		for name, revision := range map[string]uint64{"none": 0, "the first": first.Revision, "a later": second.Revision + 1000} {
			stale := first
			stale.Revision = revision
			if _, err := cluster.PutRegistration(t.Context(), mainPool, registerSpace, stale); !errors.Is(err, ceph.ErrRegistrationChanged) {
				t.Errorf("from %s: %v; want %v", name, err, ceph.ErrRegistrationChanged)
			}
		}
		stored(second)
	})

	t.Run("a revision where there is none", func(t *testing.T) {
		vanished := ceph.Registration{Party: ceph.Party{UID: "vanished"}, Revision: 7}
		_, err := cluster.PutRegistration(t.Context(), mainPool, registerSpace, vanished)
		wantError(t, err, ceph.ErrRegistrationChanged)
		_, err = cluster.Registration(t.Context(), mainPool, registerSpace, "vanished")
		wantError(t, err, ceph.ErrRegistrationNotFound)
	})

	t.Run("all, with those that this version does not understand", func(t *testing.T) {
		var want []string
		for name, data := range map[string]string{
			"later":   `{"version":9,"uid":"u"}`,
			"other":   string(ceph.Registration{Party: ceph.Party{UID: "somebody-else"}}.Encode()),
			"text":    "cephferry",
			"nothing": "",
			"known":   string(ceph.Registration{Party: ceph.Party{UID: "u-known", Name: "known"}}.Encode()),
		} {
			uid := "u-" + name
			_, err := cluster.PutRegistration(t.Context(), mainPool, registerSpace, ceph.Registration{Party: ceph.Party{UID: uid}})
			wantError(t, err, nil)
			s.writeRegistration(t, registerSpace, uid, data)
			if name != "known" {
				want = append(want, uid)
				_, err = cluster.Registration(t.Context(), mainPool, registerSpace, uid)
				wantError(t, err, ceph.ErrRegistrationUnknown)
				// Nor is it written over by one who believes that there is none.
				_, err = cluster.PutRegistration(t.Context(), mainPool, registerSpace, ceph.Registration{Party: ceph.Party{UID: uid}})
				wantError(t, err, ceph.ErrRegistrationChanged)
			}
		}
		slices.Sort(want)
		all, err := cluster.Registrations(t.Context(), mainPool, registerSpace)
		wantError(t, err, nil)
		var uids, names, unknown []string
		for _, of := range all {
			uids = append(uids, of.UID)
			if of.Err == nil {
				names = append(names, of.Registration.Name)
				continue
			}
			unknown = append(unknown, of.UID)
			wantError(t, of.Err, ceph.ErrRegistrationUnknown)
			if object := mainPool + "/" + registerSpace + "/cephferry.cluster." + of.UID; !strings.Contains(of.Err.Error(), object) {
				t.Errorf("%v does not name %s", of.Err, object)
			}
		}
		if !slices.IsSorted(uids) {
			t.Errorf("not sorted: %q", uids)
		}
		wantSame(t, names, []string{"east", "known"})
		wantSame(t, unknown, want)
	})

	t.Run("more than one page of them", func(t *testing.T) {
		for i := range 103 {
			_, err := cluster.PutRegistration(t.Context(), mainPool, "north", ceph.Registration{Party: ceph.Party{UID: fmt.Sprintf("u-%03d", i)}})
			wantError(t, err, nil)
		}
		all, err := cluster.Registrations(t.Context(), mainPool, "north")
		wantError(t, err, nil)
		if len(all) != 103 || all[102].UID != "u-102" {
			t.Errorf("%d were found; want 103", len(all))
		}
	})

	t.Run("are no records", func(t *testing.T) {
		records, err := cluster.Records(t.Context(), mainPool, registerSpace)
		wantError(t, err, nil)
		wantSame(t, len(records), 0)
	})

	t.Run("of many nodes", func(t *testing.T) {
		many := ceph.Registration{Party: ceph.Party{UID: "u-many"}, Nodes: manyNodes(5000)}
		many, err := cluster.PutRegistration(t.Context(), mainPool, registerSpace, many)
		wantError(t, err, nil)
		stored(many)
	})

	t.Run("in a namespace that does not exist", func(t *testing.T) {
		_, err := cluster.Registrations(t.Context(), mainPool, "nowhere")
		wantError(t, err, ceph.ErrNamespaceNotFound)
		_, err = cluster.Registration(t.Context(), mainPool, "nowhere", "u")
		wantError(t, err, ceph.ErrNamespaceNotFound)
		_, err = cluster.PutRegistration(t.Context(), mainPool, "nowhere", ceph.Registration{Party: ceph.Party{UID: "u"}})
		wantError(t, err, ceph.ErrNamespaceNotFound)
	})

	t.Run("of many who write from one revision, one wins", func(t *testing.T) {
		clusters := []ceph.Cluster{cluster, s.connect(t, Operator)}
		current := ceph.Registration{Party: ceph.Party{UID: "u-race"}}
		for round := range 10 {
			current = onlyWinner(t, ceph.ErrRegistrationChanged, func(i int) (ceph.Registration, error) {
				mine := current
				mine.Version = fmt.Sprint(round, i)
				return clusters[i%2].PutRegistration(t.Context(), mainPool, registerSpace, mine)
			})
			stored(current)
		}
	})
}

// writeRegistration overwrites the stored bytes of a registration: it is an object as that
// of a record.
func (s suite) writeRegistration(t *testing.T, namespace, uid, data string) {
	t.Helper()
	id := strings.TrimPrefix(ceph.RegistrationObject(uid), ceph.RecordObject(""))
	s.WriteRecord(t, ceph.Image{ImageSpec: ceph.ImageSpec{Pool: mainPool, Namespace: namespace}, ID: id}, []byte(data))
}
