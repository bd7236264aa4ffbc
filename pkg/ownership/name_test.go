package ownership_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

const renamer = "10.0.9.9:0/9"

// keyed is a record of a keyed image, with who may be renaming it.
func keyed(renamers ...string) func(*ceph.Record) {
	return func(r *ceph.Record) { r.Keyed, r.Renamers = true, renamers }
}

func named(r *ceph.Record) { r.Keyed, r.Named = true, true }

// Who renames stands in the record before it begins, and nowhere else.
func TestAcquireNamesTheRenamer(t *testing.T) {
	tests := map[string]struct {
		stored       ceph.Record
		wantNamed    bool
		wantRenamers []string
	}{
		"an image that is not keyed":              {free(), false, nil},
		"a free image":                            {free(keyed()), false, []string{renamer}},
		"again, before it has the name":           {held(east, keyed("10.0.9.8:0/8")), false, []string{"10.0.9.8:0/8", renamer}},
		"again, while the same instance is on it": {held(east, keyed(renamer)), false, []string{renamer}},
		"again, when it has the name":             {held(east, named), true, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request := asks(east, "pod-1")
			request.Renamer = renamer
			got, err := ownership.Acquire(test.stored, request)
			if err != nil {
				t.Fatal(err)
			}
			if got.Named != test.wantNamed {
				t.Errorf("named is %t; want %t", got.Named, test.wantNamed)
			}
			if diff := cmp.Diff(test.wantRenamers, got.Renamers); diff != "" {
				t.Errorf("renamers -want +got:\n%s", diff)
			}
			if ownership.Unnamed(got) == (got.Named || !got.Keyed) {
				t.Errorf("unnamed is %t", ownership.Unnamed(got))
			}
		})
	}
}

func TestFinishName(t *testing.T) {
	begun := held(east, keyed("10.0.9.8:0/8", renamer))
	later := held(east, keyed(renamer))
	later.Epoch++
	tests := map[string]struct {
		stored  ceph.Record
		renamer string
		want    []string
		err     error
	}{
		"as it was begun":               {begun, renamer, []string{"10.0.9.8:0/8"}, nil},
		"by one that may be at it yet":  {begun, "", []string{"10.0.9.8:0/8", renamer}, nil},
		"of an image that is another's": {held(west, keyed()), renamer, nil, ownership.OwnedElsewhere},
		"of an image that is nobody's":  {free(keyed()), renamer, nil, ownership.NotOwned},
		"of an image that is taken":     {fencing(east, west, "ann", keyed(renamer)), renamer, nil, ownership.BeingFenced},
		"of one that was acquired anew": {later, renamer, nil, ownership.AcquiredAnew},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ownership.FinishName(test.stored, begun, test.renamer)
			if test.err != nil {
				if !errors.Is(err, test.err) {
					t.Errorf("got %v; want %v", err, test.err)
				}
				return
			}
			if err != nil || !got.Named {
				t.Errorf("named is %t, %v", got.Named, err)
			}
			if diff := cmp.Diff(test.want, got.Renamers); diff != "" {
				t.Errorf("renamers -want +got:\n%s", diff)
			}
		})
	}
}

// A record that nobody owns says nothing of names, or it could not be read again.
func TestNobodyHasAName(t *testing.T) {
	released, err := ownership.Release(held(east, named), east, "", now)
	if err != nil {
		t.Fatal(err)
	}
	undone := ownership.Undo(held(east, keyed(renamer)), free(keyed()))
	for name, record := range map[string]ceph.Record{"released": released, "undone": undone} {
		if _, err := ownership.Acquire(record, asks(west, "pod")); err != nil || record.Named || len(record.Renamers) > 0 || !record.Keyed {
			t.Errorf("%s: named %t, renamers %v, keyed %t, %v", name, record.Named, record.Renamers, record.Keyed, err)
		}
		if _, err := ceph.DecodeRecord(record.Encode()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Pods start when the image has the cluster's name; before, nothing is taken that cannot
// be given back.
func TestAcquireAllGivesNames(t *testing.T) {
	lost := errors.New("another cluster has its lock")
	tests := map[string]struct {
		name  func(image ceph.Image) error
		err   error
		owner map[string]string // after it
		named bool
	}{
		"all of them": {func(ceph.Image) error { return nil }, nil, map[string]string{"a": "east", "b": "east"}, true},
		"not the second, which is known": {func(image ceph.Image) error {
			if image.Name == "b" {
				return lost
			}
			return nil
		}, lost, map[string]string{"a": "", "b": ""}, false},
		"the second may be renamed yet": {func(image ceph.Image) error {
			if image.Name == "b" {
				return ceph.ErrUnreachable
			}
			return nil
		}, ceph.ErrUnreachable, map[string]string{"a": "", "b": "east"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for image := range test.owner {
				if _, err := r.client.PutRecord(t.Context(), r.image(image), ceph.Record{Keyed: true}); err != nil {
					t.Fatal(err)
				}
			}
			targets := r.targets(east, "pod-1", "a", "b")
			for i := range targets {
				targets[i].Request.Renamer = renamer
				targets[i].Name = func(_ context.Context, image ceph.Image, written ceph.Record) error {
					if written.Owner == nil || len(written.Renamers) != 1 || r.record(image.Name).Revision != written.Revision {
						t.Errorf("image %s is renamed before the record says so", image.Name)
					}
					return test.name(image)
				}
			}
			if _, _, err := ownership.AcquireAll(t.Context(), targets); !errors.Is(err, test.err) {
				t.Errorf("got %v; want %v", err, test.err)
			}
			for image, want := range test.owner {
				if got := r.owner(image); got != want {
					t.Errorf("image %s is %q's; want %q", image, got, want)
				}
				if record := r.record(image); record.Named != test.named || record.Named && len(record.Renamers) > 0 {
					t.Errorf("image %s: named %t, renamers %v", image, record.Named, record.Renamers)
				}
			}
			if test.named {
				return
			}
			if record := r.record("b"); errors.Is(test.err, ceph.ErrUnreachable) && len(record.Renamers) != 1 {
				t.Errorf("who may be renaming is forgotten: %v", record.Renamers)
			}
		})
	}
}

// Another pod of this process may be renaming the image too, as the same client.
func TestAcquireAllForgetsNobodyWhoRenames(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(stored ceph.Record) (ceph.Record, error)
		want      []string
	}{
		"nobody else": {func(stored ceph.Record) (ceph.Record, error) { return stored, nil }, nil},
		"another pod": {func(stored ceph.Record) (ceph.Record, error) {
			request := asks(east, "pod-2")
			request.Renamer = renamer
			return ownership.Acquire(stored, request)
		}, []string{renamer}},
		"another replica's pod": {func(stored ceph.Record) (ceph.Record, error) {
			request := asks(east, "pod-2")
			request.Renamer = "10.0.9.8:0/8"
			return ownership.Acquire(stored, request)
		}, []string{"10.0.9.8:0/8"}},
		"the leader, who writes a holder": {func(stored ceph.Record) (ceph.Record, error) {
			owner := *stored.Owner
			owner.Nodes, stored.Owner = []ceph.Node{{Name: "e1"}}, &owner
			return stored, nil
		}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.client.PutRecord(t.Context(), r.image("a"), ceph.Record{Keyed: true}); err != nil {
				t.Fatal(err)
			}
			targets := r.targets(east, "pod-1", "a")
			targets[0].Request.Renamer = renamer
			targets[0].Name = func(ctx context.Context, image ceph.Image, _ ceph.Record) error {
				_, err := ownership.Change(ctx, r.client, image, test.meanwhile)
				return err
			}
			if _, _, err := ownership.AcquireAll(t.Context(), targets); err != nil {
				t.Fatal(err)
			}
			record := r.record("a")
			if diff := cmp.Diff(test.want, record.Renamers); diff != "" || !record.Named {
				t.Errorf("named %t, renamers -want +got:\n%s", record.Named, diff)
			}
		})
	}
}
