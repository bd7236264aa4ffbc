package takeover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/planning"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// east is the cluster that is dead, and west takes its images.
func east() ceph.Party { return ceph.Party{UID: "u-east", Name: "east"} }
func west() ceph.Party { return ceph.Party{UID: "u-west", Name: "west"} }

// errKilled is what everything answers to a program that was killed.
var errKilled = errors.New("killed")

// rig is west, with volumes shop/a, shop/b and shop/c, whose images east owns. They carry its name,
// but that of c, which is fenced by machines.
type rig struct {
	*testing.T
	ceph *cephtest.Ceph
	// api is a person's.
	api client.WithWatch
	*Controller
	// storage is the controller's connection, and admin somebody else's.
	storage, admin ceph.Cluster
	writers        map[string]*cephtest.Writer
	mu             sync.Mutex
	// running: what is called now, the controller calls.
	running bool
	// left is how many of its calls are answered before it is killed; below zero: all.
	left int
	// before is asked before each of its calls, and may refuse it.
	before func(call string) error
	// changes are those that have changed something in Ceph.
	changes []string
}

// Cluster implements inventory.Storages.
func (r *rig) Cluster(context.Context, string) (ceph.Cluster, string, error) {
	return r.storage, "", nil
}

func spec(claim string) ceph.ImageSpec {
	s := ceph.ImageSpec{Pool: "rbd", Name: "shop." + claim}
	if claim != "c" {
		s.Key = "west"
	}
	return s
}

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: name}}
}

func clientOf(claim string) string { return "10.0.1.11:0/" + fmt.Sprint(100+int(claim[0])) }

func newRig(t *testing.T, user cephtest.User) *rig {
	t.Helper()
	r := &rig{T: t, writers: map[string]*cephtest.Writer{}, left: -1}
	layout := ceph.Layout{Size: 1 << 20, Features: []string{"exclusive-lock", "layering"}}
	pool := cephtest.Pool{Name: "rbd"}
	for _, claim := range []string{"a", "b", "c"} {
		pool.Images = append(pool.Images, cephtest.Image{Name: "shop." + claim, Layout: layout, ClaimSize: 1 << 20})
	}
	r.ceph = cephtest.New(pool)
	r.admin = r.dial(cephtest.Provisioner)
	if _, err := r.admin.ClaimKey(t.Context(), "rbd", "", east()); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "w1", UID: "object of w1"},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.2.11"}}, NodeInfo: corev1.NodeSystemInfo{BootID: "boot of w1"}},
	}}
	for _, claim := range []string{"a", "b", "c"} {
		opened := ceph.ImageSpec{Pool: "rbd", Name: "shop." + claim}
		keyed := claim != "c"
		if keyed {
			opened.Name += "~east"
			r.ceph.RenameImage(ceph.ImageSpec{Pool: "rbd", Name: "shop." + claim}, opened.Name)
		}
		writer, err := r.ceph.OpenImage(opened, ceph.Watcher{Addr: clientOf(claim), Client: "client." + claim, Cookie: 1})
		if err != nil {
			t.Fatal(err)
		}
		r.writers[claim] = writer
		r.put(claim, ceph.Record{
			State: ceph.Held, Epoch: 1, Admissions: 1, Exclusive: true, Keyed: keyed, Private: keyed, Named: keyed,
			Owner: &ceph.Owner{
				Party: east(), Namespace: "shop", Claim: claim, Since: time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC),
				Nodes: []ceph.Node{{Name: "e1", Addresses: []string{"10.0.1.11"}, BootID: "boot of e1", UID: "object of e1", Clients: []string{clientOf(claim)}}},
			},
		})
		objects = append(objects, pv(claim, spec(claim).Own()))
	}
	r.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.Takeover{}).Build()
	r.restart(user)
	return r
}

func pv(claim, handle string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "shop." + claim, UID: "object of pv"},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: handle,
				VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
			}},
		},
	}
}

func (r *rig) dial(user cephtest.User) ceph.Cluster {
	r.Helper()
	storage, err := r.ceph.Dial(context.Background(), user)
	if err != nil {
		r.Fatal(err)
	}
	return storage
}

// answered counts a call, and is the error of those that are not carried out.
func (r *rig) answered(call string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.running {
		return nil
	}
	if r.left == 0 {
		return errKilled
	}
	if r.before != nil {
		if err := r.before(call); err != nil {
			return err
		}
	}
	r.left--
	if changesCeph(call) {
		r.changes = append(r.changes, call)
	}
	return nil
}

func changesCeph(call string) bool {
	return slices.Contains([]string{"PutRecord", "Blocklist", "Unblocklist", "RenameImage", "RenameImageFrom", "ClaimKey"}, call)
}

// restart is another leader: its connection to Ceph is another client.
func (r *rig) restart(user cephtest.User) {
	r.left, r.before, r.changes = -1, nil, nil
	r.storage = r.dial(user)
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if err := r.answered(call.Method); err != nil {
			return err
		}
		return proceed()
	})
	api := interceptor.NewClient(r.api, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
			if err := r.answered("get"); err != nil {
				return err
			}
			return c.Get(ctx, key, into, options...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			if err := r.answered(sub); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, object, patch, options...)
		},
	})
	r.Controller = &Controller{
		Planner: &planning.Planner{
			Inventory: &inventory.Inventory{
				API: api, Finder: volumes.Finder{Cache: api, API: api, Scope: volumes.ScopeMigratable},
				Usage: &usage.Gatherer{API: api}, Storages: r,
			},
			Entry: func(context.Context, string) (csiconfig.Entry, error) {
				return csiconfig.Entry{ClusterID: "rook-ceph", Monitors: []string{"10.0.0.1"}}, nil
			},
		},
		Self: west(), API: api, Client: api, Renew: func(ceph.Cluster) {}, Log: logr.Discard(), Now: time.Now,
	}
}

func (r *rig) put(claim string, record ceph.Record) {
	r.Helper()
	r.ceph.WriteRecord(r.image(claim), record.Encode())
}

func (r *rig) image(claim string) ceph.Image {
	r.Helper()
	image, err := r.admin.Image(context.Background(), spec(claim))
	if err != nil {
		r.Fatal(err)
	}
	return image
}

func (r *rig) record(claim string) ceph.Record {
	r.Helper()
	record, err := r.admin.Record(context.Background(), r.image(claim))
	if err != nil {
		r.Fatal(err)
	}
	return record
}

// create is a person's Takeover of claims, or of all.
func (r *rig) create(name, by string, claims ...string) {
	r.Helper()
	t := &v1alpha1.Takeover{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Now()}, Spec: v1alpha1.TakeoverSpec{From: "east", By: by, All: len(claims) == 0}}
	for _, claim := range claims {
		t.Spec.Claims = append(t.Spec.Claims, v1alpha1.ClaimReference{Namespace: "shop", Name: claim})
	}
	r.add(t)
}

func (r *rig) add(t *v1alpha1.Takeover) {
	r.Helper()
	if err := r.api.Create(context.Background(), t); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) get(name string) *v1alpha1.Takeover {
	r.Helper()
	var t v1alpha1.Takeover
	if err := r.api.Get(context.Background(), client.ObjectKey{Name: name}, &t); err != nil {
		r.Fatal(err)
	}
	return &t
}

// confirm writes spec.confirm.
func (r *rig) confirm(name, hash string) {
	r.Helper()
	t := r.get(name)
	t.Spec.Confirm = hash
	if err := r.api.Update(context.Background(), t); err != nil {
		r.Fatal(err)
	}
}

// reconcile does it once, and returns the object after that.
func (r *rig) reconcile(name string) (*v1alpha1.Takeover, error) {
	r.Helper()
	r.mu.Lock()
	r.running = true
	r.mu.Unlock()
	_, err := r.Reconcile(context.Background(), request(name))
	r.mu.Lock()
	r.running = false
	r.mu.Unlock()
	return r.get(name), err
}

// must is reconcile without an error, to that phase.
func (r *rig) must(name string, phase v1alpha1.TakeoverPhase) *v1alpha1.Takeover {
	r.Helper()
	t, err := r.reconcile(name)
	if err != nil || t.Status.Phase != phase {
		r.Fatalf("%s is %s, %v; want %s. It says %s", name, t.Status.Phase, err, phase, t.Status.Message)
	}
	return t
}

// wantTaken: the images are west's, and who wrote to them for east never writes again.
func (r *rig) wantTaken(by string, claims ...string) {
	r.Helper()
	for _, claim := range claims {
		record := r.record(claim)
		if record.State != ceph.Held || record.Owner.Party != west() {
			r.Errorf("image of %s: %s, owner %+v", claim, record.State, record.Owner)
		}
		last := record.History[len(record.History)-1]
		if last.Event != ceph.TakenOver || last.By != by {
			r.Errorf("image of %s: the last in its history is %+v", claim, last)
		}
		n := 0
		for _, change := range record.History {
			if change.Event == ceph.TakenOver {
				n++
			}
		}
		if n != 1 {
			r.Errorf("image of %s was taken over %d times", claim, n)
		}
		if err := r.writers[claim].Write("late"); !errors.Is(err, ceph.ErrBlocklisted) {
			r.Errorf("the client of east writes to the image of %s: %v", claim, err)
		}
		if want := spec(claim).Own(); claim != "c" && r.image(claim).Named != want {
			r.Errorf("image of %s carries the name %s; want %s", claim, r.image(claim).Named, want)
		}
	}
}

// wantEasts: nobody has touched the images.
func (r *rig) wantEasts(claims ...string) {
	r.Helper()
	for _, claim := range claims {
		record := r.record(claim)
		if record.State != ceph.Held || record.Owner.Party != east() {
			r.Errorf("image of %s: %s, owner %+v", claim, record.State, record.Owner)
		}
		if err := r.writers[claim].Write("alive"); err != nil {
			r.Errorf("the client of east cannot write to the image of %s: %v", claim, err)
		}
	}
}

func wantSays(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}
