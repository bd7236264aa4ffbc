package guard_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/ownership"
)

const (
	baseName  = "shop.data"
	westsName = baseName + "~west"
	eastsName = baseName + "~east"
)

// keyedAs gives a volume a handle with a key.
func keyedAs(key string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle += "~" + key }
}

// keyedWorld is west with a pair for an image that carries its owner's name, which nobody owns.
type keyedWorld struct {
	*world
	self string
}

func newKeyedWorld(t *testing.T, key string, objects ...client.Object) *keyedWorld {
	t.Helper()
	w := &keyedWorld{world: newWorld(t, nil, append(pair("data", keyedAs(key)), append(objects, deployment("data"))...)...)}
	w.make(baseName)
	w.claimKey(east)
	w.put(func(r *ceph.Record) { r.Keyed, r.Private = true, true })
	var err error
	if w.self, err = w.client.Self(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// exactly is an image by exactly that name.
func exactly(name string) ceph.ImageSpec { return ceph.ImageSpec{Pool: "replicapool", Name: name} }

func (w *keyedWorld) make(name string) {
	w.t.Helper()
	if _, err := w.client.CreateImage(w.t.Context(), exactly(name), ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock"}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *keyedWorld) claimKey(cluster ceph.Party) {
	w.t.Helper()
	if _, err := w.client.ClaimKey(w.t.Context(), "replicapool", "", cluster); err != nil {
		w.t.Fatal(err)
	}
}

func (w *keyedWorld) found() ceph.Image {
	w.t.Helper()
	image, err := w.client.Image(w.t.Context(), ceph.ImageSpec{Pool: "replicapool", Name: baseName, Key: "west"})
	if err != nil {
		w.t.Fatal(err)
	}
	return image
}

func (w *keyedWorld) read() ceph.Record {
	w.t.Helper()
	record, err := ownership.Read(w.t.Context(), w.client, w.found())
	if err != nil {
		w.t.Fatal(err)
	}
	return record
}

func (w *keyedWorld) put(change func(*ceph.Record)) {
	w.t.Helper()
	_, err := ownership.Change(w.t.Context(), w.client, w.found(), func(stored ceph.Record) (ceph.Record, error) {
		change(&stored)
		return stored, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *keyedWorld) carries(names ...string) {
	w.t.Helper()
	got, err := w.client.ImageNames(w.t.Context(), w.found(), baseName, westsName, eastsName)
	if err != nil || !slices.Equal(got, names) {
		w.t.Errorf("the image has the names %q, %v; want %q", got, err, names)
	}
}

// wests checks that the image is west's, and that its record says so.
func (w *keyedWorld) wests(renamers ...string) {
	w.t.Helper()
	w.carries(westsName)
	if record := w.read(); !ownership.Owns(record, west) || !record.Named || !slices.Equal(record.Renamers, renamers) {
		w.t.Errorf("the record is %s", record.Encode())
	}
}

// nobodys checks that nobody owns the image.
func (w *keyedWorld) nobodys() {
	w.t.Helper()
	if record := w.read(); record.State != ceph.Free || record.Named || record.Renamers != nil || !record.Keyed {
		w.t.Errorf("the record is %s", record.Encode())
	}
}

func (w *keyedWorld) fenced(want ...string) {
	w.t.Helper()
	entries, err := w.client.Blocklisted(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Addr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("on the blocklist -want +got:\n%s", diff)
	}
}

// at is done once, when Ceph is asked for that the given time.
func (w *keyedWorld) at(method string, time int, do func()) {
	seen := 0
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == method {
			if seen++; seen == time {
				w.ceph.Intercept(nil)
				do()
			}
		}
		return proceed()
	})
}

// another replica of west's webhook.
func (w *keyedWorld) another() (ceph.Cluster, string) {
	w.t.Helper()
	other, err := w.ceph.Dial(w.t.Context(), cephtest.Provisioner)
	if err != nil {
		w.t.Fatal(err)
	}
	self, err := other.Self(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return other, self
}

func (w *keyedWorld) since(before int) []string { return w.calls()[before:] }

// The first acquisition gives the image its name. Later ones cost what they cost without
// keys; nobody is asked for the own address.
func TestKeyedCalls(t *testing.T) {
	w := newKeyedWorld(t, "west")
	w.claimKey(west)
	before := len(w.calls())
	same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p1", "data")))
	same(t, []string{
		"Image", "Record", "Watchers", "Self", "PutRecord",
		"ClaimKey", "Keys", "RenameImage", "Image", "Image", "LockHolder",
		"Image", "Record", "Watchers", "PutRecord",
	}, w.since(before))
	w.wests()

	before = len(w.calls())
	same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p2", "data")))
	same(t, []string{"Image", "Record", "Watchers", "Self", "PutRecord"}, w.since(before))
	w.wests()
	w.fenced()

	before = len(w.calls())
	same(t, allowed(guard.NoWatcher), w.ask("pod", dryRun(withUID(t, "p3", "data"))))
	same(t, allowed(guard.NoWatcher), w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)))
	same(t, []string{"Image", "Record", "Watchers", "Image", "Record", "Watchers"}, w.since(before))
}

// Without keys nothing is more than it was.
func TestUnkeyedCalls(t *testing.T) {
	w := newWorld(t, []string{baseName}, pair("data")...)
	for range 2 {
		before := len(w.calls())
		same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p1", "data")))
		same(t, []string{"Image", "Record", "Watchers", "PutRecord"}, w.calls()[before:])
	}
}

// Whichever admission comes first, and whatever name the image has.
func TestTheFirstAcquisitionNames(t *testing.T) {
	tests := map[string]struct {
		endpoint string
		request  admission.Request
		objects  []client.Object
		prepare  func(w *keyedWorld)
	}{
		"for a pod":     {"pod", withUID(t, "p1", "data"), nil, nil},
		"for a binding": {"binding", bound(t, "db-0", "west-1"), []client.Object{pod("db-0", "data")}, nil},
		"for a volume":  {"volume", createVolume(t, volume("data", keyedAs("west"))), []client.Object{pod("db-0", "data")}, nil},
		"when the last owner did not give it back": {"pod", withUID(t, "p1", "data"), nil, func(w *keyedWorld) {
			w.ceph.RenameImage(exactly(baseName), eastsName)
		}},
		"when it has the name, and a rename is half done": {"pod", withUID(t, "p1", "data"), nil, func(w *keyedWorld) {
			w.ceph.HalfRenameImage(exactly(baseName), westsName, true)
		}},
		"when a rename is half done, and Ceph lists the other name": {"pod", withUID(t, "p1", "data"), nil, func(w *keyedWorld) {
			w.ceph.HalfRenameImage(exactly(baseName), westsName, false)
		}},
		"when an admission died, or who failed over dropped that": {"pod", withUID(t, "p1", "data"), nil, func(w *keyedWorld) {
			w.put(func(r *ceph.Record) { owned(west)(r) })
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, "west", test.objects...)
			if test.prepare != nil {
				test.prepare(w)
			}
			same(t, allowed(guard.NoWatcher), w.ask(test.endpoint, test.request))
			w.wests()
			w.fenced()
		})
	}
}

// What does not fit is refused, and nothing is changed, or it is given back.
func TestKeysThatDoNotFit(t *testing.T) {
	const volumeData = "volume shop/data (image replicapool/shop.data) cannot be used "
	const made = "\n  do this   delete the PersistentVolume and let it be created again; nothing was changed"
	tests := map[string]struct {
		key     string
		prepare func(w *keyedWorld)
		want    string
	}{
		"the key of another cluster": {
			"east", nil,
			volumeData + `here: the volumeHandle "shop.data~east" has the key "east", and that of cluster west is "west"` +
				"\n  do this   delete the PersistentVolume and let it be created again in this cluster; no pod was started",
		},
		"the key of a cluster of the same name": {
			"west", func(w *keyedWorld) { w.claimKey(ceph.Party{UID: "u-3", Name: "west"}) },
			volumeData + `here: another cluster (uid u-3) is called "west" too, and was first` +
				"\n  do this   give this cluster another name, with the value cluster.name of the chart; no pod was started",
		},
		"a key for an image that is not keyed": {
			"west", func(w *keyedWorld) { w.put(func(r *ceph.Record) { r.Keyed, r.Private = false, false }) },
			volumeData + "by PersistentVolume shop.data: the handle has the key west, and the image is not keyed" + made,
		},
		"a key for an image without a record": {
			"west", func(w *keyedWorld) { w.ceph.RemoveImage(exactly(baseName)); w.make(baseName) },
			volumeData + "by PersistentVolume shop.data: the handle has the key west, and the image has no record to say that it is keyed" + made,
		},
		"no key for an image that is keyed": {
			"", nil,
			volumeData + "by PersistentVolume shop.data: the image is keyed, and the handle has no key" +
				"\n  do this   run `kubectl cephferry rekey shop/data` in this cluster; nothing was changed",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, "west")
			if test.prepare != nil {
				test.prepare(w)
			}
			change := func(*corev1.PersistentVolume) {}
			if test.key != "" {
				change = keyedAs(test.key)
			}
			w.replace(volume("data", change))
			keyed := w.read().Keyed
			waits := &waiting{}
			handler := w.handler("pod")
			handler.Waiting = waits
			object := pod("db-0", "data")
			response := handler.Handle(t.Context(), createPodOf(t, object))
			if got := response.Result.Message; response.Allowed || got != "\n"+test.want || response.Result.Code != 403 {
				t.Errorf("got %d %s\nwant %s", response.Result.Code, got, test.want)
			}
			// It would be tried again and again: nobody has the volume.
			if waits.refused != nil {
				t.Errorf("who waits: %q", waits.refused)
			}
			w.carries(baseName)
			if record := w.read(); record.State != ceph.Free || record.Keyed != keyed {
				t.Errorf("the record is %s", record.Encode())
			}
		})
	}
}

// replace makes the volume what it is now, in the cache and at the API server.
func (w *keyedWorld) replace(pv *corev1.PersistentVolume) {
	w.t.Helper()
	for _, r := range []*reader{w.api, w.cache} {
		c := r.Reader.(client.Client)
		stored := &corev1.PersistentVolume{}
		if err := c.Get(w.t.Context(), client.ObjectKeyFromObject(pv), stored); err != nil {
			w.t.Fatal(err)
		}
		stored.Spec = pv.Spec
		if err := c.Update(w.t.Context(), stored); err != nil {
			w.t.Fatal(err)
		}
	}
}

func createPodOf(t *testing.T, object *corev1.Pod) admission.Request {
	t.Helper()
	object.UID = "p1"
	object.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "db-1", Controller: ptr(true)}}
	return createPod(t, object)
}

// Somebody has made another image while the one with the data bore a cluster's name.
func TestTwoImagesOfOneName(t *testing.T) {
	w := newKeyedWorld(t, "west")
	w.claimKey(west)
	w.ceph.RenameImage(exactly(baseName), westsName)
	w.make(baseName)
	got := w.ask("pod", withUID(t, "p1", "data"))
	if got.Code != 403 || !strings.Contains(got.Message, "there are two images of that name: shop.data~west with the id ") {
		t.Errorf("got %+v", got)
	}
	w.nobodys()
}

// Whoever resolved another name a moment before may have opened the image since.
func TestStrangersBesideTheName(t *testing.T) {
	stranger := ceph.Watcher{Addr: foreign, Client: "client.4153", Cookie: 1}
	silent := func(w *keyedWorld, name string) {
		if _, err := w.ceph.OpenImage(exactly(name), stranger); err != nil {
			w.t.Fatal(err)
		}
		w.ceph.RemoveWatcher(exactly(name), stranger)
	}
	const cannotBeTaken = "volume shop/data (image replicapool/shop.data) cannot be taken for west: "
	const byWhom = "the image is mapped exclusively and cannot be changed now: its lock is held by client.4153 at " + foreign + ", which does not answer\n" +
		"  do this   run the same command again in half a minute; if that client is gone for good, fence it first (`ceph osd blocklist add " + foreign + " 1576800000`); no pod was started"
	tests := map[string]struct {
		prepare func(w *keyedWorld)
		want    answer
		names   string
	}{
		"who opened it between the rename and the look": {
			func(w *keyedWorld) { w.at("LockHolder", 1, func() { w.ceph.AddWatcher(exactly(westsName), stranger) }) },
			denied(inUse("data", baseName)), westsName,
		},
		"who opened it before the rename": {
			func(w *keyedWorld) { w.at("RenameImage", 1, func() { w.ceph.AddWatcher(exactly(baseName), stranger) }) },
			denied(inUse("data", baseName)), westsName,
		},
		"who has its lock and is silent, and it has the name already": {
			func(w *keyedWorld) {
				w.claimKey(west)
				w.ceph.RenameImage(exactly(baseName), westsName)
				silent(w, westsName)
			},
			denied(cannotBeTaken + byWhom), westsName,
		},
		"who has its lock and is silent": {
			func(w *keyedWorld) { silent(w, baseName) },
			unknown(cannotBeTaken + "give it the name shop.data~west: rename image \"replicapool/shop.data\": " + byWhom), baseName,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, "west")
			test.prepare(w)
			same(t, test.want, w.ask("pod", withUID(t, "p1", "data")))
			w.nobodys()
			w.carries(test.names)
			w.fenced()
			if w.free() {
				t.Error("who waits for the volume is woken again and again")
			}
		})
	}
}

// A dead client keeps the lock until somebody takes it over. Once it is fenced for good it is
// not in the way; Ceph's own entry of an hour is over before a client that was only silent is.
func TestADeadClientHasTheLock(t *testing.T) {
	dead := ceph.Watcher{Addr: foreign, Client: "client.4153", Cookie: 1}
	for _, name := range []string{baseName, westsName} {
		for lasting, code := range map[time.Duration]int32{ceph.MaxFence: 200, time.Hour: 403} {
			if name == baseName {
				code = 200 // the rename takes the lock over
			}
			t.Run(fmt.Sprintf("of %s, and is fenced for %s", name, lasting), func(t *testing.T) {
				w := newKeyedWorld(t, "west")
				w.claimKey(west)
				w.ceph.RenameImage(exactly(baseName), name)
				if _, err := w.ceph.OpenImage(exactly(name), dead); err != nil {
					t.Fatal(err)
				}
				w.ceph.RemoveWatcher(exactly(name), dead)
				if w.free() {
					t.Error("it is free before")
				}
				if err := w.client.Blocklist(t.Context(), []string{foreign}, lasting); err != nil {
					t.Fatal(err)
				}
				if !w.free() {
					t.Error("nobody is woken")
				}
				if got := w.ask("pod", withUID(t, "p1", "data")); got.Code != code {
					t.Errorf("got %+v", got)
				}
				if code == 200 {
					w.wests()
				}
			})
		}
	}
}

// free is what who waits for the volume is woken by.
func (w *keyedWorld) free() bool {
	w.t.Helper()
	found, err := w.endpoints.Finder.OfClaims(w.t.Context(), namespace, []string{"data"})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.endpoints.Free(w.t.Context(), found.Guarded)
}

// A replica that gives the image the same name at the same time is no stranger: not while it
// watches, nor while it has the lock, nor when it is done.
func TestReplicasBesideTheName(t *testing.T) {
	begin := func(w *keyedWorld, self string) {
		w.put(func(r *ceph.Record) {
			next, err := ownership.Acquire(*r, ownership.Request{Cluster: west, Namespace: "shop", Claim: "data", Pod: "other", Renamer: self, Now: noon})
			if err != nil {
				w.t.Fatal(err)
			}
			*r = next
		})
	}
	finish := func(w *keyedWorld, self string) {
		w.put(func(r *ceph.Record) {
			next, err := ownership.FinishName(*r, *r, self)
			if err != nil {
				w.t.Fatal(err)
			}
			*r = next
		})
	}
	tests := map[string]func(w *keyedWorld, self string){
		"that begins before the record is read": func(w *keyedWorld, self string) {
			begin(w, self)
			w.ceph.AddWatcher(exactly(baseName), ceph.Watcher{Addr: self, Client: "client.2"})
		},
		"that begins when the record was read": func(w *keyedWorld, self string) {
			w.at("Watchers", 1, func() {
				begin(w, self)
				w.ceph.AddWatcher(exactly(baseName), ceph.Watcher{Addr: self, Client: "client.2"})
			})
		},
		"that is at it when the watchers are listed after the rename": func(w *keyedWorld, self string) {
			w.at("Watchers", 2, func() {
				begin(w, self)
				w.ceph.AddWatcher(exactly(westsName), ceph.Watcher{Addr: self, Client: "client.2"})
			})
		},
		"that has the lock a moment before it is done": func(w *keyedWorld, self string) {
			w.at("LockHolder", 1, func() {
				begin(w, self)
				writer, err := w.ceph.OpenImage(exactly(westsName), ceph.Watcher{Addr: self, Client: "client.2"})
				if err != nil {
					w.t.Fatal(err)
				}
				w.at("Image", 1, func() {
					writer.Close()
					finish(w, self)
				})
			})
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, "west")
			w.claimKey(west)
			_, self := w.another()
			prepare(w, self)
			if got := w.ask("pod", withUID(t, "p1", "data")); got.Code != 200 {
				t.Errorf("got %+v", got)
			}
			w.carries(westsName)
			if record := w.read(); !record.Named || !ownership.Owns(record, west) {
				t.Errorf("the record is %s", record.Encode())
			}
			w.fenced()
		})
	}
}

// A rename without an answer may be done yet: the image stays this cluster's, and who goes
// on knows who began.
func TestARenameWithoutAnAnswer(t *testing.T) {
	for name, done := range map[string]bool{"it was done": true, "it was not done": false} {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, "west")
			w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method != "RenameImage" {
					return proceed()
				}
				if done {
					if err := proceed(); err != nil {
						return err
					}
				}
				return ceph.ErrUnreachable
			})
			if got := w.ask("pod", withUID(t, "p1", "data")); got.Code != 500 {
				t.Errorf("got %+v", got)
			}
			w.ceph.Intercept(nil)
			if record := w.read(); !ownership.Owns(record, west) || record.Named || !slices.Equal(record.Renamers, []string{w.self}) {
				t.Errorf("the record is %s", record.Encode())
			}
			// Another replica goes on; the first one may be at it yet.
			first := w.self
			other, _ := w.another()
			w.clusters["rook-ceph"] = struct {
				guard.Ceph
				radosNamespace string
			}{other, ""}
			same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p2", "data")))
			w.wests(first)
			w.fenced()
			// So does the first one, and it does not know either whether it is done.
			w.put(func(r *ceph.Record) { r.Named = false })
			w.clusters["rook-ceph"] = struct {
				guard.Ceph
				radosNamespace string
			}{w.client, ""}
			same(t, allowed(guard.NoWatcher), w.ask("pod", withUID(t, "p3", "data")))
			w.wests(first)
		})
	}
}

// A pod with two volumes has both or none.
func TestTwoKeyedVolumes(t *testing.T) {
	w := newKeyedWorld(t, "west", pair("more", keyedAs("west"))...)
	w.make("shop.more")
	image, err := w.client.Image(t.Context(), exactly("shop.more"))
	if err != nil {
		t.Fatal(err)
	}
	w.ceph.WriteRecord(image, ceph.Record{Keyed: true}.Encode())
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "RenameImage" && call.Image.Name == "shop.more" {
			return ceph.ErrImageLocked
		}
		return proceed()
	})
	if got := w.ask("pod", withUID(t, "p1", "data", "more")); got.Code != 500 {
		t.Errorf("got %+v", got)
	}
	w.nobodys()
}

// Who asks for its own address and hears nothing is woken when the volume is free.
func TestWithoutAnAddress(t *testing.T) {
	w := newKeyedWorld(t, "west")
	w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "Self" {
			return ceph.ErrUnreachable
		}
		return proceed()
	})
	waits := &waiting{}
	handler := w.handler("pod")
	handler.Waiting = waits
	response := handler.Handle(t.Context(), createPodOf(t, pod("db-0", "data")))
	if response.Allowed || response.Result.Code != 500 || len(waits.refused) != 1 {
		t.Errorf("got %+v; who waits: %q", response.Result, waits.refused)
	}
	w.nobodys()
}

// A watcher that nobody explains may be gone in a moment: who had the image gives it its base
// name, or ceph-csi in another cluster looks whether it is in use.
func TestAWatcherThatPasses(t *testing.T) {
	const refused = "is in use by another cluster"
	for name, test := range map[string]struct {
		prepare func(r *ceph.Record)
		// stays: it does not go. looks is how often watchers are listed.
		stays bool
		looks int
		want  string
	}{
		"of an image that nobody owns":               {nil, false, 2, ""},
		"of an image that nobody owns, and it stays": {nil, true, 3, refused},
		"of our own image":                           {owned(west), false, 2, ""},
		"of our own image, and it stays":             {owned(west), true, 3, refused},
		"of another cluster's image":                 {owned(east), true, 1, refused},
	} {
		t.Run(name, func(t *testing.T) {
			w := newKeyedWorld(t, "west")
			w.endpoints.Guard.Moment = time.Millisecond
			if test.prepare != nil {
				w.put(test.prepare)
			}
			w.watch(baseName, "10.0.9.9:0/1")
			if !test.stays {
				w.at("Watchers", 2, func() {
					w.ceph.RemoveWatcher(exactly(baseName), ceph.Watcher{Addr: "10.0.9.9:0/1", Client: "client.4153", Cookie: 1})
				})
			}
			before := len(w.calls())
			got := w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1))
			if (got.Code == 200) != (test.want == "") || !strings.Contains(got.Message, test.want) {
				t.Errorf("got %+v", got)
			}
			looks := 0
			for _, call := range w.since(before) {
				if call == "Watchers" {
					looks++
				}
			}
			if looks != test.looks {
				t.Errorf("%d looks; want %d", looks, test.looks)
			}
		})
	}
	t.Run("of an image without keys that nobody owns", func(t *testing.T) {
		w := newWorld(t, []string{baseName}, append(pair("data"), deployment("data"))...)
		w.endpoints.Guard.Moment = time.Hour
		w.watch(baseName, "10.0.9.9:0/1")
		if got := w.ask("scale", scaled(t, deploymentKind, "deployments", 0, 1)); got.Code != 403 {
			t.Errorf("got %+v", got)
		}
	})
}
