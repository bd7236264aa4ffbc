package adopt

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

const (
	handle    = "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"
	imageName = "csi-vol-24862838-240d-4215-9183-abfc0e9e4002"
	oldPV     = "pvc-1"
)

var data = types.NamespacedName{Namespace: "shop", Name: "data"}

// rig is a cluster with claim shop/data of ceph-csi's, whose controllers work at once.
type rig struct {
	*testing.T
	api client.Client
	*Adopter
	cephtest.Mortal
	said   []string
	pauses int
	// provides says that the provisioner answers, and pair is what it makes.
	provides bool
	pair     func(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume
	may      func(verb, resource string) bool
	// onPause happens while it waits.
	onPause func()
	// listing is the error of whoever lists VolumeSnapshots.
	listing error
	// dropping: the test deletes, and not the run.
	dropping bool
}

func newRig(t *testing.T, change func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim), more ...client.Object) *rig {
	t.Helper()
	r := &rig{T: t, Mortal: cephtest.Mortal{Writes: -1}, provides: true, pair: pairOf, may: func(string, string) bool { return true }}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	pv, claim := volume(), claimOf()
	if change != nil {
		change(pv, claim)
	}
	objects := append([]client.Object{namespace(), class("ceph-block"), ours(), pv, claim}, more...)
	r.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &v1alpha1.MigratableVolume{}).WithInterceptorFuncs(r.apiServer()).Build()
	now := time.Unix(0, 0)
	r.Adopter = &Adopter{
		API: r.api, Files: Files{t.TempDir(), "east"}, Class: "migratable", Limit: time.Minute,
		Granted: func(namespace *corev1.Namespace, image string) bool {
			return slices.Contains(strings.Split(namespace.Annotations[Images], ","), image)
		},
		May: func(_ context.Context, verb, resource, _ string) (bool, error) { return r.may(verb, resource), nil },
		Say: func(step string) { r.said = append(r.said, strings.ReplaceAll(step, r.Files.Dir, ".")) },
		Now: func() time.Time { return now },
		Pause: func(ctx context.Context) error {
			now = now.Add(time.Second)
			r.pauses++
			if r.onPause != nil {
				r.onPause()
			}
			return ctx.Err()
		},
	}
	return r
}

func (r *rig) apiServer() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return r.Step("get", false, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, o client.ObjectList, opts ...client.ListOption) error {
			if _, of := o.(*unstructured.UnstructuredList); of && r.listing != nil {
				return r.listing
			}
			return r.Step("list", false, func() error { return c.List(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return r.Step("patch "+kind(o), true, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return r.Step("delete "+kind(o), true, func() error { return r.delete(ctx, c, o, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return r.Step("create "+kind(o), true, func() error { return r.create(ctx, c, o, opts...) })
		},
	}
}

// delete checks what must be so before anything goes, and does what the controllers do.
func (r *rig) delete(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	r.Helper()
	if r.dropping {
		return c.Delete(ctx, o, opts...)
	}
	var pv corev1.PersistentVolume
	if err := c.Get(ctx, client.ObjectKey{Name: oldPV}, &pv); err != nil {
		return err
	}
	if pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		r.Errorf("%s is deleted, and the policy is %s: the image goes", kind(o), pv.Spec.PersistentVolumeReclaimPolicy)
	}
	if _, err := os.Stat(r.Files.Path(data)); err != nil {
		r.Errorf("%s is deleted without a way back: %v", kind(o), err)
	}
	if err := c.Delete(ctx, o, opts...); err != nil || kind(o) != "claim" {
		return err
	}
	pv.Status.Phase = corev1.VolumeReleased
	return c.Status().Update(ctx, &pv)
}

// create is the provisioner, too.
func (r *rig) create(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	if err := c.Create(ctx, o, opts...); err != nil || kind(o) != "claim" || !r.provides {
		return err
	}
	return r.provide(ctx, c, o.(*corev1.PersistentVolumeClaim))
}

func (r *rig) provide(ctx context.Context, c client.Client, claim *corev1.PersistentVolumeClaim) error {
	pv := r.pair(claim)
	if err := c.Create(ctx, pv); err != nil {
		return err
	}
	claim.Spec.VolumeName = pv.Name
	if err := c.Update(ctx, claim); err != nil {
		return err
	}
	claim.Status.Phase = corev1.ClaimBound
	return c.Status().Update(ctx, claim)
}

func kind(o client.Object) string {
	switch o.(type) {
	case *corev1.PersistentVolumeClaim:
		return "claim"
	case *corev1.PersistentVolume:
		return "volume"
	case *corev1.Namespace:
		return "namespace"
	}
	return "?"
}

func namespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{Images: "common"}}}
}

func class(name string) *storagev1.StorageClass {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "rook-ceph.rbd.csi.ceph.com", Parameters: map[string]string{
		"clusterID": "rook-ceph", "pool": "rbd",
		"csi.storage.k8s.io/node-stage-secret-name": "node", "csi.storage.k8s.io/node-stage-secret-namespace": "rook-ceph",
	}}
}

func ours() *storagev1.StorageClass {
	retain := corev1.PersistentVolumeReclaimRetain
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "migratable"}, Provisioner: "cephferry.io/provisioner", ReclaimPolicy: &retain, Parameters: map[string]string{"cephferry.io/class": "ceph-block"}}
}

func volume() *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: oldPV, UID: "u-pv", Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": "rook-ceph.rbd.csi.ceph.com", "pv.kubernetes.io/bound-by-controller": "yes"}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: "ceph-block",
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			ClaimRef:                      &corev1.ObjectReference{Namespace: "shop", Name: "data", UID: "u-claim", ResourceVersion: "7"},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: handle, FSType: "ext4",
				VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "imageName": imageName, "imageFeatures": "layering"},
			}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
}

func claimOf() *corev1.PersistentVolumeClaim {
	name := "ceph-block"
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "data", UID: "u-claim", Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"},
		Annotations: map[string]string{"meta.helm.sh/release-name": "web", "pv.kubernetes.io/bind-completed": "yes", "volume.kubernetes.io/storage-provisioner": "rook-ceph.rbd.csi.ceph.com"},
	}}
	claim.Spec.StorageClassName, claim.Spec.VolumeName = &name, oldPV
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	claim.Status.Phase = corev1.ClaimBound
	return claim
}

// pairOf is what the provisioner makes.
func pairOf(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "shop.data"}, Spec: corev1.PersistentVolumeSpec{
		ClaimRef: &corev1.ObjectReference{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
			Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop.data~east", VolumeAttributes: map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
		}},
	}}
}

// adopt is one run of the command.
func (r *rig) adopt() error {
	plan, err := r.Prepare(r.Context(), data)
	if err != nil {
		return err
	}
	return r.Adopter.Run(r.Context(), plan)
}

// read reads an object of the cluster, whether or not the run is dead.
func (r *rig) read(name string, into client.Object) error {
	writes := r.Writes
	r.Writes = -1
	defer func() { r.Writes = writes }()
	key := client.ObjectKey{Name: name}
	if _, ok := into.(*corev1.PersistentVolumeClaim); ok {
		key.Namespace = "shop"
	}
	return r.api.Get(context.WithoutCancel(r.Context()), key, into)
}

// drop deletes an object for somebody else.
func (r *rig) drop(o client.Object) {
	r.Helper()
	r.dropping = true
	defer func() { r.dropping = false }()
	if err := r.api.Delete(r.Context(), o); err != nil {
		r.Fatal(err)
	}
}
