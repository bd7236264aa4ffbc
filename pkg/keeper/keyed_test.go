package keeper_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
)

const (
	// westsName is what theData bears while it is west's.
	westsName = "shop.data~west"
	eastsName = "shop.data~east"
)

var ofWest = ceph.ImageSpec{Pool: "replicapool", Name: "shop.data", Key: "west"}

// exactly is an image by exactly that name.
func exactly(name string) ceph.ImageSpec { return ceph.ImageSpec{Pool: "replicapool", Name: name} }

// keyedWorld is west with a volume of an image that bears its owner's name. Both clusters
// have keys, and nobody owns the image.
type keyedWorld struct {
	*world
	self string
}

func newKeyedWorld(t *testing.T, objects ...client.Object) *keyedWorld {
	t.Helper()
	w := &keyedWorld{world: newWorld(t, objects...)}
	w.withHandle(westsName)
	for _, cluster := range []ceph.Party{east, west} {
		if _, err := w.client.ClaimKey(t.Context(), "replicapool", "", cluster); err != nil {
			t.Fatal(err)
		}
	}
	w.write(func(r *ceph.Record) { r.Keyed, r.Private = true, true })
	var err error
	if w.self, err = w.client.Self(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// withHandle makes the volume anew with that handle.
func (w *keyedWorld) withHandle(handle string) {
	w.Helper()
	w.remove(volume("shop.data", "data"))
	pv := volume("shop.data", "data")
	pv.Spec.CSI.VolumeHandle = handle
	w.create(pv)
}

func (w *keyedWorld) image() ceph.Image {
	w.Helper()
	image, err := w.client.Image(w.Context(), ofWest)
	if err != nil {
		w.Fatal(err)
	}
	return image
}

func (w *keyedWorld) read() ceph.Record {
	w.Helper()
	record, err := ownership.Read(w.Context(), w.client, w.image())
	if err != nil {
		w.Fatal(err)
	}
	return record
}

func (w *keyedWorld) write(change func(*ceph.Record)) {
	w.Helper()
	_, err := ownership.Change(w.Context(), w.client, w.image(), func(stored ceph.Record) (ceph.Record, error) {
		change(&stored)
		return stored, nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// acquires is what the guard of a cluster does before it renames.
func (w *keyedWorld) acquires(by ceph.Party, pod string, renamers ...string) {
	w.Helper()
	w.write(func(r *ceph.Record) {
		next, err := ownership.Acquire(*r, ownership.Request{Cluster: by, Namespace: "shop", Claim: "data", Pod: pod, Now: noon})
		if err != nil {
			w.Fatal(err)
		}
		next.Renamers = append(next.Renamers, renamers...)
		*r = next
	})
}

// owns makes the image the cluster's, name and all.
func (w *keyedWorld) owns(by ceph.Party, pod string) {
	w.Helper()
	w.acquires(by, pod)
	w.ceph.RenameImage(ofWest, "shop.data~"+by.Name)
	w.write(func(r *ceph.Record) { r.Named = true })
}

// bears checks which names lead to the image.
func (w *keyedWorld) bears(names ...string) {
	w.Helper()
	got, err := w.client.ImageNames(w.Context(), w.image(), "shop.data", westsName, eastsName)
	if err != nil || !slices.Equal(got, names) {
		w.Errorf("the image has the names %q, %v; want %q", got, err, names)
	}
}

func (w *keyedWorld) fenced(want ...string) {
	w.Helper()
	entries, err := w.client.Blocklisted(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Addr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("on the blocklist -want +got:\n%s", diff)
	}
}

// otherClient is another replica of the webhook.
func (w *keyedWorld) otherClient() (ceph.Cluster, string) {
	w.Helper()
	other, err := w.ceph.Dial(w.Context(), cephtest.Provisioner)
	if err != nil {
		w.Fatal(err)
	}
	self, err := other.Self(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return other, self
}

// redial is what a connection is renewed to.
func (w *keyedWorld) redial() {
	w.client, w.self = w.otherClient()
	w.keeper.Storage = func(context.Context, string) (idle.Ceph, string, error) { return w.client, "", nil }
}

func (w *keyedWorld) pods() []string {
	w.Helper()
	var list corev1.PodList
	if err := w.api.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	return names
}

// A pod that is bound, and whose image has another cluster's name, never has its volume.
func TestEvict(t *testing.T) {
	lost := func(w *keyedWorld) { w.owns(east, "p") }
	unbound := pod("c", "data")
	done := boundPod("d")
	done.Status.Phase = corev1.PodSucceeded
	other := pod("e", "other")
	other.Spec.NodeName = "w1"
	elsewhere := boundClaim()
	elsewhere.Spec.VolumeName = "shop.data-2"
	tests := map[string]struct {
		prepare func(w *keyedWorld)
		claim   client.Object
		stay    bool
	}{
		"as after a failover": {lost, boundClaim(), false},
		"of an image that is not keyed": {func(w *keyedWorld) {
			w.withHandle("shop.data")
			w.acquires(east, "p")
			w.write(func(r *ceph.Record) { r.Keyed, r.Private = false, false })
		}, boundClaim(), true},
		"of an image that nobody owns":                              {func(w *keyedWorld) {}, boundClaim(), true},
		"of an image that is this cluster's":                        {func(w *keyedWorld) { w.owns(west, "a") }, boundClaim(), true},
		"of an image that is being taken from it":                   {func(w *keyedWorld) { w.owns(east, "p"); w.taken(west) }, boundClaim(), true},
		"whose claim is bound to another volume":                    {lost, elsewhere, true},
		"whose claim is gone":                                       {lost, nil, true},
		"while its own name leads to the image":                     {func(w *keyedWorld) { w.owns(west, "a"); w.write(theirs) }, boundClaim(), true},
		"while both names lead to the image":                        {func(w *keyedWorld) { w.owns(east, "p"); w.ceph.HalfRenameImage(exactly(eastsName), westsName, false) }, boundClaim(), true},
		"whose volume has the key of the owner":                     {func(w *keyedWorld) { w.withHandle(eastsName); w.owns(east, "p") }, boundClaim(), true},
		"of an image that this cluster has had between the looks":   {func(w *keyedWorld) { lost(w); w.afterThePods(func() { w.write(inBetween) }) }, boundClaim(), true},
		"of an image that becomes this cluster's between the looks": {func(w *keyedWorld) { lost(w); w.afterThePods(func() { w.write(ours) }) }, boundClaim(), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, boundPod("a"), boundPod("b"), unbound.DeepCopy(), done.DeepCopy(), other.DeepCopy())
			if test.claim != nil {
				w.create(test.claim.DeepCopyObject().(client.Object))
			}
			test.prepare(w)
			w.keep()
			want := []string{"pod-c", "pod-d", "pod-e"}
			if test.stay {
				want = []string{"pod-a", "pod-b", "pod-c", "pod-d", "pod-e"}
			}
			if diff := cmp.Diff(want, w.pods()); diff != "" {
				t.Errorf("pods -want +got:\n%s", diff)
			}
			told := slices.DeleteFunc(w.events(), func(e string) bool { return !slices.Contains([]string{evicted("a"), evicted("b")}, e) })
			if test.stay != (len(told) == 0) || !test.stay && len(told) != 2 {
				t.Errorf("events %q", told)
			}
			w.fenced()
		})
	}
}

func evicted(uid string) string {
	return "pod-" + uid + ": volume shop/data (image replicapool/shop.data): cluster east owns the image, and pod pod-" + uid +
		" can never have it on node w1, so it is deleted [shop.data]"
}

// theirs and ours are records of an image that another cluster owns next.
func theirs(r *ceph.Record) { r.Owner.Party, r.Named = east, false; r.Epoch++ }
func ours(r *ceph.Record)   { r.Owner.Party, r.Named = west, false; r.Epoch++ }

// inBetween: this cluster has owned it, and let a pod start, since the record was read.
func inBetween(r *ceph.Record) { r.Epoch += 2 }

func (w *keyedWorld) taken(by ceph.Party) {
	w.Helper()
	w.write(func(r *ceph.Record) {
		next, err := ownership.BeginFence(*r, ownership.Taker{Cluster: by, By: "ann", Now: noon})
		if err != nil {
			w.Fatal(err)
		}
		*r = next
	})
}

// afterThePods is done when the keeper reads the record for the second time.
func (w *keyedWorld) afterThePods(do func()) {
	reads := 0
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Record" {
			if reads++; reads == 2 {
				w.ceph.Intercept(nil)
				do()
			}
		}
		return proceed()
	})
}
