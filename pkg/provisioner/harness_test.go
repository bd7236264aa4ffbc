package provisioner

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// world is a cluster with its provisioner, and the Ceph that it uses.
type world struct {
	*testing.T
	ceph    *cephtest.Ceph
	objects client.WithWatch
	claims  *Claims
	volumes *Volumes
	// events are those of claims.
	events []string
	// connect is what looking for the Ceph cluster ends with.
	connect error
	// asked are the clusterIDs and secrets that were asked for.
	asked []string
	// monitors are those of clusterIDs.
	monitors map[string][]string
	// cephFS is why they cannot be used for CephFS.
	cephFS error
	// create is what creating a PersistentVolume ends with. refuse is asked, unless nil.
	create error
	refuse func() error
	// shown is how often it was shown that a claim waits.
	shown int
}

const pool = "replicapool"

var spec = ceph.ImageSpec{Pool: pool, Namespace: "north", Name: "shop.data"}

// newWorld has namespaces shop and bank, class block, which is the default, and
// these objects and images.
func newWorld(t *testing.T, images []cephtest.Image, objects ...client.Object) *world {
	t.Helper()
	for i := range images {
		images[i].Namespace = "north"
	}
	w := &world{T: t, ceph: cephtest.New(cephtest.Pool{Name: pool, Namespaces: []string{"north"}, Images: images})}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects = append(objects, namespace("shop", ""), namespace("bank", ""), class("block", ""))
	w.objects = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&corev1.PersistentVolumeClaim{}).
		WithIndex(&corev1.PersistentVolume{}, volumes.ByImage, volumes.ImageOf).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if _, ok := object.(*corev1.PersistentVolume); ok {
					refusal := w.create
					if w.refuse != nil {
						refusal = w.refuse()
					}
					if refusal != nil {
						return refusal
					}
				}
				return c.Create(ctx, object, options...)
			},
		}).Build()
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry)
	w.claims = &Claims{Client: w.objects, API: w.objects, Storages: w, Events: Events{w}, Metrics: metrics, Now: time.Now}
	w.volumes = &Volumes{Client: w.objects, API: w.objects, Metrics: metrics}
	return w
}

// ClusterAs implements Storages.
func (w *world) ClusterAs(ctx context.Context, clusterID string, secret corev1.SecretReference) (ceph.Cluster, connect.Settings, error) {
	w.asked = append(w.asked, clusterID+" as "+secret.Namespace+"/"+secret.Name)
	if w.connect != nil {
		return nil, connect.Settings{}, w.connect
	}
	cluster, err := w.ceph.Dial(ctx, cephtest.Provisioner)
	return cluster, connect.Settings{Monitors: w.monitors[clusterID], RadosNamespace: "north", SubvolumeGroup: "apps", CephFS: w.cephFS}, err
}

// Eventf implements events.EventRecorder.
func (w *world) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	w.events = append(w.events, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

func namespace(name, images string) *corev1.Namespace {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if images != "" {
		object.Annotations = map[string]string{Images: images}
	}
	return object
}

// class is the StorageClass block, and the default one, with further parameters as
// name=value.
func class(name string, parameters ...string) *storagev1.StorageClass {
	object := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: name},
		Provisioner: "rook-ceph.rbd.csi.ceph.com",
		Parameters: map[string]string{
			"clusterID": "rook-ceph", "pool": pool,
			"csi.storage.k8s.io/node-stage-secret-name":       "node",
			"csi.storage.k8s.io/node-stage-secret-namespace":  "rook-ceph",
			"csi.storage.k8s.io/provisioner-secret-name":      "maker",
			"csi.storage.k8s.io/provisioner-secret-namespace": "rook-ceph",
		},
	}
	if name == "block" {
		object.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	for _, parameter := range parameters {
		if key, value, ok := strings.Cut(parameter, "="); ok {
			object.Parameters[key] = value
		}
	}
	return object
}

// pvc is claim shop/data, migratable, of 1 MiB, with further annotations as
// name=value.
func pvc(annotations ...string) *corev1.PersistentVolumeClaim {
	none := ""
	object := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "1", Annotations: map[string]string{"cephferry.io/migratable": "true"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: &none,
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
	for _, annotation := range annotations {
		key, value, _ := strings.Cut(annotation, "=")
		object.Annotations["cephferry.io/"+key] = value
	}
	return object
}

// edit changes an object and returns it.
func edit[T any](object T, change func(T)) T {
	change(object)
	return object
}

// reconcile runs the claims' controller for a claim in namespace shop.
func (w *world) reconcile(name string) (reconcile.Result, error) {
	return w.claims.Reconcile(w.Context(), reconcileRequest("shop", name))
}

// conditions are those of a claim, as "type: message".
func (w *world) conditions(name string) []string {
	w.Helper()
	var claim corev1.PersistentVolumeClaim
	if err := w.objects.Get(w.Context(), client.ObjectKey{Namespace: "shop", Name: name}, &claim); err != nil {
		w.Fatal(err)
	}
	var found []string
	for _, condition := range claim.Status.Conditions {
		found = append(found, fmt.Sprintf("%s: %s", condition.Type, condition.Message))
	}
	return found
}

// names are those of the PersistentVolumes.
func (w *world) names() []string {
	w.Helper()
	var list corev1.PersistentVolumeList
	if err := w.objects.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	var names []string
	for _, pv := range list.Items {
		names = append(names, pv.Name)
	}
	return names
}

// calls are the methods of Ceph that were called.
func (w *world) calls() []string {
	var methods []string
	for _, call := range w.ceph.Calls() {
		methods = append(methods, call.Method)
	}
	return methods
}

// forbidden is what the API server answers when the guard refuses.
func forbidden(text string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: 403,
		Message: `admission webhook "volume.guard.cephferry.io" denied the request: ` + "\n" + text,
	}}
}

func reconcileRequest(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}
}

type storageClass = storagev1.StorageClass
