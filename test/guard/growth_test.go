//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/test/scene"
)

// TestAnImageThatCouldNotGrowGrowsWhenItIsFree: its record says so. While a pod of ours
// has it open, a second one starts with a warning. The webhook's user may not make it
// larger, so the provisioner does.
func TestAnImageThatCouldNotGrowGrowsWhenItIsFree(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if _, err := s.Ceph.RBD(t.Context(), "create", s.Image("data"), "--size", "16M"); err != nil {
		t.Fatal(err)
	}
	s.Create(east, s.PV("data", `staticVolume: "true"`, `staticVolume: "true", mapOptions: "krbd:exclusive"`)+
		"---\n"+s.PVC("data", "metadata: {name: data}", `metadata: {name: data, annotations: {cephferry.io/migratable: "true"}}`))
	s.Bound(east, "data")
	s.Create(east, scene.Pod("first", "data"))
	s.Ready(east, "first")
	s.Grows("data")
	image, err := s.Admin().Image(t.Context(), s.Spec("data"))
	if err != nil {
		t.Fatal(err)
	}
	written, err := ownership.Change(t.Context(), s.Admin(), image, func(stored ceph.Record) (ceph.Record, error) {
		stored.GrowTo = 32 << 20
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !written.Exclusive {
		t.Error("the record does not say that the volume is mapped exclusively")
	}

	second := s.Run(east, scene.Pod("second", "data"), "create", "-f", "-")
	s.Must(second)
	want := fmt.Sprintf("volume %s/data (image %s) has 16Mi, and should grow to 32Mi once nobody uses it", s.Namespace, s.Image("data"))
	if !strings.Contains(second.Stderr, want) {
		t.Errorf("kubectl says %q, want %q", second.Stderr, want)
	}
	s.wantSize("data", 16<<20, 32<<20)

	s.Kubectl(east, "delete", "pod/first", "pod/second")
	s.Free("data")
	s.Kubectl(east, "annotate", "persistentvolumeclaim/data", "looked=at-once")
	s.Eventually("the image grows", func() error {
		if record := s.Record("data"); record.GrowTo != 0 {
			return fmt.Errorf("it is still to grow to %d", record.GrowTo)
		}
		return nil
	})
	s.wantSize("data", 32<<20, 0)
	third := s.Run(east, scene.Pod("third", "data"), "create", "-f", "-")
	if s.Must(third); third.Stderr != "" {
		t.Errorf("kubectl warns: %s", third.Stderr)
	}
	s.Ready(east, "third")
	s.Wrote("data", east)
}

// wantSize checks the size of a claim's image, and the one that its record says.
func (s *shop) wantSize(claim string, size, wish uint64) {
	s.Helper()
	image, err := s.Admin().Image(s.Context(), s.Spec(claim))
	if err != nil {
		s.Fatal(err)
	}
	if got := s.Record(claim).GrowTo; image.Size != size || got != wish {
		s.Errorf("the image has %d bytes and is to grow to %d; want %d and %d", image.Size, got, size, wish)
	}
}
