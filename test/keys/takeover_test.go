//go:build lab

package keys

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// A failover from a record that is certain hits one volume: its neighbour on the same machine
// goes on, and the machine may have the volume again at once, without a boot and without unfence.
func TestAFailoverCutsOffOneVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	e2, w2 := east.Nodes[1], west.Nodes[1]
	s.volume("data")
	s.volume("neighbour")
	s.starts(east, e2, "data")
	s.starts(east, e2, "neighbour")
	boot := s.boot(east, e2)
	lost, kept := s.Watchers("data"), s.Watchers("neighbour")
	if len(lost) != 1 || len(kept) != 1 || lost[0] == kept[0] {
		t.Fatalf("watchers %v and %v, want a client for each", lost, kept)
	}

	out := s.Must(s.cephferry(west, "east\n", "failover", s.Namespace+"/data"))
	t.Log(out)
	for text, want := range map[string]int{
		"cuts off:   this volume only": 1, lost[0].Address + ": a client": 1,
		"everything that comes from there": 0, "also hit": 0, "unfence": 0, "uncertain": 0,
	} {
		if got := strings.Count(out, text); got != want {
			t.Errorf("it says %q %d times, want %d", text, got, want)
		}
	}
	if record := s.Record("data"); len(record.Fenced) > 0 || record.Owner.Name != west.Name {
		t.Errorf("the record says %s", record.Encode())
	}
	// West would give up what it does not use, and then nobody's pods are in the way.
	s.starts(west, w2, "data")
	s.deleted(east, west, "data")
	s.Grows("neighbour")
	if got := s.Watchers("neighbour"); !slices.Equal(got, kept) {
		t.Errorf("the neighbour has watchers %v, want %v", got, kept)
	}
	s.named("data", "west")

	s.deletes(west, "data")
	s.named("data", "")
	s.starts(east, e2, "data")
	s.named("data", "east")
	if got := s.boot(east, e2); got != boot {
		t.Errorf("the node has boot id %s, want %s", got, boot)
	}
	s.Wrote("data", east, west, east)
	s.Wrote("neighbour", east)
	if got := s.Watchers("neighbour"); !slices.Equal(got, kept) {
		t.Errorf("at the end the neighbour has watchers %v, want %v", got, kept)
	}
}

func (s *shop) boot(c *scene.Cluster, node *lab.Node) string {
	s.Helper()
	object, err := c.Client.CoreV1().Nodes().Get(s.Context(), node.Name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return object.Status.NodeInfo.BootID
}

// A machine is lost with its cluster's webhook, and west takes its volumes. It boots, and boots
// again with another address, with its pods bound: no admission is asked, and no fence is in its
// way. Not parallel: it ends the webhook of east.
func TestALostMachineComesBackWithAnotherAddress(t *testing.T) {
	s := newShop(t)
	e3, w1 := east.Nodes[2], west.Nodes[0]
	s.volume("data")
	s.volume("plain", unkeyed)
	s.starts(east, e3, "data")
	s.starts(east, e3, "plain")
	eastAgain := s.dies(east)
	power := func(actions ...func() error) {
		t.Helper()
		for _, act := range actions {
			if err := act(); err != nil {
				t.Fatal(err)
			}
		}
	}
	power(e3.Kill)
	s.Must(s.cephferry(west, "east\n", "failover", s.Namespace+"/data"))
	if record := s.Record("data"); len(record.Fenced) > 0 {
		t.Errorf("a machine is fenced: %s", record.Encode())
	}
	s.waits(west, "a", "data")
	power(e3.Start)
	s.findsNone(east, "data")

	power(e3.Kill)
	s.Must(s.cephferry(west, "east\n", "failover", s.Namespace+"/plain"))
	if record := s.Record("plain"); len(record.Fenced) != 1 {
		t.Errorf("no machine is fenced: %s", record.Encode())
	}
	s.waits(west, "b", "plain")
	power(func() error { return e3.Move(t.Context(), 100) }, e3.Start)
	s.writes(east, "plain")
	s.findsNone(east, "data")

	s.gets(west, w1, "a")
	s.Ready(west, "data")
	s.Grows("data")
	eastAgain()
	s.deleted(east, west, "data")
	s.Wrote("data", east, west)
	s.named("data", "west")
	s.clear(east)
}

// East admits pods that cannot be scheduled, and its webhook dies. One of them is bound before
// west takes the volumes, which nobody saw, and writes; the others are bound after that, to a
// machine that the person who took them did not name. Not parallel: it ends the webhook of
// east, and fences a machine.
func TestABindingThatNobodySaw(t *testing.T) {
	s := newShop(t)
	e1, e4, w1, w2 := east.Nodes[0], east.Nodes[3], west.Nodes[0], west.Nodes[1]
	s.volume("before")
	s.volume("after")
	s.volume("plain", unkeyed)
	for claim, rack := range map[string]string{"before": "a", "after": "b", "plain": "b"} {
		s.waits(east, rack, claim)
	}
	eastAgain := s.dies(east)
	s.gets(east, e4, "a")
	s.writes(east, "before")
	if record := s.Record("before"); len(record.Owner.Nodes) > 0 || len(record.Unbound) != 1 {
		t.Fatalf("somebody saw the binding: %s", record.Encode())
	}
	for _, claim := range []string{"before", "after", "plain"} {
		out := s.Must(s.cephferry(west, "east\n", "failover", s.Namespace+"/"+claim, "--only-node", e4.Name))
		if want := "uncertain   a pod was admitted, and the record does not say on which node"; !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	s.waits(west, "a", "after")
	s.waits(west, "b", "plain")
	s.gets(east, e1, "b")
	s.writes(east, "plain")
	s.findsNone(east, "after")
	s.starts(west, w1, "before")
	s.gets(west, w2, "a")
	s.Ready(west, "after")
	s.Grows("after")

	eastAgain()
	s.deleted(east, west, "before", "after")
	s.Wrote("before", east, west)
	s.Wrote("after", west)
	s.named("before", "west")
	s.named("after", "west")
	s.clear(east)
	if err := e4.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e4.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the machine is let in again", func() error {
		if r := s.cephferry(east, "", "unfence", e4.Name); r.Err != nil {
			return fmt.Errorf("%w\n%s", r.Err, r.Stderr)
		}
		return nil
	})
}
