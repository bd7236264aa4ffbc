//go:build lab

package failover

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/failover"
	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// The whole story: east hangs, with its API server; west takes the volume; east wakes
// up and writes nothing any more, and gets the volume back after a reboot.
func TestAClusterHangsAndWakesUp(t *testing.T) {
	s := newShop(t)
	e1, w1 := s.east.Nodes[0], s.west.Nodes[0]
	s.volume("data")
	s.starts(s.east, e1, "p", "data")
	s.owns(s.east, e1, "data")
	client := s.Watchers("data")[0].Address

	if err := s.east.APIServer.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := e1.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, thaw := range []func() error{s.east.APIServer.Thaw, e1.Thaw} {
			if err := thaw(); err != nil {
				t.Error(err)
			}
		}
	})
	begin := time.Now()
	claim := s.Namespace + "/data"
	r := s.answered(s.plugin(s.west, "failover", claim), "east\n")
	t.Logf("it took %s:\n%s%s", time.Since(begin).Round(time.Millisecond), r.Stdout, r.Stderr)
	out := s.Must(r)
	for _, want := range []string{
		"cut off     " + e1.Address + " (node " + e1.Name + "): everything that comes from there",
		client + ": a client",
		"When cluster east is back, reboot " + e1.Name + " and run `kubectl cephferry unfence " + e1.Name + "` there.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	s.starts(s.west, w1, "p", "data")
	s.owns(s.west, w1, "data")

	// East wakes up.
	if err := s.east.APIServer.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := e1.Thaw(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the node that woke up notices", func() error {
		out, err := s.east.Run(t.Context(), "get", "pod", "p", "-n", s.Namespace, `-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && string(out) == "True" {
			err = fmt.Errorf("its pod is ready")
		}
		return err
	})
	s.Grows("data")
	s.Wrote("data", s.east, s.west)

	// It may come back when it has rebooted, and mounts nothing that is west's.
	unfence := func(c *scene.Cluster) scene.Result { return s.cephferry(c, "unfence", e1.Name) }
	s.refused(unfence(s.west), "node "+e1.Name+" belongs to cluster east, and this is another cluster")
	s.refused(unfence(s.east), "node "+e1.Name+" has not rebooted since it was fenced")
	if err := e1.Kill(); err != nil {
		t.Fatal(err)
	}
	boot := s.bootID(s.east, e1)
	if err := e1.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("the node reports its new boot", func() error {
		if s.bootID(s.east, e1) == boot {
			return fmt.Errorf("it is still %s", boot)
		}
		return nil
	})
	s.refused(unfence(s.east), "would mount volumes that cluster east does not own, for pod "+s.Namespace+"/p")
	if _, err := s.east.Run(t.Context(), "delete", "pod", "p", "-n", s.Namespace, "--force", "--grace-period=0"); err != nil {
		t.Fatal(err)
	}
	s.Eventually("nothing of it uses the volume", func() error { return unfence(s.east).Err })
	entries := s.blocklisted()
	if _, listed := entries[e1.Address+":0/0"]; listed {
		t.Errorf("%s is still on the blocklist", e1.Address)
	}
	if until := entries[client]; time.Until(until) < ceph.MaxFence-48*time.Hour {
		t.Errorf("client %s is on the blocklist until %s", client, until)
	}
	if fenced := s.Record("data").Fenced; len(fenced) > 0 {
		t.Errorf("the record still has %+v", fenced)
	}
	s.refused(unfence(s.east), "no record says that "+e1.Name+" is fenced")

	// And back.
	s.deletes(s.west, "p", "data")
	s.releases("data")
	s.starts(s.east, e1, "p", "data")
	s.owns(s.east, e1, "data")
	s.Wrote("data", s.east, s.west, s.east)
}

// A node that is not the recorded holder's has the image open. Nobody is fenced.
func TestTheWrongNodeIsNotFenced(t *testing.T) {
	s := newShop(t)
	e2, w2 := s.east.Nodes[1], s.west.Nodes[1]
	s.volume("data")
	s.starts(s.west, w2, "p", "data")
	s.owns(s.west, w2, "data")
	s.Change("data", func(stored ceph.Record) (ceph.Record, error) {
		return ceph.Record{Revision: stored.Revision, State: ceph.Held, Epoch: 1, Owner: &ceph.Owner{
			Party: s.Party(s.east), Namespace: s.Namespace, Claim: "data",
			Nodes: []ceph.Node{{Name: e2.Name, Addresses: []string{e2.Address}}},
		}}, nil
	})
	before := s.Record("data")
	s.refused(s.cephferry(s.west, "failover", s.Namespace+"/data", "--from", "east", "--yes"),
		"nothing was changed", s.Watchers("data")[0].Address, "and the record does not say that it is one of cluster east")
	if after := s.Record("data"); after.Revision != before.Revision {
		t.Errorf("the record became %+v", after)
	}
	for _, node := range []*lab.Node{e2, w2} {
		if _, listed := s.blocklisted()[node.Address+":0/0"]; listed {
			t.Errorf("%s is on the blocklist", node.Name)
		}
	}
	s.Grows("data")

	// A record that names one of this cluster's own nodes, or Ceph's machine.
	for what, address := range map[string]string{
		"which is node " + w2.Name + " of this cluster": w2.Address,
		"of Ceph itself": strings.Split(s.Ceph.Monitors[0], ":")[0],
	} {
		s.Change("data", func(record ceph.Record) (ceph.Record, error) {
			owner := *record.Owner
			owner.Nodes = []ceph.Node{{Name: "e9", Addresses: []string{address}}}
			record.Owner = &owner
			return record, nil
		})
		s.refused(s.cephferry(s.west, "failover", s.Namespace+"/data", "--from", "east", "--yes"),
			"the fence would cut off "+address, what)
	}
	// Whichever came last, it would be in the way of other tests that fence that address.
	s.deletes(s.west, "p", "data")
	s.Change("data", func(stored ceph.Record) (ceph.Record, error) {
		return ceph.Record{Revision: stored.Revision, State: ceph.Free, Epoch: stored.Epoch}, nil
	})
}

// A client that the owner does not account for has the image open: its pods are refused,
// and a person fences that client.
func TestAStrangerOnOnesOwnImage(t *testing.T) {
	s := newShop(t)
	e2, w2 := s.east.Nodes[1], s.west.Nodes[1]
	s.volume("data")
	s.starts(s.east, e2, "p", "data")
	s.owns(s.east, e2, "data")
	stranger := s.Watchers("data")[0].Address
	s.Change("data", func(stored ceph.Record) (ceph.Record, error) {
		stored.Owner = &ceph.Owner{Party: s.Party(s.west), Namespace: s.Namespace, Claim: "data"}
		stored.Pending = []string{"a pod that comes"} // so that it is not released
		return stored, nil
	})
	claim := s.Namespace + "/data"
	refusal := []string{"client " + stranger, "has the image open, and this cluster, which owns it, does not account for it", "--also-fence " + stranger}
	s.refused(s.cephferry(s.west, "failover", claim), refusal...)
	s.refused(s.cephferry(s.west, "failover", claim, "--also-fence", "192.0.2.1:0/7"), refusal...)
	r := s.answered(s.plugin(s.west, "failover", claim, "--also-fence", stranger), claim+"\n")
	t.Log(r.Stdout + r.Stderr)
	if out := s.Must(r); !strings.Contains(out, "and stays so") || !strings.Contains(out, stranger+": a client") {
		t.Errorf("it says %s", out)
	}
	s.starts(s.west, w2, "q", "data")
	s.Wrote("data", s.east, s.west)
	if entries := s.blocklisted(); !entries[e2.Address+":0/0"].IsZero() {
		t.Errorf("the whole machine is on the blocklist: %v", entries)
	}
	if _, err := s.east.Run(t.Context(), "delete", "pod", "p", "-n", s.Namespace, "--force", "--grace-period=0"); err != nil {
		t.Fatal(err)
	}
	if err := e2.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := e2.Start(); err != nil {
		t.Fatal(err)
	}
}

func TestWhoAnswersWrongChangesNothing(t *testing.T) {
	s := newShop(t)
	s.volume("data")
	s.starts(s.east, s.east.Nodes[1], "p", "data")
	s.owns(s.east, s.east.Nodes[1], "data")
	before := s.Record("data")
	claim := s.Namespace + "/data"
	for _, answer := range []string{"\n", "yes\n", "west\n", ""} {
		s.refused(s.answered(s.plugin(s.west, "failover", claim), answer), "that is not its name; nothing was changed")
	}
	s.refused(s.cephferry(s.west, "failover", claim, "--yes"), "--yes: name the cluster that is dead with --from")
	s.refused(s.cephferry(s.west, "failover", claim, "--yes", "--from", "north"), "the record says that cluster east has owned it since")
	s.refused(s.cephferry(s.west, "failover", claim, s.Namespace+"/other", "--yes", "--from", "east"), "nothing was changed", "has neither the claim nor a guarded PersistentVolume")
	if after := s.Record("data"); after.Revision != before.Revision {
		t.Errorf("the record became %+v", after)
	}
	s.Grows("data")
}

// The process is killed after each of its steps, and the command run again. Each has nodes of its own.
func TestKilledAfterEachStep(t *testing.T) {
	for i, step := range []failover.Step{failover.Begun, failover.Machines, failover.Instances, failover.InForce, failover.NobodyLeft} {
		t.Run(string(step), func(t *testing.T) {
			t.Parallel()
			from, to := stage.East.Nodes[i], stage.West.Nodes[i]
			s, args := brokenOff(t, step, from)
			s.refused(s.cephferry(s.west, append(args, "--by", "bob")...), "ask them; if they were interrupted, continue for them with --resume")
			s.Must(s.cephferry(s.west, args...))
			if again := s.Must(s.cephferry(s.west, args...)); !strings.Contains(again, "Nothing to do. Start the workload here.") {
				t.Errorf("again: %s", again)
			}
			s.starts(s.west, to, "p", "data")
			s.Wrote("data", s.east, s.west)
			s.comesBack(s.east, from, "p")
		})
	}
}

// brokenOff is a shop whose volume is being taken from a node of east by the command with these
// arguments, which was killed after that step. On a busy machine it may have done the rest before
// it was killed; then that is tried again.
func brokenOff(t *testing.T, step failover.Step, node *lab.Node) (*shop, []string) {
	t.Helper()
	const tries = 5
	for range tries {
		s := newShop(t)
		s.volume("data")
		s.starts(s.east, node, "p", "data")
		s.owns(s.east, node, "data")
		args := []string{"failover", s.Namespace + "/data", "--from", "east", "--yes"}
		s.killedAfter(s.plugin(s.west, args...), string(step))
		if s.Record("data").State == ceph.Fencing {
			return s, args
		}
		s.comesBack(s.east, node, "p")
	}
	t.Fatalf("%d times it was done before it was killed", tries)
	return nil, nil
}

// comesBack lets a node of a cluster in again that was fenced and never hung.
func (s *shop) comesBack(c *scene.Cluster, node *lab.Node, pod string) {
	s.Helper()
	if err := node.Kill(); err != nil {
		s.Fatal(err)
	}
	if _, err := c.Run(s.Context(), "delete", "pod", pod, "-n", s.Namespace, "--force", "--grace-period=0"); err != nil {
		s.Fatal(err)
	}
	if err := node.Start(); err != nil {
		s.Fatal(err)
	}
	s.Eventually("the node comes back", func() error {
		r := s.cephferry(c, "unfence", node.Name)
		if r.Err != nil {
			return fmt.Errorf("%w\n%s", r.Err, r.Stderr)
		}
		return nil
	})
}

func TestTwoPeopleAtOnce(t *testing.T) {
	s := newShop(t)
	e4 := s.east.Nodes[3]
	s.volume("data")
	s.starts(s.east, e4, "p", "data")
	s.owns(s.east, e4, "data")
	var group sync.WaitGroup
	results := make([]scene.Result, 2)
	for i, person := range []string{"ann", "bob"} {
		group.Go(func() {
			results[i] = s.cephferry(s.west, "failover", s.Namespace+"/data", "--from", "east", "--yes", "--by", person)
		})
	}
	group.Wait()
	for _, r := range results {
		t.Logf("%v\n%s%s", r.Err, r.Stdout, r.Stderr)
	}
	if results[0].Err != nil && results[1].Err != nil {
		t.Error("both lost")
	}
	record := s.Record("data")
	if record.State != ceph.Held || record.Owner.Name != "west" || record.Epoch != 2 {
		t.Errorf("the record says %s, %+v", record.State, record.Owner)
	}
	s.starts(s.west, s.west.Nodes[3], "p", "data")
	s.Wrote("data", s.east, s.west)
	s.comesBack(s.east, e4, "p")
}

func TestStatusAndHistory(t *testing.T) {
	s := newShop(t)
	e2 := s.east.Nodes[1]
	s.volume("data")
	s.volume("idle")
	s.starts(s.east, e2, "p", "data")
	s.owns(s.east, e2, "data")
	table := s.Must(s.cephferry(s.east, "status", "-n", s.Namespace))
	t.Log("\n" + table)
	for _, want := range []string{"NAMESPACE", s.Spec("data").String() + "   east    ", "held    1 ours", s.Spec("idle").String() + "   -       -       free    nobody"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is missing", want)
		}
	}
	rows := s.rows(s.cephferry(s.west, "status", "-n", s.Namespace, "-o", "json"))
	if len(rows) != 2 || rows[0]["state"] != "held" || !strings.Contains(fmt.Sprint(rows[0]["watchers"]), "foreign:not a node of this cluster") {
		t.Errorf("in west: %v", rows)
	}
	if yaml := s.Must(s.cephferry(s.west, "status", "-n", s.Namespace, "-o", "yaml")); !strings.Contains(yaml, "state: held") {
		t.Errorf("as YAML: %s", yaml)
	}

	// What cannot be known of one volume does not hide the others.
	if _, err := s.Ceph.RBD(t.Context(), "rm", s.Spec("idle").String()); err != nil {
		t.Fatal(err)
	}
	r := s.cephferry(s.east, "status", "-n", s.Namespace)
	if r.Err == nil || !strings.Contains(r.Stdout, "unknown   cannot know: ") || !strings.Contains(r.Stdout, "1 ours") {
		t.Errorf("with an unknown volume: %v\n%s%s", r.Err, r.Stdout, r.Stderr)
	}

	for _, c := range []*scene.Cluster{s.east, s.west} {
		if _, err := c.Run(t.Context(), "delete", "pvc/idle", "-n", s.Namespace); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(t.Context(), "delete", "pv/"+s.Namespace+".idle"); err != nil {
			t.Fatal(err)
		}
	}

	history := s.Must(s.cephferry(s.west, "history", s.Namespace+"/data"))
	if !strings.Contains(history, "acquired") || !strings.Contains(history, "cluster east owns it, claim "+s.Namespace+"/data") {
		t.Errorf("history: %s", history)
	}
	// No Kubernetes is needed for that.
	cmd := s.plugin(s.west, "history", "--image", s.Spec("data").String(), "--ceph-conf", s.Ceph.ConfFile)
	cmd.Args[slices.Index(cmd.Args, "--kubeconfig")+1] = "/nowhere"
	if alone := s.Must(cmd.Run(t.Context())); alone != history {
		t.Errorf("with Ceph alone:\n%s\nwant:\n%s", alone, history)
	}
}

// A watch shows what changes until it is interrupted.
func TestStatusWatches(t *testing.T) {
	s := newShop(t)
	s.volume("data")
	cmd := s.plugin(s.east, "status", "-n", s.Namespace, "--watch")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.killedAfter(cmd, "east")
	}()
	s.starts(s.east, s.east.Nodes[1], "p", "data")
	s.owns(s.east, s.east.Nodes[1], "data")
	<-done
}

// A cluster without a webhook gives a volume up when nothing of it uses it.
func TestRelease(t *testing.T) {
	s := newShop(t)
	e2 := s.east.Nodes[1]
	s.volume("data")
	s.starts(s.east, e2, "p", "data")
	s.owns(s.east, e2, "data")
	claim := s.Namespace + "/data"
	s.refused(s.cephferry(s.east, "release", claim), "it is in use: a pod uses it: pod "+s.Namespace+"/p", "scale the workload to zero")
	s.refused(s.cephferry(s.west, "release", claim), "another cluster owns the image: cluster east, claim "+claim)
	s.without(s.east)
	if _, err := s.east.Run(t.Context(), "delete", "pod", "p", "-n", s.Namespace); err != nil {
		t.Fatal(err)
	}
	s.Change("data", func(record ceph.Record) (ceph.Record, error) {
		record.Pending = []string{"a pod that never came"}
		return record, nil
	})
	s.Eventually("it is released", func() error {
		r := s.cephferry(s.east, "release", claim, "--admission-grace", "2s", "--by", "ann")
		if r.Err != nil {
			return fmt.Errorf("%w: %s", r.Err, r.Stderr)
		}
		if !strings.Contains(r.Stderr, "an admitted pod may still appear; this is settled in 2s") {
			t.Errorf("it did not wait: %s", r.Stderr)
		}
		return nil
	})
	if record := s.Record("data"); record.State != ceph.Free {
		t.Errorf("the record says %s", record.State)
	}
	if again := s.Must(s.cephferry(s.west, "release", claim)); again != "volume "+claim+": nobody owns it\n" {
		t.Errorf("again: %s", again)
	}
}

// An image whose PersistentVolume was deleted is given up by its name.
func TestReleaseOfAnImageWithoutAVolume(t *testing.T) {
	s := newShop(t)
	e2 := s.east.Nodes[1]
	s.volume("data")
	s.starts(s.east, e2, "p", "data")
	s.owns(s.east, e2, "data")
	s.without(s.east)
	image := s.Spec("data").String()
	release := []string{"release", "--image", image, "--cluster-id", "rook-ceph", "--admission-grace", "2s", "--by", "ann"}
	s.refused(s.cephferry(s.east, release...), "PersistentVolume "+s.Namespace+".data may lead to it; name its claim instead of the image")
	for _, object := range []string{"pod/p", "pvc/data", "pv/" + s.Namespace + ".data"} {
		if _, err := s.east.Run(t.Context(), "delete", object, "-n", s.Namespace); err != nil {
			t.Fatal(err)
		}
	}
	s.refused(s.cephferry(s.west, release...), "PersistentVolume "+s.Namespace+".data may lead to it")
	s.Eventually("it is released", func() error {
		r := s.cephferry(s.east, release...)
		if r.Err != nil {
			return fmt.Errorf("%w: %s", r.Err, r.Stderr)
		}
		if r.Stdout != "image "+image+": released\n" {
			t.Errorf("it says %q", r.Stdout)
		}
		return nil
	})
	if record := s.Record("data"); record.State != ceph.Free {
		t.Errorf("the record says %s", record.State)
	}
}
