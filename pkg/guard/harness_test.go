package guard_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/usage"
	"github.com/cephferry/cephferry/pkg/volumes"
)

const (
	driver    = "rook-ceph.rbd.csi.ceph.com"
	namespace = "shop"
)

var (
	west = ceph.Party{UID: "u-west", Name: "west"}
	east = ceph.Party{UID: "u-east", Name: "east"}
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// world is cluster west with its guard, and the Ceph that it shares.
type world struct {
	t         *testing.T
	ceph      *cephtest.Ceph
	client    ceph.Cluster
	clusters  clusters
	api       *reader
	cache     *reader
	objects   client.WithWatch
	endpoints *guard.Endpoints
	limit     time.Duration
	registry  *prometheus.Registry
	metrics   *guard.Metrics

	mu     sync.Mutex
	events []string
	logs   []string
	labels []string
	// labelErr is what labelling a namespace ends with.
	labelErr error
}

// newWorld is west with its nodes and with images of these names in pool
// replicapool, and the objects both in the cache and at the API server.
func newWorld(t *testing.T, images []string, objects ...client.Object) *world {
	t.Helper()
	return newWorldWithCache(t, images, objects, objects)
}

func newWorldWithCache(t *testing.T, images []string, cached, objects []client.Object) *world {
	t.Helper()
	nodes := []client.Object{node("west-1", "10.0.2.11"), node("west-2", "10.0.2.12")}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	build := func(objects []client.Object) *fake.ClientBuilder {
		builder := fake.NewClientBuilder().WithScheme(scheme)
		for _, object := range slices.Concat(nodes, objects) {
			builder.WithObjects(object.DeepCopyObject().(client.Object))
		}
		return builder
	}
	pool := cephtest.Pool{Name: "replicapool", Namespaces: []string{"north"}}
	for _, name := range images {
		inNamespace, name, found := strings.Cut(name, "/")
		if !found {
			inNamespace, name = "", inNamespace
		}
		pool.Images = append(pool.Images, cephtest.Image{Namespace: inNamespace, Name: name, Layout: ceph.Layout{Size: 1 << 20}})
	}
	var err error
	w := &world{
		t:        t,
		ceph:     cephtest.New(pool),
		objects:  withIndexes(build(objects)).Build(),
		limit:    3 * time.Second,
		registry: prometheus.NewRegistry(),
	}
	w.client, err = w.ceph.Dial(t.Context(), cephtest.Provisioner)
	if err != nil {
		t.Fatal(err)
	}
	w.clusters = clusters{"rook-ceph": {w.client, ""}, "north-id": {w.client, "north"}}
	w.api = &reader{Reader: w.objects, noIndex: true}
	w.cache = &reader{Reader: withIndexes(build(cached)).Build()}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{
		appsv1.SchemeGroupVersion.WithKind("Deployment"), appsv1.SchemeGroupVersion.WithKind("StatefulSet"),
		appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), corev1.SchemeGroupVersion.WithKind("ReplicationController"), shard,
	} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	w.endpoints = &guard.Endpoints{
		Guard: &guard.Guard{
			Self:     west,
			Finder:   volumes.Finder{Cache: w.cache, API: w.api, Scope: volumes.ScopeMigratable},
			Usage:    &usage.Gatherer{Cache: w.cache, API: w.api},
			Storages: w.clusters,
			Now:      func() time.Time { return noon },
		},
		Decoder: admission.NewDecoder(scheme),
		Mapper:  mapper,
		Label:   w.label,
	}
	w.metrics = guard.NewMetrics(w.registry, func() float64 { return 0 })
	return w
}

// withIndexes is for a cache.
func withIndexes(builder *fake.ClientBuilder) *fake.ClientBuilder {
	for _, index := range usage.Indexes() {
		builder.WithIndex(index.Object, index.Name, index.Of)
	}
	return builder
}

// Refused of waiting is in the events already.
type waiting struct{ refused []string }

func (w *waiting) Refused(object client.Object, all []volumes.Volume) {
	for _, volume := range all {
		w.refused = append(w.refused, object.GetName()+" "+volume.Claim)
	}
}

// shard is a kind of custom resource that is scaled.
var shard = schema.GroupVersionKind{Group: "db.example", Version: "v1", Kind: "Shard"}

func (w *world) label(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.labels = append(w.labels, name)
	return w.labelErr
}

// Refused is an event.
func (w *world) Refused(object client.Object, message string) {
	kind, err := w.objects.GroupVersionKindFor(object)
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf("%s %s/%s: %s", kind.Kind, object.GetNamespace(), object.GetName(), message))
}

// watch opens the image at that address.
func (w *world) watch(image, addr string) {
	w.ceph.AddWatcher(ceph.ImageSpec{Pool: "replicapool", Name: image}, ceph.Watcher{Addr: addr, Client: "client.4153", Cookie: 1})
}

// handler is an endpoint, "pod", "scale" or "volume", as it is served.
func (w *world) handler(endpoint string) *guard.Handler {
	return &guard.Handler{
		Name:     endpoint,
		Endpoint: map[string]guard.Endpoint{"pod": w.endpoints.Pod, "binding": w.endpoints.Binding, "scale": w.endpoints.Scale, "volume": w.endpoints.Volume}[endpoint],
		Limit:    w.limit,
		Metrics:  w.metrics,
		Events:   w,
		Log: funcr.New(func(_, args string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.logs = append(w.logs, args)
		}, funcr.Options{}),
		Now: time.Now,
	}
}

// answer is what the API server gets.
type answer struct {
	Code     int32
	Reason   metav1.StatusReason
	Message  string
	Warnings []string
}

func (w *world) ask(endpoint string, request admission.Request) answer {
	w.t.Helper()
	response := w.handler(endpoint).Handle(w.t.Context(), request)
	if response.Allowed != (response.Result.Code == http.StatusOK) {
		w.t.Errorf("allowed is %v with code %d", response.Allowed, response.Result.Code)
	}
	if len(response.Patches) != 0 {
		w.t.Errorf("there are patches: %v", response.Patches)
	}
	return answer{response.Result.Code, response.Result.Reason, response.Result.Message, response.Warnings}
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func allowed(reason guard.Reason, warnings ...string) answer {
	return answer{Code: 200, Message: string(reason), Warnings: warnings}
}

func denied(message string, warnings ...string) answer {
	return answer{403, "Forbidden", "\n" + message, warnings}
}

func unknown(message string, warnings ...string) answer {
	return answer{500, "InternalError", "\n" + message, warnings}
}

func malformed(message string) answer {
	return answer{400, "BadRequest", "\nread the admission review: " + message, nil}
}

// inUse is the refusal for a claim of namespace shop whose image an address of no
// node holds.
func inUse(claim, image string) string {
	return "volume shop/" + claim + " (image replicapool/" + image + ") is in use by another cluster\n" +
		"  held by   10.0.1.12 (client.4153), not a node of west\n" +
		"  do this   scale the workload down in that cluster, then retry here; nothing was changed"
}

const foreign = "10.0.1.12:0/3311202721"

// clusters are the Ceph clusters by clusterID.
type clusters map[string]struct {
	guard.Ceph
	radosNamespace string
}

func (c clusters) Cluster(_ context.Context, clusterID string) (guard.Ceph, string, error) {
	found, ok := c[clusterID]
	if !ok {
		return nil, "", fmt.Errorf("find clusterID %q: not configured", clusterID)
	}
	return found.Ceph, found.radosNamespace, nil
}

// reader counts what is asked, and fails where it is told to.
type reader struct {
	client.Reader
	mu    sync.Mutex
	calls []string
	fail  map[string]error
	// noIndex: it is an API server, which has none.
	noIndex bool
}

func (r *reader) call(call string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
	return r.fail[call]
}

func (r *reader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if err := r.call(fmt.Sprintf("get %T %s", object, key.Name)); err != nil {
		return err
	}
	return r.Reader.Get(ctx, key, object, options...)
}

func (r *reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := r.call(fmt.Sprintf("list %T", list)); err != nil {
		return err
	}
	if by := (&client.ListOptions{}).ApplyOptions(options).FieldSelector; by != nil && r.noIndex {
		return fmt.Errorf("field label not supported: %s", by)
	}
	return r.Reader.List(ctx, list, options...)
}

// review is a review as the API server writes it.
func review(t *testing.T, operation admissionv1.Operation, gvk schema.GroupVersionKind, resource string, object, old any) admission.Request {
	t.Helper()
	subresource := ""
	if strings.HasSuffix(resource, "/scale") {
		resource, subresource = strings.TrimSuffix(resource, "/scale"), "scale"
	}
	target := gvk.GroupVersion().WithResource(resource)
	if subresource == "scale" {
		gvk = schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
	}
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID:         "11",
		Operation:   operation,
		Kind:        metav1.GroupVersionKind(gvk),
		Resource:    metav1.GroupVersionResource(target),
		SubResource: subresource,
		Namespace:   namespace,
		Name:        "db",
	}}
	request.UserInfo.Username = "ann"
	request.Object.Raw, request.OldObject.Raw = raw(t, object), raw(t, old)
	return request
}

func raw(t *testing.T, object any) []byte {
	t.Helper()
	switch object := object.(type) {
	case nil:
		return nil
	case string:
		return []byte(object)
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// scaled is the review of a scale subresource of resource, from one number of
// replicas to another.
func scaled(t *testing.T, gvk schema.GroupVersionKind, resource string, from, to int) admission.Request {
	t.Helper()
	return review(t, admissionv1.Update, gvk, resource+"/scale", scale(to), scale(from))
}

// scale is a Scale as it stands in a review: zero replicas are left out.
func scale(replicas int) string {
	spec := "{}"
	if replicas != 0 {
		spec = fmt.Sprintf(`{"replicas":%d}`, replicas)
	}
	return `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"db","namespace":"shop","uid":"7"},"spec":` + spec + `,"status":{"replicas":0,"selector":"app=db"}}`
}

func dryRun(request admission.Request) admission.Request {
	yes := true
	request.DryRun = &yes
	return request
}

func node(name string, addresses ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.NodeInfo.BootID = "boot of " + name
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
	for _, address := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
	}
	return n
}

// attachment has the name that Kubernetes gives it.
func attachment(pv, node string) *storagev1.VolumeAttachment {
	return &storagev1.VolumeAttachment{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("csi-%x", sha256.Sum256([]byte(pv+driver+node)))},
		Spec: storagev1.VolumeAttachmentSpec{
			Attacher: driver, NodeName: node,
			Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv},
		},
	}
}

func csiDriver(attachRequired *bool) *storagev1.CSIDriver {
	return &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: driver}, Spec: storagev1.CSIDriverSpec{AttachRequired: attachRequired}}
}

// volume is the static PV shop.<claim> of a claim in namespace shop.
func volume(claim string, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: "shop." + claim},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: namespace, Name: claim},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver:           driver,
				VolumeHandle:     "shop." + claim,
				VolumeAttributes: map[string]string{"staticVolume": "true", "clusterID": "rook-ceph", "pool": "replicapool"},
			}},
		},
	}
	for _, change := range change {
		change(pv)
	}
	return pv
}

// dynamic makes a volume one that ceph-csi made, with the image csi-vol-1.
func dynamic(pv *corev1.PersistentVolume) {
	pv.Spec.CSI.VolumeHandle = "0001-0009-rook-ceph-0000000000000002-24862838-240d-4215-9183-abfc0e9e4002"
	pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "csi-vol-1"}
}

func cephFS(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "rook-ceph.cephfs.csi.ceph.com" }

func withoutClaim(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }

func without(attribute string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, attribute) }
}

// claim is a PVC; volume may be empty.
func claim(name, volume string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: volume},
	}
}

// pair is volume shop.<name> and the claim that is bound to it.
func pair(name string, change ...func(*corev1.PersistentVolume)) []client.Object {
	return []client.Object{volume(name, change...), claim(name, "shop."+name)}
}

func podSpec(claims ...string) corev1.PodSpec {
	var spec corev1.PodSpec
	for i, claim := range claims {
		spec.Volumes = append(spec.Volumes, corev1.Volume{
			Name:         fmt.Sprint("volume-", i),
			VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}},
		})
	}
	return spec
}

func pod(name string, claims ...string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       podSpec(claims...),
	}
}

func createPod(t *testing.T, pod *corev1.Pod) admission.Request {
	t.Helper()
	return review(t, admissionv1.Create, corev1.SchemeGroupVersion.WithKind("Pod"), "pods", pod, nil)
}

func createVolume(t *testing.T, pv *corev1.PersistentVolume) admission.Request {
	t.Helper()
	return review(t, admissionv1.Create, corev1.SchemeGroupVersion.WithKind("PersistentVolume"), "persistentvolumes", pv, nil)
}

var (
	deploymentKind  = appsv1.SchemeGroupVersion.WithKind("Deployment")
	statefulSetKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")
)

func deployment(claims ...string) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"},
		Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: podSpec(claims...)}},
	}
}

// statefulSet has the claim template data, and claims that all its pods share.
func statefulSet(start int32, claims ...string) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Template:             corev1.PodTemplateSpec{Spec: podSpec(claims...)},
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}},
		},
	}
	if start != 0 {
		s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: start}
	}
	return s
}

func ptr[T any](value T) *T { return &value }
