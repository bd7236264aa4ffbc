//go:build lab

package guard

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
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
// lives and is connected, test/e2e shows on the renderer's pairs.
func TestEachLayerAloneKeepsASecondWriterAway(t *testing.T) {
	t.Parallel()
	servers := labtest.LabWithNodes(t, lab.Nodes{PerCluster: 4, IgnoreWatchers: true})
	east, west := stage.Guarded(t, servers, "guard.scope=migratable")
	lives, cut, frozen, locked := east.Nodes[0], east.Nodes[1], east.Nodes[2], east.Nodes[3]
	in := func(l layer, holder *lab.Node) *shop {
		s := &shop{stage.ShopIn(t, servers.Ceph, east, west)}
		s.heldBehind(l, east, west, holder)
		return s
	}

	// The holder lives and is connected.
	s := in(byNothing, lives)
	s.starts(west)
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
	unseen.starts(west)
	owned.Refused(owned.startsPod(west), scene.Forbidden("pod", owned.InUseOf(west, "data"), scene.Creating))
	hangs.Refused(hangs.startsPod(west), scene.Forbidden("pod", hangs.InUseOf(west, "data"), scene.Creating))
	held.starts(west)
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
func (s *shop) heldBehind(l layer, east, west *scene.Cluster, holder *lab.Node) {
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

// starts is startsPod where nothing prevents it.
func (s *shop) starts(c *scene.Cluster) {
	s.Helper()
	s.Must(s.startsPod(c))
	s.Ready(c, "x")
}
