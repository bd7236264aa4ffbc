package keeper_test

import (
	"slices"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// TestAPodThatIsStoredAfterItsVolumeWasLookedAt counts as soon as it is there, and not only
// when its node has the image.
func TestAPodThatIsStoredAfterItsVolumeWasLookedAt(t *testing.T) {
	for name, test := range map[string]struct {
		objects       []client.Object
		change        func(*world)
		wantOwner     string
		wantConflicts []string
	}{
		"the image is free": {objects: []client.Object{pod("late", "data")}, wantOwner: "west"},
		"nobody came":       {},
		"another cluster owns the image": {
			objects: []client.Object{pod("late", "data")}, change: func(w *world) { w.admits(east, "uid-east") }, wantOwner: "east",
			wantConflicts: []string{"shop.data: volume shop/data (image replicapool/shop.data): cluster east owns the image"},
		},
		"another cluster has the image open": {
			objects: []client.Object{pod("late", "data")}, change: func(w *world) { w.ceph.AddWatcher(theData, ceph.Watcher{Addr: "10.0.1.12:0/1"}) },
			wantConflicts: []string{"shop.data: volume shop/data (image replicapool/shop.data): another cluster has the image open"},
		},
		"another cluster owns the image, and nobody came": {change: func(w *world) { w.admits(east, "uid-east") }, wantOwner: "east"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.change != nil {
				test.change(w)
			}
			w.keep()
			w.create(test.objects...)
			for range 3 { // it is said once
				w.keep()
			}
			w.wantOwner(test.wantOwner)
			if !slices.Equal(w.conflicts, test.wantConflicts) {
				t.Errorf("conflicts %q, want %q", w.conflicts, test.wantConflicts)
			}
		})
	}
}
