package failover

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

func TestRegistrations(t *testing.T) {
	memory := cephtest.New(cephtest.Pool{Name: "rbd", Namespaces: []string{"north"}}, cephtest.Pool{Name: "other"})
	storage, err := memory.Dial(t.Context(), cephtest.Operator)
	if err != nil {
		t.Fatal(err)
	}
	put := func(pool, namespace string, party ceph.Party, minute int, version string, nodes ...ceph.Node) {
		t.Helper()
		written := since.Add(time.Duration(minute) * time.Minute)
		if _, err := storage.PutRegistration(t.Context(), pool, namespace, ceph.Registration{Party: party, Version: version, Nodes: nodes, Written: written}); err != nil {
			t.Fatal(err)
		}
	}
	dead := ceph.Party{UID: "u-dead", Name: "east"}
	moved := e2
	moved.Addresses = []string{"10.0.1.99"}
	put("rbd", "", east, 2, "v2", e1)
	put("rbd", "north", east, 1, "v1", e2)
	put("other", "", east, 3, "v3", moved)
	put("other", "", dead, 1, "v1", e1)
	put("other", "", west, 1, "v1")
	put("rbd", "north", north, 1, "v1")
	memory.WriteRecord(ceph.Image{ImageSpec: ceph.ImageSpec{Pool: "rbd", Namespace: "north"}, ID: "cluster." + north.UID}, []byte(`{"version":2}`))

	all, unread, err := Registrations(t.Context(), storage, []Space{{"rbd", ""}, {"rbd", "north"}, {"other", ""}})
	if err != nil {
		t.Fatal(err)
	}
	both := e2
	both.Addresses = append(moved.Addresses, e2.Addresses...)
	want := []ceph.Registration{
		{Party: dead, Version: "v1", Nodes: []ceph.Node{e1}, Written: since.Add(time.Minute)},
		{Party: east, Version: "v3", Nodes: []ceph.Node{e1, both}, Written: since.Add(3 * time.Minute)},
		{Party: west, Version: "v1", Written: since.Add(time.Minute)},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(unread) != 1 || unread[0].UID != north.UID || unread[0].Err == nil {
		t.Errorf("not read: %+v", unread)
	}
	if _, _, err := Registrations(t.Context(), storage, []Space{{"nowhere", ""}}); err == nil {
		t.Error("a pool that is not there has no register")
	}
}

// A pod was admitted, and bound while no webhook answered: the record names no node.
func TestTheRegisterSaysWhomToFence(t *testing.T) {
	d := newDisaster(t)
	d.put(data, waiting(held(east, nil), "pod"))
	var refused *Refusal
	if err := d.failover(wish(), nil); !errors.As(err, &refused) || !strings.Contains(refused.What, "cluster east has not registered its nodes") {
		t.Fatalf("without a registration: %v", err)
	}
	if _, err := d.storage.PutRegistration(t.Context(), "rbd", "", ceph.Registration{Party: east, Nodes: []ceph.Node{e1, e2}, Written: since}); err != nil {
		t.Fatal(err)
	}
	if err := d.failover(wish(), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.east.Write("something"); !errors.Is(err, ceph.ErrBlocklisted) {
		t.Errorf("the dead cluster writes: %v", err)
	}
	if got := d.record(); got.State != ceph.Held || got.Owner.UID != west.UID || len(got.Fenced) != 2 {
		t.Errorf("the record says %s, %+v, fenced %+v", got.State, got.Owner, got.Fenced)
	}
}
