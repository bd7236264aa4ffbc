package rekey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/idle"
	"github.com/cephferry/cephferry/pkg/ownership"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

var (
	east  = ceph.Party{UID: "u-east", Name: "east"}
	west  = ceph.Party{UID: "u-west", Name: "west"}
	since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)
)

var errKilled = errors.New("killed")

// rig is east with the pair of claim shop/data, whose image has no key.
type rig struct {
	*testing.T
	ceph    *cephtest.Ceph
	storage ceph.Cluster
	api     client.WithWatch
	rekeyer *Rekeyer
	said    []string
	// writes are those to come before the run dies; negative: it lives. done says that the
	// last one is done before.
	writes int
	done   bool
	// changed are the methods that wrote.
	changed []string
}

func newRig(t *testing.T, record *ceph.Record, change func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim), more ...client.Object) *rig {
	t.Helper()
	r := &rig{T: t, writes: -1}
	r.ceph = cephtest.New(cephtest.Pool{Name: "rbd", Images: []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: 1 << 24}}}})
	var err error
	if r.storage, err = r.ceph.Dial(t.Context(), cephtest.Provisioner); err != nil {
		t.Fatal(err)
	}
	if record != nil {
		r.ceph.WriteRecord(r.image(), record.Encode())
	}
	pv, pvc := volume("data"), claim("data")
	if change != nil {
		change(pv, pvc)
	}
	objects := append([]client.Object{pv, pvc}, more...)
	r.api = fake.NewClientBuilder().WithObjects(objects...).WithStatusSubresource(&corev1.PersistentVolume{}).WithInterceptorFuncs(r.apiServer()).Build()
	gatherer := &usage.Gatherer{API: r.api}
	r.rekeyer = &Rekeyer{
		API: r.api, Finder: volumes.Finder{Cache: r.api, API: r.api, Scope: volumes.ScopeMigratable},
		Image: func(_ context.Context, v volumes.Volume) (idle.Ceph, ceph.ImageSpec, error) {
			return r.storage, ceph.ImageSpec{Pool: v.Image.Pool, Name: v.Image.Name, Key: v.Image.Key}, nil
		},
		Prover: &idle.Prover{Self: east, Usage: gatherer, Quiet: &ownership.Quiet{Grace: time.Second}, Now: time.Now},
		Person: idle.Person{By: "ann"}, Copies: Copies{t.TempDir()}, Limit: time.Minute,
		Wait: func(_ context.Context, rest time.Duration) error { time.Sleep(rest + time.Millisecond); return nil },
	}
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		return r.step(call.Method, slices.Contains([]string{"PutRecord", "ClaimKey", "RenameImage", "RenameImageFrom", "Blocklist"}, call.Method), proceed)
	})
	return r
}

// step does what a call does, unless the run is dead, or dies with it.
func (r *rig) step(method string, write bool, proceed func() error) error {
	if r.writes == 0 {
		return errKilled
	}
	if !write {
		return proceed()
	}
	r.writes--
	if r.writes == 0 && !r.done {
		return errKilled
	}
	r.changed = append(r.changed, method)
	if err := proceed(); err != nil {
		return err
	}
	if r.writes == 0 {
		return errKilled
	}
	return nil
}

// apiServer is one whose controllers bind each volume that is made, and take back no
// finalizer.
func (r *rig) apiServer() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return r.step("get", false, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, o client.ObjectList, opts ...client.ListOption) error {
			return r.step("list", false, func() error { return c.List(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return r.step("delete", true, func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return r.step("patch", true, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return r.step("create", true, func() error {
				if err := c.Create(ctx, o, opts...); err != nil {
					return err
				}
				pv := o.DeepCopyObject().(*corev1.PersistentVolume)
				pv.Status.Phase = corev1.VolumeBound
				return c.Status().Update(ctx, pv)
			})
		},
	}
}

func volume(name string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop." + name, UID: "u-old", Labels: map[string]string{"team": "shop"}, Finalizers: []string{protection},
			Annotations: map[string]string{"cephferry.io/migratable": "true", "pv.kubernetes.io/bound-by-controller": "yes"},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("16Mi")},
			ClaimRef:                      &corev1.ObjectReference{Namespace: "shop", Name: name, UID: "u-claim"},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop." + name,
				VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true", "mapOptions": "exclusive"},
			}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
}

func claim(name string) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u-claim"}}
	c.Spec.VolumeName, c.Status.Phase = "shop."+name, corev1.ClaimBound
	return c
}

func pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", UID: "u-pod"}}
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
	}}}
	return p
}

func held(by ceph.Party, change ...func(*ceph.Record)) *ceph.Record {
	record := &ceph.Record{State: ceph.Held, ClaimSize: 1 << 24, Exclusive: true, Owner: &ceph.Owner{Party: by, Namespace: "shop", Claim: "data", Since: since}}
	for _, c := range change {
		c(record)
	}
	return record
}

func (r *rig) image() ceph.Image {
	r.Helper()
	image, err := r.storage.Image(r.Context(), ceph.ImageSpec{Pool: "rbd", Name: "shop.data", Key: "nobody"})
	if err != nil {
		r.Fatal(err)
	}
	return image
}

func (r *rig) rekey() error {
	r.said = nil
	return r.rekeyer.Rekey(r.Context(), "shop", "data", func(step string) {
		r.said = append(r.said, strings.ReplaceAll(step, r.rekeyer.Copies.Dir, "."))
	})
}

// record is as it is stored.
func (r *rig) record() ceph.Record {
	r.Helper()
	record, err := ownership.Read(r.Context(), r.storage, r.image())
	if err != nil {
		r.Fatal(err)
	}
	return record
}

// isKeyed checks the whole pair.
func (r *rig) isKeyed() {
	r.Helper()
	var pv corev1.PersistentVolume
	if err := r.api.Get(r.Context(), client.ObjectKey{Name: "shop.data"}, &pv); err != nil {
		r.Fatal(err)
	}
	want := volume("data")
	want.Spec.CSI.VolumeHandle = "shop.data~east"
	want.ObjectMeta = metav1.ObjectMeta{Name: want.Name, Labels: want.Labels, Annotations: want.Annotations}
	pv.ObjectMeta = metav1.ObjectMeta{Name: pv.Name, UID: pv.UID, DeletionTimestamp: pv.DeletionTimestamp, Labels: pv.Labels, Annotations: pv.Annotations}
	pv.TypeMeta = metav1.TypeMeta{}
	if diff := cmp.Diff(want, &pv); diff != "" {
		r.Errorf("-want +got:\n%s", diff)
	}
	if kept, err := r.rekeyer.Copies.Read("shop.data"); kept != nil || err != nil {
		r.Errorf("the copy is there yet: %v, %v", kept, err)
	}
	record := r.record()
	if !record.Keyed || record.Private || !record.Exclusive || record.ClaimSize != 1<<24 {
		r.Errorf("the record says %+v", record)
	}
	keys, err := r.storage.Keys(r.Context(), "rbd", "")
	if err != nil || !slices.Contains(keys, ceph.Key{Name: "east", UID: "u-east"}) {
		r.Errorf("the keys are %v, %v", keys, err)
	}
}

func TestRekey(t *testing.T) {
	keyed := func(record *ceph.Record) { record.Keyed = true }
	steps := func(more ...string) []string {
		return append(append(more, "what PersistentVolume shop.data is to be stands in ./shop.data.rekey.json"), []string{
			"the image is keyed from now on", "PersistentVolume shop.data is deleted",
			"PersistentVolume shop.data has the handle shop.data~east", "keyed, and bound",
		}...)
	}
	tests := map[string]struct {
		record *ceph.Record
		said   []string
		state  ceph.State
	}{
		"nobody owns it":       {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true}, steps(), ceph.Free},
		"it has no record":     {nil, steps(), ceph.Free},
		"this cluster owns it": {held(east, func(record *ceph.Record) { record.Pending = []string{"p"} }), steps("released"), ceph.Free},
		"another cluster has made it keyed": {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Keyed: true},
			slices.DeleteFunc(steps(), func(s string) bool { return strings.HasPrefix(s, "the image is keyed") }), ceph.Free},
		"another cluster has made it keyed, and owns it": {held(west, keyed),
			slices.DeleteFunc(steps(), func(s string) bool { return strings.HasPrefix(s, "the image is keyed") }), ceph.Held},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, test.record, nil)
				if test.state == ceph.Held {
					if _, err := r.storage.ClaimKey(t.Context(), "rbd", "", west); err != nil {
						t.Fatal(err)
					}
					r.ceph.RenameImage(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, "shop.data~west")
				}
				if err := r.rekey(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.said, r.said); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				r.isKeyed()
				if record := r.record(); record.State != test.state {
					t.Errorf("the record says %s", record.State)
				}
				// Again, nothing is to be done.
				r.changed = nil
				if err := r.rekey(); err != nil || !slices.Equal(r.said, []string{"keyed, and bound"}) {
					t.Errorf("again: %v, %q", err, r.said)
				}
				if slices.ContainsFunc(r.changed, func(m string) bool { return m != "ClaimKey" }) {
					t.Errorf("again: %q", r.changed)
				}
			})
		})
	}
}

// TestRekeyIsKilled: wherever a run dies, the next one ends it.
func TestRekeyIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := newRig(t, held(east), nil)
		if err := whole.rekey(); err != nil {
			t.Fatal(err)
		}
		if want := []string{"ClaimKey", "PutRecord", "PutRecord", "delete", "patch", "create"}; !slices.Equal(whole.changed, want) {
			t.Fatalf("it writes by %q; want %q", whole.changed, want)
		}
		for n, method := range whole.changed {
			for _, done := range []bool{false, true} {
				r := newRig(t, held(east), nil)
				r.writes, r.done = n+1, done
				if err := r.rekey(); !errors.Is(err, errKilled) {
					t.Fatalf("at %s: %v", method, err)
				}
				r.writes = -1
				if err := r.rekey(); err != nil {
					t.Errorf("after it died at %s, which was done: %t: %v", method, done, err)
				}
				r.isKeyed()
			}
		}
	})
}

func TestRekeyIsRefused(t *testing.T) {
	deleting := func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
		now := metav1.Now()
		pv.DeletionTimestamp = &now
	}
	tests := map[string]struct {
		record  *ceph.Record
		change  func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim)
		more    []client.Object
		prepare func(*rig)
		want    string
	}{
		"a pod uses it":                     {held(east), nil, []client.Object{pod()}, nil, "it is in use: a pod uses it: pod shop/db-0"},
		"a pod uses it, and nobody owns it": {nil, nil, []client.Object{pod()}, nil, "it is in use: pod shop/db-0"},
		"a pod uses it here, and another cluster has made it keyed": {held(west, func(r *ceph.Record) { r.Keyed = true }), nil, []client.Object{pod()}, nil, "it is in use: pod shop/db-0"},
		"a client has it open": {nil, nil, nil, func(r *rig) {
			r.ceph.AddWatcher(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, ceph.Watcher{Addr: "10.0.2.11:0/5"})
		}, "it is in use: client 10.0.2.11:0/5 has it open"},
		"another cluster owns it": {held(west), nil, nil, nil, "cluster west owns it, claim shop/data, and opens it by a name without a key"},
		"it is being taken over":  {held(west, func(r *ceph.Record) { r.State, r.Takeover = ceph.Fencing, &ceph.Takeover{Party: east} }), nil, nil, nil, "the image is being taken from its owner"},
		"another cluster has the key": {nil, nil, nil, func(r *rig) {
			if _, err := r.storage.ClaimKey(r.Context(), "rbd", "", ceph.Party{UID: "u-first", Name: "east"}); err != nil {
				r.Fatal(err)
			}
		}, `another cluster (uid u-first) is called "east" too, and was first`},
		"there is no image":       {nil, nil, nil, func(r *rig) { r.ceph.RemoveImage(ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}) }, "shop.data"},
		"somebody is deleting it": {nil, deleting, nil, nil, "PersistentVolume shop.data is being deleted, and not by this command"},
		"a copy of another volume": {nil, deleting, nil, func(r *rig) {
			other := volume("data")
			other.UID, other.Spec.CSI.VolumeHandle = "u-other", "shop.data~east"
			if err := r.rekeyer.Copies.Write(other); err != nil {
				r.Fatal(err)
			}
		}, "PersistentVolume shop.data is being deleted, and not by this command"},
		"no place for a copy": {nil, nil, nil, func(r *rig) { r.rekeyer.Copies.Dir += "/none" }, "keep a copy of PersistentVolume shop.data, with --save in another directory if need be: "},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.record, test.change, test.more...)
			if test.prepare != nil {
				test.prepare(r)
			}
			r.changed = nil
			err := r.rekey()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
			if slices.ContainsFunc(r.changed, func(m string) bool { return m != "ClaimKey" }) || len(r.said) > 0 {
				t.Errorf("it did %q, and said %q", r.changed, r.said)
			}
		})
	}
}

// TestARecordChangesMeanwhile: another cluster gets the image after the proof.
func TestARecordChangesMeanwhile(t *testing.T) {
	r := newRig(t, nil, nil)
	taken := false
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		if call.Method == "PutRecord" && !taken {
			taken = true
			r.ceph.WriteRecord(r.image(), held(west).Encode())
		}
		return proceed()
	})
	if err := r.rekey(); err == nil || !strings.Contains(err.Error(), "cluster west owns it") {
		t.Errorf("%v", err)
	}
	if record := r.record(); !taken || record.Keyed || slices.Contains(r.changed, "delete") {
		t.Errorf("the record says %+v; written: %q", record, r.changed)
	}
}

// TestTheVolumeIsGone: the copy alone makes it again, and only for a keyed image.
func TestTheVolumeIsGone(t *testing.T) {
	kept := volume("data")
	kept.Spec.CSI.VolumeHandle = "shop.data~east"
	for name, test := range map[string]struct {
		record *ceph.Record
		copy   bool
		want   string
	}{
		"a copy, and a keyed image":        {&ceph.Record{ClaimSize: 1 << 24, Exclusive: true, Keyed: true}, true, ""},
		"a copy, and an image that is not": {&ceph.Record{ClaimSize: 1 << 24}, true, "the image is not keyed, so this command did not delete it"},
		"no copy":                          {&ceph.Record{ClaimSize: 1 << 24, Keyed: true}, false, "PersistentVolume shop.data is gone, and there is no copy of it in "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.record, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Name = "elsewhere" })
			if test.copy {
				if err := r.rekeyer.Copies.Write(kept); err != nil {
					t.Fatal(err)
				}
			}
			err := r.rekey()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v; want %s", err, test.want)
			}
			if err == nil {
				r.isKeyed()
			}
		})
	}
}

// TestKubernetesDoesNotFollow: what keeps the volume, or leaves it unbound, is named.
func TestKubernetesDoesNotFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const attached = "external-attacher/rook-ceph-rbd-csi-ceph-com"
		r := newRig(t, nil, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Finalizers = append(pv.Finalizers, attached)
		})
		if err := r.rekey(); err == nil || !strings.Contains(err.Error(), "its finalizers keep it ("+attached+")") {
			t.Errorf("%v", err)
		}
		r = newRig(t, nil, func(_ *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) {
			pvc.Status.Phase = corev1.ClaimLost
		})
		if err := r.rekey(); err == nil || !strings.Contains(err.Error(), "the claim is Lost, PersistentVolume shop.data is Bound") {
			t.Errorf("%v", err)
		}
	})
}

// TestSomebodyElseMakesTheVolume: what is not ours is no success.
func TestSomebodyElseMakesTheVolume(t *testing.T) {
	for handle, want := range map[string]string{"shop.data~east": "", "shop.data": "somebody else has made PersistentVolume shop.data meanwhile"} {
		r := newRig(t, nil, nil)
		next := volume("data")
		next.Spec.CSI.VolumeHandle = "shop.data~east"
		var now corev1.PersistentVolume
		if err := r.api.Get(t.Context(), client.ObjectKey{Name: "shop.data"}, &now); err != nil {
			t.Fatal(err)
		}
		now.Spec.CSI.VolumeHandle = handle
		if err := r.api.Update(t.Context(), &now); err != nil {
			t.Fatal(err)
		}
		if err := r.rekeyer.make(t.Context(), next); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", handle, err, want)
		}
	}
}

func TestUnkeyed(t *testing.T) {
	done, gone, missing, foreign, plain := volume("done"), claim("gone"), claim("missing"), volume("foreign"), volume("plain")
	done.Spec.CSI.VolumeHandle += "~east"
	foreign.Spec.CSI.VolumeHandle = "csi-vol-1"
	delete(plain.Annotations, "cephferry.io/migratable")
	delete(plain.Spec.CSI.VolumeAttributes, "staticVolume")
	r := newRig(t, nil, nil, done, claim("done"), gone, missing, foreign, claim("foreign"), plain, claim("plain"))
	kept := volume("gone")
	kept.Spec.CSI.VolumeHandle += "~east"
	if err := r.rekeyer.Copies.Write(kept); err != nil {
		t.Fatal(err)
	}
	got, err := r.rekeyer.Unkeyed(t.Context(), "shop")
	if diff := cmp.Diff([]string{"data", "gone"}, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestErrorsOfTheAPIServer(t *testing.T) {
	r := newRig(t, nil, nil)
	err := r.rekeyer.Rekey(t.Context(), "shop", "other", func(string) {})
	if !apierrors.IsNotFound(err) || !strings.HasPrefix(fmt.Sprint(err), "read the claim: ") {
		t.Errorf("%v", err)
	}
}
