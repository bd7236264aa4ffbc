package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
)

const (
	// westsName is what theData carries while it is west's.
	westsName = "shop.data~west"
	eastsName = "shop.data~east"
)

var ofWest = ceph.ImageSpec{Pool: "replicapool", Name: "shop.data", Key: "west"}

// exactly is an image by exactly that name.
func exactly(name string) ceph.ImageSpec { return ceph.ImageSpec{Pool: "replicapool", Name: name} }

// keyedWorld is west with a volume of an image that carries its owner's name. Both clusters
// have keys, and nobody owns the image.
type keyedWorld struct {
	*world
	self string
}

func newKeyedWorld(t *testing.T, objects ...client.Object) *keyedWorld {
	t.Helper()
	w := &keyedWorld{world: newWorld(t, objects...)}
	w.ceph.RemoveImage(theData)
	if _, err := w.client.CreateImage(t.Context(), theData, ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock"}}); err != nil {
		t.Fatal(err)
	}
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

// carries checks which names lead to the image.
func (w *keyedWorld) carries(names ...string) {
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

// afterThePods is done when the keeper reads the record after its looks, the second of which
// confirms the first.
func (w *keyedWorld) afterThePods(do func()) {
	reads := 0
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Record" {
			if reads++; reads == 3 {
				w.ceph.Intercept(nil)
				do()
			}
		}
		return proceed()
	})
}

// What an admission has left, the leader finishes; who may be at it yet stays in the record.
func TestTheNameIsFinished(t *testing.T) {
	const dead = "203.0.113.9:0/9"
	tests := map[string]struct {
		prepare  func(w *keyedWorld)
		renamers []string // of the admission
		left     []string
		fenced   []string
	}{
		"the record was written":                   {func(*keyedWorld) {}, []string{dead}, []string{dead}, nil},
		"the image was renamed":                    {func(w *keyedWorld) { w.ceph.RenameImage(exactly("shop.data"), westsName) }, []string{dead}, []string{dead}, nil},
		"the rename is half done":                  {func(w *keyedWorld) { w.ceph.HalfRenameImage(exactly("shop.data"), westsName, true) }, []string{dead}, []string{dead}, []string{dead}},
		"by nobody, as an image is adopted":        {func(*keyedWorld) {}, nil, nil, nil},
		"the image had the name of another before": {func(w *keyedWorld) { w.ceph.RenameImage(exactly("shop.data"), eastsName) }, []string{dead}, []string{dead}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newKeyedWorld(t)
				w.acquires(west, "p", test.renamers...)
				test.prepare(w)
				w.keep()
				w.carries(westsName)
				w.fenced(test.fenced...)
				record := w.read()
				if !record.Named || !ownership.Owns(record, west) || !slices.Equal(record.Renamers, test.left) {
					t.Errorf("the record is %s", record.Encode())
				}
				calls := len(w.ceph.Calls())
				w.keep()
				if again := w.methods()[calls:]; !slices.Equal(again, []string{"Image", "Record", "Watchers", "Watchers"}) {
					t.Errorf("calls of the next look: %q", again)
				}
			})
		})
	}
}

func (w *keyedWorld) methods() []string {
	var methods []string
	for _, call := range w.ceph.Calls() {
		methods = append(methods, call.Method)
	}
	return methods
}

// This process began before, for a pod, and may be at it yet.
func TestTheNameIsFinishedBesideAnAdmission(t *testing.T) {
	w := newKeyedWorld(t)
	before := w.read()
	w.acquires(west, "p", w.self)
	written := w.read()
	undone := false
	w.ceph.Intercept(func(ctx context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "RenameImage" {
			w.ceph.Intercept(nil)
			_, err := w.client.PutRecord(ctx, w.image(), ownership.Undo(written, before))
			undone = err == nil
		}
		return proceed()
	})
	w.keep()
	if undone {
		t.Error("the admission gave the image back while the leader renames it")
	}
	if record := w.read(); !record.Named || !slices.Equal(record.Renamers, []string{w.self}) {
		t.Errorf("the record is %s", record.Encode())
	}
}

func TestTheNameIsNotGiven(t *testing.T) {
	stranger := ceph.Watcher{Addr: "10.0.1.11:0/1", Client: "client.4", Cookie: 1}
	tests := map[string]func(w *keyedWorld){
		"to an image that another cluster owns": func(w *keyedWorld) { w.acquires(east, "p") },
		"to an image that is being taken":       func(w *keyedWorld) { w.acquires(west, "p"); w.taken(east) },
		"by the key of another cluster":         func(w *keyedWorld) { w.withHandle(eastsName); w.acquires(west, "p") },
		"to an image that nobody owns":          func(*keyedWorld) {},
		"while a client that is silent has its lock": func(w *keyedWorld) {
			w.acquires(west, "p")
			if _, err := w.ceph.OpenImage(exactly("shop.data"), stranger); err != nil {
				w.Fatal(err)
			}
			w.ceph.RemoveWatcher(exactly("shop.data"), stranger)
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t)
			prepare(w)
			w.keep()
			w.keep()
			w.carries("shop.data")
			w.fenced()
			if record := w.read(); record.Named {
				t.Errorf("the record is %s", record.Encode())
			}
		})
	}
}

// Somebody has renamed the image by hand, or a rename back to the base name came late.
func TestALostNameIsGivenAgain(t *testing.T) {
	w := newKeyedWorld(t)
	w.owns(west, "p")
	w.ceph.RenameImage(exactly(westsName), "shop.data")
	w.keep()
	w.carries(westsName)
	if record := w.read(); !record.Named || record.Renamers != nil {
		t.Errorf("the record is %s", record.Encode())
	}
	// A volume with another cluster's key says nothing of the name.
	w.withHandle(eastsName)
	before := w.read()
	w.keep()
	if after := w.read(); after.Revision != before.Revision {
		t.Errorf("the record has become %s", after.Encode())
	}
}

// An image that is idle is released, and gets its base name back. Who may be renaming it
// yet is fenced before.
func TestAKeyedImageIsReleased(t *testing.T) {
	w := newKeyedWorld(t)
	other, address := w.otherClient()
	w.owns(west, "p")
	w.write(func(r *ceph.Record) { r.Renamers = []string{address} })
	w.keep()
	w.fenced()
	w.pass(grace + 1)
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" {
			w.ceph.Intercept(nil)
			w.fenced(address)
		}
		return proceed()
	})
	w.keep()
	if record := w.read(); record.State != ceph.Free || record.Named || record.Renamers != nil {
		t.Errorf("the record is %s", record.Encode())
	}
	w.carries("shop.data")
	w.fenced(address)
	if _, err := other.RenameImage(t.Context(), w.image(), westsName); !errors.Is(err, ceph.ErrBlocklisted) {
		t.Errorf("a late rename: %v", err)
	}
}

// The one who may be renaming it yet is the leader itself: it goes on as another client.
func TestALeaderFencesItself(t *testing.T) {
	w := newKeyedWorld(t)
	w.owns(west, "")
	self := w.self
	w.write(func(r *ceph.Record) { r.Renamers = []string{self} })
	_, err := w.keeper.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "shop.data"}})
	if !errors.Is(err, ceph.ErrBlocklisted) {
		t.Errorf("got %v", err)
	}
	w.redial()
	w.keep()
	w.carries("shop.data")
	w.fenced(self)
	if record := w.read(); record.State != ceph.Free {
		t.Errorf("the record is %s", record.Encode())
	}
}

// What somebody else acquires in between keeps its name.
func TestTheBaseNameIsNotGivenBackLate(t *testing.T) {
	w := newKeyedWorld(t)
	w.owns(west, "")
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "RenameImageFrom" {
			w.ceph.Intercept(nil)
			w.owns(east, "q")
		}
		return proceed()
	})
	w.keep()
	w.carries(eastsName)
	if record := w.read(); !ownership.Owns(record, east) || !record.Named {
		t.Errorf("the record is %s", record.Encode())
	}
	w.fenced()
}

// A replica that has not finished its rename when the proof is complete wins.
func TestARenameDuringTheProof(t *testing.T) {
	w := newKeyedWorld(t)
	w.owns(west, "")
	_, address := w.otherClient()
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" {
			w.ceph.Intercept(nil)
			w.write(func(r *ceph.Record) { r.Named, r.Renamers = false, append(r.Renamers, address); r.Admissions++ })
		}
		return proceed()
	})
	w.keep()
	if record := w.read(); !ownership.Owns(record, west) {
		t.Errorf("the record is %s", record.Encode())
	}
}

// Whoever opened an image of this cluster late, by a name that it had before, is fenced when
// it is seen for the second time.
func TestLateStrangers(t *testing.T) {
	const onE1, onW2, nowhere = "10.0.1.11:0/7", "10.0.2.12:0/7", "10.0.9.9:0/7"
	tests := map[string]struct {
		watcher string
		change  func(r *ceph.Record)
		east    []ceph.Node
		fenced  []string
	}{
		"a node of another cluster":                         {onE1, nil, nodesAt("e1", "10.0.1.11"), []string{onE1}},
		"of whom nothing is known":                          {nowhere, nil, nodesAt("e1", "10.0.1.11"), nil},
		"a node of this cluster":                            {onW2, nil, nodesAt("e1", "10.0.1.11"), nil},
		"a node of this cluster, in another's list as well": {onW2, nil, nodesAt("e9", "10.0.2.12"), nil},
		"where mappings are not private":                    {onE1, func(r *ceph.Record) { r.Private = false }, nodesAt("e1", "10.0.1.11"), nil},
		"while the image is being taken":                    {onE1, fencing, nodesAt("e1", "10.0.1.11"), nil},
		"somebody who renames for this cluster":             {onE1, func(r *ceph.Record) { r.Renamers = []string{onE1} }, nodesAt("e1", "10.0.1.11"), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, pod("p", "data"))
			w.owns(west, "p")
			if test.change != nil {
				w.write(test.change)
			}
			if _, err := w.client.PutRegistration(t.Context(), "replicapool", "", ceph.Registration{Party: east, Nodes: test.east, Written: noon}); err != nil {
				t.Fatal(err)
			}
			w.keep()
			w.ceph.AddWatcher(ofWest, ceph.Watcher{Addr: test.watcher, Client: "client.7", Cookie: 1})
			wait := w.keep()
			w.fenced()
			if test.fenced != nil && wait > time.Second {
				t.Errorf("it is looked at again after %s", wait)
			}
			w.keep()
			w.fenced(test.fenced...)
		})
	}
}

// One that was there at one look, and another one at the next, were both there once.
func TestStrangersThatGo(t *testing.T) {
	w := newKeyedWorld(t, pod("p", "data"))
	w.owns(west, "p")
	if _, err := w.client.PutRegistration(t.Context(), "replicapool", "", ceph.Registration{Party: east, Nodes: nodesAt("e1", "10.0.1.11"), Written: noon}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		watcher := ceph.Watcher{Addr: fmt.Sprintf("10.0.1.11:0/%d", i+1), Client: "client.7", Cookie: 1}
		w.ceph.AddWatcher(ofWest, watcher)
		w.keep()
		w.ceph.RemoveWatcher(ofWest, watcher)
		if i == 1 {
			w.keep() // nobody is there
		}
	}
	w.fenced()
}

func fencing(r *ceph.Record) {
	r.State, r.Takeover, r.Named = ceph.Fencing, &ceph.Takeover{Party: east, By: "ann", Since: noon}, false
}

func nodesAt(name, address string) []ceph.Node {
	return []ceph.Node{{Name: name, Addresses: []string{address}}}
}
