package rekey

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
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

// rig is east with the pair of claim shop/data, whose image has no key.
type rig struct {
	*testing.T
	ceph    *cephtest.Ceph
	storage ceph.Cluster
	api     client.WithWatch
	rekeyer *Rekeyer
	said    []string
	cephtest.Mortal
}

func newRig(t *testing.T, record *ceph.Record, change func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim), more ...client.Object) *rig {
	t.Helper()
	r := &rig{T: t, Mortal: cephtest.Mortal{Writes: -1}}
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
		Person: idle.Person{By: "ann"}, Copies: Copies{t.TempDir(), east.Name}, Limit: time.Minute,
		Wait: func(_ context.Context, rest time.Duration) error { time.Sleep(rest + time.Millisecond); return nil },
	}
	r.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
		return r.Step(call.Method, slices.Contains([]string{"PutRecord", "ClaimKey", "RenameImage", "RenameImageFrom", "Blocklist"}, call.Method), proceed)
	})
	return r
}

// apiServer is one whose controllers bind each volume that is made, and take back no
// finalizer.
func (r *rig) apiServer() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return r.Step("get", false, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, o client.ObjectList, opts ...client.ListOption) error {
			return r.Step("list", false, func() error { return c.List(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return r.Step("delete", true, func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return r.Step("patch", true, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return r.Step("create", true, func() error {
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

// isKeyed checks the whole pair: the volume is as it was, but for its handle and the option.
func (r *rig) isKeyed(private bool, change func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim)) {
	r.Helper()
	var pv corev1.PersistentVolume
	if err := r.api.Get(r.Context(), client.ObjectKey{Name: "shop.data"}, &pv); err != nil {
		r.Fatal(err)
	}
	want := volume("data")
	if change != nil {
		change(want, claim("data"))
	}
	want.Spec.CSI.VolumeHandle, want.Spec.CSI.VolumeAttributes["mapOptions"] = "shop.data~east", "exclusive,noshare"
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
	if !record.Keyed || record.Private != private || !record.Exclusive || record.ClaimSize != 1<<24 {
		r.Errorf("the record says %+v", record)
	}
	keys, err := r.storage.Keys(r.Context(), "rbd", "")
	if err != nil || !slices.Contains(keys, ceph.Key{Name: "east", UID: "u-east"}) {
		r.Errorf("the keys are %v, %v", keys, err)
	}
}
