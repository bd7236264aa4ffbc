//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
)

// TestAnImageThatCouldNotGrowGrowsWhenItIsFree: its record says so. While a pod of ours
// has it open, a second one starts with a warning. The webhook's user may not make it
// larger, so the provisioner does.
func TestAnImageThatCouldNotGrowGrowsWhenItIsFree(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if _, err := s.storage.RBD(t.Context(), "create", s.image("data"), "--size", "16M"); err != nil {
		t.Fatal(err)
	}
	s.create(east, s.pv("data", `staticVolume: "true"`, `staticVolume: "true", mapOptions: "krbd:exclusive"`)+
		"---\n"+s.pvc("data", "metadata: {name: data}", `metadata: {name: data, annotations: {cephferry.io/migratable: "true"}}`))
	s.bound(east, "data")
	s.create(east, pod("first", "data"))
	s.ready(east, "first")
	s.grows("data")
	image, err := s.admin().Image(t.Context(), s.spec("data"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := ownership.Change(t.Context(), s.admin(), image, func(stored ceph.Record) (ceph.Record, error) {
		stored.GrowTo = 32 << 20
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !written.Exclusive {
		t.Error("the record does not say that the volume is mapped exclusively")
	}

	second := s.run(east, pod("second", "data"), "create", "-f", "-")
	s.must(second)
	want := fmt.Sprintf("volume %s/data (image %s) has 16Mi, and is to grow to 32Mi when nobody uses it", s.namespace, s.image("data"))
	if !strings.Contains(second.stderr, want) {
		t.Errorf("kubectl says %q, want %q", second.stderr, want)
	}
	s.wantSize("data", 16<<20, 32<<20)

	s.kubectl(east, "delete", "pod/first", "pod/second")
	s.free("data")
	s.kubectl(east, "annotate", "persistentvolumeclaim/data", "looked=at-once")
	s.eventually("the image grows", func() error {
		if record := s.record("data"); record.GrowTo != 0 {
			return fmt.Errorf("it is still to grow to %d", record.GrowTo)
		}
		return nil
	})
	s.wantSize("data", 32<<20, 0)
	third := s.run(east, pod("third", "data"), "create", "-f", "-")
	if s.must(third); third.stderr != "" {
		t.Errorf("kubectl warns: %s", third.stderr)
	}
	s.ready(east, "third")
	s.wrote("data", east)
}

// wantSize checks the size of a claim's image, and the one that its record says.
func (s *shop) wantSize(claim string, size, wish uint64) {
	s.Helper()
	image, err := s.admin().Image(s.Context(), s.spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	if got := s.record(claim).GrowTo; image.Size != size || got != wish {
		s.Errorf("the image has %d bytes and is to grow to %d; want %d and %d", image.Size, got, size, wish)
	}
}
