//go:build lab

package keys

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// layer is what alone keeps a second writer from an image. Without a guard the volume
// is written as a dynamic one, which scope migratable leaves alone. Without
// exclusive-lock Ceph itself excludes nobody, not even who was cut off.
type layer struct {
	guardedInEast, guardedInWest bool
	features                     string
	mapOptions                   string
}

var (
	byNothing = layer{features: "layering"}
	// byWatchers: east has never heard of us, so there is no record.
	byWatchers = layer{features: "layering", guardedInWest: true}
	// byRecord: the holder's watch has ended, so nobody sees it.
	byRecord = layer{features: "layering", guardedInWest: true, guardedInEast: true}
	// byLock: neither cluster has heard of us.
	byLock = layer{features: "layering,exclusive-lock", mapOptions: ", mapOptions: exclusive"}
)

// Watchers, record and lock each stand alone; and where one does not suffice, the stamps
// show two writers, so that the others are what prevents them elsewhere. ceph-csi's own
// look at the watchers is switched off for all. What the lock does while the holder
// lives and is connected, TestTheStorageLayerAlone shows. Not parallel: of east every node has
// an accident.
func TestEachLayerAloneKeepsASecondWriterAway(t *testing.T) {
	lives, cut, frozen, locked := east.Nodes[0], east.Nodes[1], east.Nodes[2], east.Nodes[3]
	in := func(l layer, holder *lab.Node) *shop {
		s := newShop(t)
		t.Cleanup(s.ends)
		s.heldBehind(l, holder)
		return s
	}

	// The holder lives and is connected.
	s := in(byNothing, lives)
	s.admitted(west)
	s.bothWrite("data")

	s = in(byWatchers, lives)
	s.Refused(s.startsPod(west), scene.Forbidden("pod", s.InUseOf(west, "data"), scene.Creating))
	if r := s.Record("data"); r.Revision != 0 {
		t.Errorf("there is a record %s", r.Encode())
	}
	s.Wrote("data", east)

	// It is cut off, or hangs, for longer than its watch lives, and comes back.
	unseen, owned, hangs, held := in(byWatchers, cut), in(byRecord, cut), in(byRecord, frozen), in(byLock, locked)
	shops := []*shop{unseen, owned, hangs, held}
	for _, do := range []func() error{
		func() error { return cut.Cut(t.Context()) },
		func() error { return locked.Cut(t.Context()) },
		frozen.Freeze,
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range shops {
		s.Free("data")
	}
	unseen.admitted(west)
	owned.Refused(owned.startsPod(west), scene.Forbidden("pod", owned.InUseOf(west, "data"), scene.Creating))
	hangs.Refused(hangs.startsPod(west), scene.Forbidden("pod", hangs.InUseOf(west, "data"), scene.Creating))
	held.admitted(west)
	for _, do := range []func() error{
		func() error { return cut.Heal(t.Context()) },
		func() error { return locked.Heal(t.Context()) },
		frozen.Thaw,
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	unseen.bothWrite("data")
	owned.Wrote("data", east)
	hangs.Wrote("data", east)
	// Who took the lock from the one that was gone has put it on the blocklist.
	held.Eventually("the holder tries to write again", func() error {
		if log := lab.Tail(locked.Agent.LogFile); !strings.Contains(log, `pod=`+held.Namespace+`/holder error="write stamp`) {
			return fmt.Errorf("%s", log)
		}
		return nil
	})
	held.Wrote("data", east, west)
}

// heldBehind makes a volume that only this layer guards, and starts its holder in
// east.
func (s *shop) heldBehind(l layer, holder *lab.Node) {
	s.Helper()
	if _, err := s.Ceph.RBD(s.Context(), "create", s.Image("data"), "--size", "16M", "--image-feature", l.features); err != nil {
		s.Fatal(err)
	}
	for c, guarded := range map[*scene.Cluster]bool{east: l.guardedInEast, west: l.guardedInWest} {
		static := `staticVolume: "true"`
		edit := []string{static, static + l.mapOptions}
		if !guarded {
			edit = []string{
				"volumeHandle: " + s.Namespace + ".data", "volumeHandle: 0001-0009-rook-ceph-0000000000000001-" + s.Namespace,
				static, "imageName: " + s.Namespace + ".data, journalPool: replicapool, imageFeatures: layering" + l.mapOptions,
			}
		}
		s.Create(c, s.PV("data", edit...)+"---\n"+s.PVC("data"))
		s.Bound(c, "data")
	}
	s.Create(east, scene.Pod("holder", "data", scene.On(holder)))
	s.Ready(east, "holder")
	s.Grows("data")
}

func (s *shop) startsPod(c *scene.Cluster) scene.Result {
	return s.Run(c, scene.Pod("x", "data"), "create", "-f", "-")
}

// admitted is startsPod where nothing prevents it.
func (s *shop) admitted(c *scene.Cluster) {
	s.Helper()
	s.Must(s.startsPod(c))
	s.Ready(c, "x")
}

// bothWrite waits until the stamps show two writers at a time.
func (s *shop) bothWrite(claim string) {
	s.Helper()
	s.TwoWriters = append(s.TwoWriters, claim)
	s.Eventually("two writers of "+claim+" at a time", func() error {
		if s.Stamps(claim).Check() == nil {
			return fmt.Errorf("the stamps are one chain")
		}
		return nil
	})
}

// ends takes away whatever runs, so that no node keeps a client that was fenced.
func (s *shop) ends() {
	for _, c := range []*scene.Cluster{east, west} {
		for _, args := range [][]string{{"delete", "deployments", "--all"}, {"delete", "pods", "--all", "--force", "--grace-period=0"}} {
			// The test's context has ended.
			if _, err := c.Run(context.Background(), append(args, "--namespace", s.Namespace)...); err != nil {
				s.Error(err)
			}
		}
	}
}

// TestTheStorageLayerAlone: no webhook in either cluster, so neither a guard nor an
// owner. The pairs that the renderer makes keep a second cluster out all the same, while the
// first one lives; beside them, a release that is not mapped exclusively shows what would
// happen. A holder that died is taken over from, and is on the blocklist then. Not parallel: no
// admission is asked, and a node dies.
func TestTheStorageLayerAlone(t *testing.T) {
	s := newShop(t)
	for _, c := range []*scene.Cluster{east, west} {
		s.withoutAdmission(c)
		s.Eventually("nobody is asked about volumes in "+c.Name, func() error {
			return s.Run(c, s.PV("none"), "create", "--dry-run=server", "-f", "-").Err
		})
	}
	t.Cleanup(s.ends)
	const alone, shared = "alone", "shared"
	install := func(c *scene.Cluster, release string, values ...string) {
		t.Helper()
		s.Must(s.Rendered(c, append([]string{"install", release, scene.ChartWeb, scene.Migratable}, values...)...))
	}
	const off = `--set-string=persistence.annotations.cephferry\.io/exclusive=false`
	for _, c := range []*scene.Cluster{east, west} {
		install(c, alone)
		install(c, shared, off)
		if c == east {
			s.Kubectl(east, "rollout", "status", "deployment/"+alone, "--timeout=60s")
			s.Kubectl(east, "rollout", "status", "deployment/"+shared, "--timeout=60s")
		}
	}

	// Without the option, both write at once.
	s.bothWrite(shared + "-files")

	// With it, west is refused, again and again, and east goes on.
	const refusal = "acquire exclusive lock: rbd: ret=-30, Read-only file system"
	pod := func(c *scene.Cluster, field string) string {
		t.Helper()
		return s.Kubectl(c, "get", "pods", "--selector=app.kubernetes.io/instance="+alone, "-o=jsonpath={.items[0]"+field+"}")
	}
	s.Event(west, "FailedMount", "Pod/"+pod(west, ".metadata.name"), refusal)
	before := s.Stamps(alone + "-files").Last().Sequence
	s.Eventually("east writes on", func() error {
		if last := s.Stamps(alone + "-files").Last(); last.Sequence <= before+5 {
			return fmt.Errorf("the last stamp is %s", last)
		}
		return nil
	})
	s.Ceph.Wrote(t, s.Spec(alone+"-files"), "east")
	if phase := pod(west, ".status.phase"); phase != "Pending" {
		t.Errorf("the pod in west is %s", phase)
	}

	// When east is done, west's pod starts by itself.
	s.Kubectl(east, "scale", "deployment/"+alone, "--replicas=0")
	s.Kubectl(west, "rollout", "status", "deployment/"+alone, "--timeout=60s")
	s.Wrote(alone+"-files", east, west)

	// And when west has died, east takes over, from a client that is on the blocklist.
	at := pod(west, ".spec.nodeName")
	node := west.Nodes[slices.IndexFunc(west.Nodes, func(n *lab.Node) bool { return n.Name == at })]
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Start(); err != nil {
			t.Error(err)
		}
	})
	s.Kubectl(east, "scale", "deployment/"+alone, "--replicas=1")
	s.writes(east, alone+"-files")
	s.Ceph.Wrote(t, s.Spec(alone+"-files"), "east", "west", "east")
	fenced, err := s.Ceph.Run(t.Context(), "osd", "blocklist", "ls")
	if err != nil || !strings.Contains(string(fenced), node.Address+":0/") {
		t.Errorf("the blocklist is %s, %v; want a client at %s", fenced, err, node.Address)
	}
}
