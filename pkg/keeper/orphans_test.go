package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/keeper"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const rbdDriver = "rook-ceph.rbd.csi.ceph.com"

// search is a world with the search of a leader that has just begun.
type search struct {
	*world
	*keeper.Sweep
	queue *keeper.Queue
	log   []string
}

// storages lead each clusterID to the one Ceph.
type storages struct{ storage ceph.Cluster }

func (s storages) Cluster(context.Context, string) (ceph.Cluster, string, error) {
	return s.storage, "", nil
}

// newSearch is west, which owns the image of a volume that was deleted before.
func newSearch(t *testing.T, objects ...client.Object) *search {
	t.Helper()
	s := &search{world: newWorld(t, objects...)}
	s.queue = keeper.Run(s.keeper)
	s.Sweep = &keeper.Sweep{Keeper: s.keeper, Storages: storages{s.client}, Log: funcr.New(func(_, line string) { s.log = append(s.log, line) }, funcr.Options{})}
	s.create(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "block"}, Provisioner: rbdDriver, Parameters: map[string]string{"clusterID": "rook-ceph", "pool": "replicapool"}})
	s.admits(west, "p")
	s.remove(volume("shop.data", "data"))
	return s
}

// find are the names of the orphans, and makes the keeper look after them.
func (s *search) find() []string {
	s.Helper()
	var names []string
	for _, orphan := range s.Orphans(s.Context()) {
		if !s.adopts(orphan) {
			s.Errorf("nobody looks at %s", orphan.PV.Name)
		}
		names = append(names, orphan.PV.Name)
	}
	return names
}

// adopts reports whether the keeper is going to look at an orphan.
func (s *search) adopts(orphan volumes.Volume) bool {
	s.keeper.Adopt(orphan)
	return slices.Contains(s.queue.Take(), orphan.PV.Name)
}

func (s *search) wantFound(want ...string) {
	s.Helper()
	if got := s.find(); !slices.Equal(got, want) {
		s.Fatalf("found %v, want %v", got, want)
	}
}

// What a leader left behind that died, the next one releases.
func TestAnOrphanIsReleased(t *testing.T) {
	s := newSearch(t)
	if wait := s.keep(); wait != 0 {
		t.Errorf("a volume that nobody has heard of is looked at after %s", wait)
	}
	s.wantFound("shop.data")
	s.keep()
	s.wantOwner("west") // the pod may still appear
	s.pass(grace + time.Second)
	s.keep()
	s.wantOwner("")
	s.wantFound()
	if wait := s.keep(); wait != 0 {
		t.Errorf("it is looked at again after %s", wait)
	}
}

// Each of these may use the image, although no PersistentVolume says so.
func TestAnOrphanThatMayBeInUse(t *testing.T) {
	reporting := func(volume corev1.UniqueVolumeName) *corev1.Node {
		n := node("w3", "10.0.2.13")
		n.Status.VolumesInUse = []corev1.UniqueVolumeName{volume}
		return n
	}
	byName := attachment("by-hand", "w1")
	byName.Spec.Attacher = rbdDriver
	for name, object := range map[string]client.Object{
		"a pod of the claim":                        pod("q", "data"),
		"an attachment of the pair":                 attachment("shop.data", "w1"),
		"an attachment of a volume that is gone":    byName,
		"a kubelet with the image's name":           reporting("kubernetes.io/csi/" + rbdDriver + "^shop.data"),
		"a kubelet with a handle that is not known": reporting("kubernetes.io/csi/" + rbdDriver + "^0001-0009-rook-ceph"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSearch(t)
			s.create(object)
			s.wantFound("shop.data")
			s.keep()
			s.pass(grace + time.Second)
			if wait := s.keep(); wait <= 0 {
				t.Error("it is not looked at again")
			}
			s.wantOwner("west")
			if reports, ok := object.(*corev1.Node); ok {
				reports.Status.VolumesInUse = nil
				if err := s.api.Status().Update(t.Context(), reports); err != nil {
					t.Fatal(err)
				}
			} else {
				s.remove(object)
			}
			s.keep()
			s.wantOwner("")
		})
	}
	t.Run("a client", func(t *testing.T) {
		s := newSearch(t)
		s.ceph.AddWatcher(theData, onW1)
		s.wantFound("shop.data")
		s.keep()
		s.pass(grace + time.Second)
		s.keep()
		s.wantOwner("west")
		s.ceph.RemoveWatcher(theData, onW1)
		s.keep()
		s.wantOwner("")
	})
	t.Run("a node that is gone", func(t *testing.T) {
		s := newSearch(t)
		s.change(func(stored ceph.Record) (ceph.Record, error) {
			owner := *stored.Owner
			owner.Nodes, stored.Owner = []ceph.Node{{Name: "w9"}}, &owner
			return stored, nil
		})
		s.wantFound("shop.data")
		s.keep()
		s.pass(grace + time.Second)
		s.keep()
		s.wantOwner("west")
	})
}

func TestWhatIsNoOrphan(t *testing.T) {
	t.Run("another volume leads there", func(t *testing.T) {
		newSearch(t, volume("by-hand", "data")).wantFound()
	})
	t.Run("the cache does not have the volume yet", func(t *testing.T) {
		s := newSearch(t)
		s.keeper.Finder.Cache = newWorld(t).api
		s.remove(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w2"}})
		s.create(volume("shop.data", "data"))
		s.wantFound()
	})
	t.Run("another cluster owns it", func(t *testing.T) {
		s := newSearch(t)
		s.change(func(stored ceph.Record) (ceph.Record, error) { return ownership.Release(stored, west, "ann", noon) })
		s.wantFound()
		s.admits(east, "p")
		s.wantFound()
	})
	t.Run("it is being taken", func(t *testing.T) {
		s := newSearch(t)
		s.change(func(stored ceph.Record) (ceph.Record, error) {
			stored.State, stored.Takeover = ceph.Fencing, &ceph.Takeover{Party: east, By: "ann", Since: noon}
			return stored, nil
		})
		s.wantFound()
	})
	t.Run("its record cannot be read", func(t *testing.T) {
		s := newSearch(t)
		image, err := s.client.Image(t.Context(), theData)
		if err != nil {
			t.Fatal(err)
		}
		s.ceph.WriteRecord(image, []byte(`{"version":99}`))
		s.wantFound()
	})
}

// Of two orphans with one name, the other one comes when the first is done.
func TestOrphansOfOneName(t *testing.T) {
	s := newSearch(t)
	s.wantFound("shop.data")
	other := volumes.OrphanOf(volumes.Place{Driver: rbdDriver, ClusterID: "rook-ceph", Pool: "other"}, "shop.data", *s.record().Owner)
	if s.adopts(other) {
		t.Error("two volumes of one name are looked at")
	}
	s.keep()
	s.pass(grace + time.Second)
	s.keep()
	s.wantOwner("")
	if !s.adopts(other) {
		t.Error("the other one is left")
	}
}

// An orphan whose volume is made again is a volume as any.
func TestAnOrphanWhoseVolumeComesBack(t *testing.T) {
	s := newSearch(t)
	s.wantFound("shop.data")
	s.keep()
	s.create(volume("shop.data", "data"), pod("q", "data"))
	s.admits(west, "q")
	s.pass(grace + time.Second)
	s.keep()
	s.wantOwner("west")
	s.wantFound()
}

// What cannot be looked at is said once, and again when it comes back.
func TestASearchThatFails(t *testing.T) {
	s := newSearch(t)
	wantLines := func(want ...string) {
		t.Helper()
		ok := len(s.log) == len(want)
		for i := range want {
			ok = ok && strings.Contains(s.log[i], want[i])
		}
		if !ok {
			t.Fatalf("the log is %q, want %q", s.log, want)
		}
	}
	records := "list the records of pool replicapool by clusterID rook-ceph"
	s.ceph.Intercept(cephtest.Unreachable)
	s.wantFound()
	s.wantFound()
	wantLines(records)
	s.ceph.Intercept(nil)
	s.wantFound("shop.data")
	s.ceph.Intercept(cephtest.Unreachable)
	s.wantFound()
	wantLines(records, records)

	s = newSearch(t, volume("other", "other"))
	s.remove(volume("other", "other"))
	other := volume("elsewhere", "other")
	other.Spec.CSI.VolumeHandle = "shop.other"
	s.create(other)
	refused := interceptor.NewClient(s.api, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if _, classes := list.(*storagev1.StorageClassList); classes {
			return errors.New("forbidden")
		}
		return c.List(ctx, list, options...)
	}})
	s.keeper.Finder.API = refused
	s.wantFound("shop.data") // by the pool of the volume that there is
	wantLines("list StorageClasses")
	stranger, err := s.ceph.Dial(t.Context(), cephtest.Stranger)
	if err != nil {
		t.Fatal(err)
	}
	s.Storages = storages{stranger}
	s.wantFound()
	wantLines("list StorageClasses", records)
}

// A sweep has what it read of the volumes. To look for orphans, it does not copy each of them
// again.
func TestASearchCopiesNoVolumes(t *testing.T) {
	s := newSearch(t)
	pvs := make([]corev1.PersistentVolume, 1000)
	for i := range pvs {
		pvs[i] = *volume(fmt.Sprint("shop.data-", i), fmt.Sprint("data-", i))
		pvs[i].Spec.CSI.VolumeHandle = pvs[i].Name
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.OrphansAmong(t.Context(), pvs)
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(pvs)); each >= uint64(unsafe.Sizeof(pvs[0])) {
		t.Errorf("a sweep takes %d bytes for each volume to look for orphans; a volume itself has %d", each, unsafe.Sizeof(pvs[0]))
	}
}
