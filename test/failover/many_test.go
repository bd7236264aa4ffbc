//go:build lab

package failover

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/test/lab"
)

// Volumes of two nodes and one that was never used are taken with one command: one of them is
// refused at first, and then nothing happens to the others either. The command is killed when
// it has begun, and run again.
func TestSeveralVolumesWithOneCommand(t *testing.T) {
	s := newShop(t)
	on := map[string]*lab.Node{"a": s.east.Nodes[2], "b": s.east.Nodes[3]}
	to := map[string]*lab.Node{"a": s.west.Nodes[2], "b": s.west.Nodes[3]}
	claims := []string{"a", "b", "idle", "odd"}
	for _, claim := range claims {
		s.volume(claim)
	}
	for claim, node := range on {
		s.starts(s.east, node, claim, claim)
		s.owns(s.east, node, claim)
	}
	// A record that does not tell the whole truth: somebody of west has it open.
	s.starts(s.west, s.west.Nodes[1], "odd", "odd")
	s.owns(s.west, s.west.Nodes[1], "odd")
	s.Change("odd", func(stored ceph.Record) (ceph.Record, error) {
		return ceph.Record{Revision: stored.Revision, State: ceph.Held, Epoch: 1, Owner: &ceph.Owner{
			Party: s.Party(s.east), Namespace: s.Namespace, Claim: "odd", Nodes: []ceph.Node{{Name: "e9", Addresses: []string{"192.0.2.9"}}},
		}}, nil
	})
	revisions := func() map[string]uint64 {
		all := map[string]uint64{}
		for _, claim := range claims[:2] {
			all[claim] = s.Record(claim).Revision
		}
		return all
	}
	before, entries := revisions(), len(s.blocklisted())
	command := func(claims ...string) []string {
		args := []string{"failover", "--by", "ann"}
		for _, claim := range claims {
			args = append(args, s.Namespace+"/"+claim)
		}
		return args
	}
	r := s.answered(s.plugin(s.west, command(claims...)...), "east\n")
	s.refused(r, "nothing was changed\nvolume "+s.Namespace+"/odd: client "+s.Watchers("odd")[0].Address)
	if strings.Contains(r.Stderr, s.Namespace+"/a") || len(s.blocklisted()) != entries {
		t.Errorf("another one is refused as well, or somebody is fenced:\n%s", r.Stderr)
	}
	for claim, revision := range revisions() {
		if revision != before[claim] {
			t.Errorf("the record of %s was written: %+v", claim, s.Record(claim))
		}
		s.Grows(claim)
	}

	// Without that one, and killed.
	args := command(claims[:3]...)
	yes := append(args, "--from", "east", "--yes")
	s.killedAfter(s.plugin(s.west, yes...), "2 volumes: "+string(failover.Begun))
	for claim := range on {
		if record := s.Record(claim); record.State != ceph.Fencing {
			t.Errorf("%s was killed too late: its record says %s, %+v", claim, record.State, record.Owner)
		}
	}
	r = s.answered(s.plugin(s.west, args...), "east\n")
	t.Logf("%s%s", r.Stdout, r.Stderr)
	out := s.Must(r)
	for _, want := range []string{"nothing to do: nobody owns it", "2 volumes together", on["a"].Address + " (node " + on["a"].Name + "): everything that comes from there"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if questions := strings.Count(r.Stderr, "Type the name"); questions != 1 {
		t.Errorf("it asks %d times", questions)
	}
	listed := s.blocklisted()
	for claim, node := range on {
		if want := fmt.Sprintf("volume %s/%s: %s", s.Namespace, claim, failover.TakenOver); !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
		if listed[node.Address+":0/0"].IsZero() {
			t.Errorf("%s is not on the blocklist", node.Name)
		}
		record := s.Record(claim)
		if record.State != ceph.Held || record.Owner.Name != "west" || record.Epoch != 2 || len(record.Fenced) != 1 || record.Fenced[0].Node.Name != node.Name {
			t.Errorf("the record of %s says %s, %+v, fenced %+v", claim, record.State, record.Owner, record.Fenced)
		}
	}
	if again := s.Must(s.cephferry(s.west, yes...)); !strings.Contains(again, "Nothing to do. Start the workload here.") {
		t.Errorf("again: %s", again)
	}
	for claim := range on {
		s.starts(s.west, to[claim], claim, claim)
		s.Wrote(claim, s.east, s.west)
	}
	for claim, node := range on {
		s.comesBack(s.east, node, claim)
	}
}
