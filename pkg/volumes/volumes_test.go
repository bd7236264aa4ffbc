package volumes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/cephferry/cephferry/pkg/staticpv"
	"github.com/cephferry/cephferry/pkg/volumes"
)

// reader counts what it is asked, and fails where it is told to.
type reader struct {
	client.Reader
	mu    sync.Mutex
	calls []string
	fail  string
}

var errBoom = errors.New("boom")

func (r *reader) call(call string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
	if call == r.fail {
		return errBoom
	}
	return nil
}

func (r *reader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if err := r.call(fmt.Sprintf("get %T %s", object, key)); err != nil {
		return err
	}
	return r.Reader.Get(ctx, key, object, options...)
}

func (r *reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	all := (&client.ListOptions{}).ApplyOptions(options)
	call := fmt.Sprintf("list %T", list)
	if all.FieldSelector != nil {
		call += " " + all.FieldSelector.String()
	}
	if err := r.call(call); err != nil {
		return err
	}
	return r.Reader.List(ctx, list, options...)
}

// readers are the cache, with its index, and the API server, without.
func readers(cached, objects []client.Object) (cache, api *reader) {
	build := func(objects []client.Object) *fake.ClientBuilder {
		builder := fake.NewClientBuilder()
		for _, object := range objects {
			builder.WithObjects(object.DeepCopyObject().(client.Object))
		}
		return builder
	}
	return &reader{Reader: build(cached).WithIndex(&corev1.PersistentVolume{}, volumes.ByClaim, volumes.ClaimOf).Build()},
		&reader{Reader: build(objects).Build()}
}

// volume is a static PV, for claim shop/data, with the image of its name.
func volume(name string, change ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: name,
				VolumeAttributes: map[string]string{"staticVolume": "true", "clusterID": "rook-ceph", "pool": "replicapool"},
			}},
		},
	}
	for _, change := range change {
		change(pv)
	}
	return pv
}

func boundTo(uid string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = types.UID(uid) }
}

func free(pv *corev1.PersistentVolume)   { pv.Spec.ClaimRef = nil }
func cephFS(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "cephfs.csi.ceph.com" }
func dynamic(pv *corev1.PersistentVolume) {
	pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "csi-vol-1"}
}
func annotated(pv *corev1.PersistentVolume) {
	pv.Annotations = map[string]string{"cephferry.io/migratable": "true"}
}

// stranger makes the volume that of a claim with the same name and UID elsewhere.
func stranger(pv *corev1.PersistentVolume) {
	pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.UID = "bank", "1"
}

// claim is shop/data with uid 1, or another one.
func claim(volume string, uid ...types.UID) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: append(uid, "1")[0]},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: volume},
	}
}

// asking is the claim, with the name of its image.
func asking(image string) *corev1.PersistentVolumeClaim {
	asks := claim("")
	asks.Annotations = map[string]string{"cephferry.io/migratable": "true", "cephferry.io/image": image}
	return asks
}

const (
	getClaim  = "get *v1.PersistentVolumeClaim shop/data"
	getVolume = "get *v1.PersistentVolume /a"
	byClaim   = "list *v1.PersistentVolumeList spec.claimRef=shop/data"
	getOwn    = "get *v1.PersistentVolume /shop.data" // as it would be made for the claim
	getOther  = "get *v1.PersistentVolume /b"
)

// TestOfClaimsAsksTheCacheFirst counts who is asked for the volumes of shop/data.
func TestOfClaimsAsksTheCacheFirst(t *testing.T) {
	type objects = []client.Object
	tests := map[string]struct {
		cached, objects    objects
		want               []string
		wantUnbound        bool
		wantCache, wantAPI []string
	}{
		"all is in the cache": {
			cached: objects{claim("a"), volume("a", boundTo("1"))}, objects: nil,
			want: []string{"a"}, wantCache: []string{getClaim, getVolume},
		},
		"the volume does not know the claim's UID yet": {
			cached: objects{claim("a"), volume("a")}, objects: nil,
			want: []string{"a"}, wantCache: []string{getClaim, getVolume},
		},
		"the claim is new": {
			cached: objects{volume("a")}, objects: objects{claim("a"), volume("a")},
			want: []string{"a"}, wantCache: []string{getClaim}, wantAPI: []string{getClaim, getVolume, getOwn},
		},
		"the volume is new": {
			cached: objects{claim("a")}, objects: objects{claim("a"), volume("a")},
			want: []string{"a"}, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"the volume is new, and another one has the claim's name": {
			cached: objects{claim("a"), volume("b")}, objects: objects{claim("a"), volume("a"), volume("b")},
			want: []string{"a"}, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"both are new": {
			objects: objects{claim("a"), volume("a")},
			want:    []string{"a"}, wantCache: []string{getClaim}, wantAPI: []string{getClaim, getVolume, getOwn},
		},
		"the claim was made again, of which only the volume tells yet": {
			cached: objects{claim("a", "0"), volume("a", boundTo("1"))}, objects: objects{claim("a"), volume("a", boundTo("1"))},
			want: []string{"a"}, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"the claim names a volume that is for nobody, as before it is bound": {
			cached: objects{claim("a"), volume("a", free)}, objects: objects{claim("a"), volume("a", free)},
			wantUnbound: true, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"the claim names a volume of another namespace": {
			cached: objects{claim("a"), volume("a", stranger)}, objects: objects{claim("a"), volume("a", stranger)},
			wantUnbound: true, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"the claim names a volume of another namespace that has no UID yet": {
			cached: objects{claim("a"), volume("a", stranger, boundTo(""))}, objects: objects{claim("a"), volume("a", stranger, boundTo(""))},
			wantUnbound: true, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"the claim names the volume of its predecessor": {
			cached: objects{claim("a"), volume("a", boundTo("0"))}, objects: objects{claim("a"), volume("a", boundTo("0"))},
			wantUnbound: true, wantCache: []string{getClaim, getVolume}, wantAPI: []string{getClaim, getVolume},
		},
		"the claim names no volume, and one is for it": {
			cached: objects{claim(""), volume("b")},
			want:   []string{"b"}, wantCache: []string{getClaim, byClaim},
		},
		"the claim names no volume, and one is bound to it": {
			cached: objects{claim(""), volume("b", boundTo("1"))},
			want:   []string{"b"}, wantCache: []string{getClaim, byClaim},
		},
		"the claim names no volume, several are for it, and one was an earlier claim's": {
			cached: objects{claim(""), volume("b"), volume("c"), volume("d", boundTo("0"))},
			want:   []string{"b", "c"}, wantCache: []string{getClaim, byClaim},
		},
		"the claim names no volume, and a new one was made for it": {
			cached: objects{claim("")}, objects: objects{claim(""), volume("shop.data"), volume("x", free)},
			want: []string{"shop.data"}, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, getOwn},
		},
		"the claim names no volume, and an image that no volume can be called like": {
			cached: objects{asking("Big_B")}, objects: objects{asking("Big_B"), volume("big-b.image-4f3871815e752191", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "Big_B" })},
			want: []string{"big-b.image-4f3871815e752191"}, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, "get *v1.PersistentVolume /big-b.image-4f3871815e752191"},
		},
		"the claim names no volume, and a new one with the name of its image was made for it": {
			cached: objects{asking("b")}, objects: objects{asking("b"), volume("b")},
			want: []string{"b"}, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, getOther},
		},
		"the claim names no volume, and an image whose name is none": {
			cached: objects{asking("B/..")}, objects: objects{asking("B/..")},
			wantUnbound: true, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, "get *v1.PersistentVolume /b.image-e47609e1599d0105"},
		},
		"the claim names no volume, and a new one of any name is for it: seen when the claim names it": {
			cached: objects{claim("")}, objects: objects{claim(""), volume("b")},
			wantUnbound: true, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, getOwn},
		},
		"the claim names no volume, one was an earlier claim's and a new one is for it": {
			cached: objects{claim(""), volume("b", boundTo("0"))}, objects: objects{claim(""), volume("b", boundTo("0")), volume("shop.data")},
			want: []string{"shop.data"}, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, getOwn, getOther},
		},
		"the claim names no volume, and one was an earlier claim's and is for it now": {
			cached: objects{claim(""), volume("b", boundTo("0"))}, objects: objects{claim(""), volume("b")},
			want: []string{"b"}, wantCache: []string{getClaim, byClaim, byClaim}, wantAPI: []string{getClaim, getOwn, getOther},
		},
		"the claim names a volume that does not exist": {
			cached: objects{claim("a")}, objects: objects{claim("a")},
			wantUnbound: true, wantCache: []string{getClaim, getVolume, byClaim}, wantAPI: []string{getClaim, getVolume, getOwn},
		},
		"the claim does not exist, and a volume is for it": {
			cached: objects{volume("b")}, objects: objects{volume("b")},
			want: []string{"b"}, wantCache: []string{getClaim, byClaim}, wantAPI: []string{getClaim, getOwn, getOther},
		},
		"the claim does not exist, and a volume was an earlier one's": {
			cached: objects{volume("b", boundTo("0"))}, objects: objects{volume("b", boundTo("0"))},
			wantUnbound: true, wantCache: []string{getClaim, byClaim}, wantAPI: []string{getClaim, getOwn, getOther},
		},
		"nothing exists": {
			wantUnbound: true, wantCache: []string{getClaim, byClaim}, wantAPI: []string{getClaim, getOwn},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cache, api := readers(test.cached, test.objects)
			found, err := volumes.Finder{Cache: cache, API: api}.OfClaims(t.Context(), "shop", []string{"data"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, volume := range found.Guarded {
				if volume.Namespace != "shop" || volume.Claim != "data" || volume.PV.Name != staticpv.VolumeName(volume.Image.Name) {
					t.Errorf("got %+v", volume)
				}
				got = append(got, volume.PV.Name)
			}
			same(t, test.want, got)
			same(t, test.wantUnbound, slices.Equal(found.Unbound, []string{"data"}))
			same(t, test.wantCache, cache.calls)
			// Some are made at the same time.
			slices.Sort(test.wantAPI)
			slices.Sort(api.calls)
			same(t, test.wantAPI, api.calls)
		})
	}
}

func same[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestOfClaimsFails: an error of either is an error, and never means that there is
// no volume.
func TestOfClaimsFails(t *testing.T) {
	type objects = []client.Object
	const reading, readingVolume, listing = "read PersistentVolumeClaim shop/data: boom", "read PersistentVolume a: boom", "list PersistentVolumes: boom"
	tests := map[string]struct {
		cached             objects
		failCache, failAPI string
		want               string
	}{
		"the claim, from the cache":   {failCache: getClaim, want: reading},
		"the claim, from the API":     {failAPI: getClaim, want: reading},
		"the volume, from the cache":  {cached: objects{claim("a")}, failCache: getVolume, want: readingVolume},
		"the volume, from the API":    {cached: objects{claim("a")}, failAPI: getVolume, want: readingVolume},
		"the volumes, from the cache": {cached: objects{claim("")}, failCache: byClaim, want: listing},
		"the volume on its way":       {failAPI: getOwn, want: "read PersistentVolume shop.data: boom"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cache, api := readers(test.cached, test.cached)
			cache.fail, api.fail = test.failCache, test.failAPI
			// Also when another claim is fine.
			found, err := volumes.Finder{Cache: cache, API: api}.OfClaims(t.Context(), "shop", []string{"other", "data"})
			if !errors.Is(err, errBoom) || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
			same(t, volumes.Found{}, found)
		})
	}
}

// TestLive: everything is read from the API server.
func TestLive(t *testing.T) {
	cache, api := readers([]client.Object{claim("a", "0"), volume("a", boundTo("0"))}, []client.Object{claim("b"), volume("b", boundTo("1"))})
	found, err := volumes.Finder{Cache: cache, API: api}.Live().OfClaims(t.Context(), "shop", []string{"data"})
	if err != nil || len(found.Guarded) != 1 || found.Guarded[0].PV.Name != "b" {
		t.Errorf("%+v, %v", found, err)
	}
	same(t, nil, cache.calls)
	same(t, []string{getClaim, "get *v1.PersistentVolume /b"}, api.calls)
}

// TestOfClaimsListsNothing: many claims that do not exist cost two small reads each,
// however many volumes there are.
func TestOfClaimsListsNothing(t *testing.T) {
	cache, api := readers(nil, []client.Object{volume("shop.data-42", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.Name = "data-42" })})
	var claims, want []string
	for i := range 100 {
		claims = append(claims, fmt.Sprint("data-", i))
		want = append(want, fmt.Sprint("get *v1.PersistentVolume /shop.data-", i), fmt.Sprint("get *v1.PersistentVolumeClaim shop/data-", i))
	}
	found, err := volumes.Finder{Cache: cache, API: api}.OfClaims(t.Context(), "shop", append(claims, claims...))
	if err != nil {
		t.Fatal(err)
	}
	same(t, 1, len(found.Guarded))
	slices.Sort(want)
	slices.Sort(api.calls)
	same(t, want, api.calls)
}

// TestLiveConfirmsWhatTheCacheHas: of a claim that names no volume, the cache knows which may
// be for it, and the API server says what they are.
func TestLiveConfirmsWhatTheCacheHas(t *testing.T) {
	cached := []client.Object{claim(""), volume("b"), volume("c"), volume("d")}
	now := []client.Object{claim(""), volume("b"), volume("c", stranger)}
	cache, api := readers(cached, now)
	found, err := volumes.Finder{Cache: cache, API: api}.Live().OfClaims(t.Context(), "shop", []string{"data"})
	if err != nil || len(found.Guarded) != 1 || found.Guarded[0].PV.Name != "b" {
		t.Errorf("%+v, %v", found, err)
	}
	same(t, []string{byClaim}, cache.calls)
	same(t, []string{getClaim, getOwn, getOther, "get *v1.PersistentVolume /c", "get *v1.PersistentVolume /d"}, api.calls)
}

func TestGuarded(t *testing.T) {
	image := staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: "a", Static: true}
	made := staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool", Name: "csi-vol-1"}
	nameless := staticpv.Image{ClusterID: "rook-ceph", Pool: "replicapool"}
	withoutName := func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "imageName") }
	const missing = "PersistentVolume a: spec.csi.volumeAttributes[imageName] is missing, so its image is not known"
	both := []volumes.Scope{volumes.ScopeMigratable, volumes.ScopeAll, ""}
	all := []volumes.Scope{volumes.ScopeAll}
	migratable := []volumes.Scope{volumes.ScopeMigratable, ""}

	tests := map[string]struct {
		pv          *corev1.PersistentVolume
		scopes      []volumes.Scope
		want        bool
		wantImage   staticpv.Image
		wantUnnamed bool
		wantError   string
	}{
		"static":                   {pv: volume("a"), scopes: both, want: true, wantImage: image},
		"static, for nobody":       {pv: volume("a", free), scopes: both, want: true, wantImage: image, wantUnnamed: true},
		"dynamic, all":             {pv: volume("a", dynamic), scopes: all, want: true, wantImage: made},
		"dynamic, only migratable": {pv: volume("a", dynamic), scopes: migratable},
		"dynamic, annotated":       {pv: volume("a", dynamic, annotated), scopes: both, want: true, wantImage: made},
		"dynamic, annotated with a no": {pv: volume("a", dynamic, func(pv *corev1.PersistentVolume) {
			pv.Annotations = map[string]string{"cephferry.io/migratable": "false"}
		}), scopes: migratable},
		"dynamic, image unknown":            {pv: volume("a", dynamic, withoutName), scopes: all, want: true, wantImage: nameless, wantError: missing},
		"dynamic, unknown, annotated":       {pv: volume("a", dynamic, withoutName, annotated), scopes: both, want: true, wantImage: nameless, wantError: missing},
		"dynamic, unknown, only migratable": {pv: volume("a", dynamic, withoutName), scopes: migratable},
		"CephFS":                            {pv: volume("a", cephFS, annotated), scopes: both},
		"no CSI volume":                     {pv: volume("a", annotated, func(pv *corev1.PersistentVolume) { pv.Spec.CSI = nil }), scopes: both},
	}
	for name, test := range tests {
		for _, scope := range test.scopes {
			t.Run(fmt.Sprintf("%s, scope %q", name, scope), func(t *testing.T) {
				got, guarded, err := volumes.Finder{Scope: scope}.Guarded(test.pv)
				text := ""
				if err != nil {
					text = err.Error()
				}
				same(t, test.wantError, text)
				same(t, test.want, guarded)
				var want volumes.Volume
				if test.want {
					want = volumes.Volume{PV: test.pv, Image: test.wantImage, Namespace: "shop", Claim: "data"}
					if test.wantUnnamed {
						want.Namespace, want.Claim = "", ""
					}
				}
				same(t, want, got)
			})
		}
	}
}

func TestUnguarded(t *testing.T) {
	once := func(pv *corev1.PersistentVolume) {
		pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	many := func(pv *corev1.PersistentVolume) {
		pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}
	shared, single := volumes.Unguarded{Claim: "data"}, volumes.Unguarded{Claim: "data", SingleWriter: true}
	tests := map[string]struct {
		objects []client.Object
		scope   volumes.Scope
		want    []volumes.Unguarded
	}{
		"for many writers":                        {[]client.Object{claim("a"), volume("a", cephFS, many)}, volumes.ScopeMigratable, []volumes.Unguarded{shared}},
		"for one writer":                          {[]client.Object{claim("a"), volume("a", cephFS, once)}, volumes.ScopeMigratable, []volumes.Unguarded{single}},
		"one of two volumes, which the claim has": {[]client.Object{claim("a"), volume("a", cephFS, once), volume("b", cephFS, many)}, volumes.ScopeMigratable, []volumes.Unguarded{single}},
		"two volumes that the claim could get":    {[]client.Object{volume("a", cephFS, many), volume("b", cephFS, many)}, volumes.ScopeMigratable, []volumes.Unguarded{shared}},
		"made by ceph-csi":                        {[]client.Object{claim("a"), volume("a", cephFS, dynamic, once)}, volumes.ScopeMigratable, nil},
		"made by ceph-csi, and ours now":          {[]client.Object{claim("a"), volume("a", cephFS, dynamic, annotated, once)}, volumes.ScopeMigratable, []volumes.Unguarded{single}},
		"made by ceph-csi, with every volume":     {[]client.Object{claim("a"), volume("a", cephFS, dynamic, many)}, volumes.ScopeAll, []volumes.Unguarded{shared}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cache, api := readers(test.objects, test.objects)
			found, err := volumes.Finder{Cache: cache, API: api, Scope: test.scope}.OfClaims(t.Context(), "shop", []string{"data", "other", "data"})
			if err != nil {
				t.Fatal(err)
			}
			same(t, volumes.Found{Unguarded: test.want, Unbound: []string{"other"}}, found)
		})
	}
}

func TestClaimOf(t *testing.T) {
	tests := map[string]struct {
		object client.Object
		want   []string
	}{
		"a volume for a claim": {volume("a"), []string{"shop/data"}},
		"a volume for nobody":  {volume("a", free), nil},
		"something else":       {claim("a"), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { same(t, test.want, volumes.ClaimOf(test.object)) })
	}
}

// inPod are volumes of a pod: claims by name, an ephemeral one by ~name, and
// anything else by !name.
func inPod(names ...string) corev1.PodSpec {
	var spec corev1.PodSpec
	for _, name := range names {
		volume := corev1.Volume{Name: name}
		switch name[0] {
		case '~':
			volume.Name, volume.Ephemeral = name[1:], &corev1.EphemeralVolumeSource{}
		case '!':
			volume.Name, volume.EmptyDir = name[1:], &corev1.EmptyDirVolumeSource{}
		default:
			volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim-" + name}
		}
		spec.Volumes = append(spec.Volumes, volume)
	}
	return spec
}

func TestClaimsOfPod(t *testing.T) {
	tests := map[string]struct {
		pod  string
		spec corev1.PodSpec
		want []string
	}{
		"no volume":                          {"db-0", inPod(), nil},
		"other volumes":                      {"db-0", inPod("!tmp"), nil},
		"claims":                             {"db-0", inPod("a", "!tmp", "b"), []string{"claim-a", "claim-b"}},
		"an ephemeral volume":                {"db-0", inPod("~scratch"), []string{"db-0-scratch"}},
		"a claim and an ephemeral volume":    {"db-0", inPod("~scratch", "a"), []string{"db-0-scratch", "claim-a"}},
		"an ephemeral volume without a name": {"", inPod("~scratch", "a"), []string{"claim-a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { same(t, test.want, volumes.ClaimsOfPod(test.pod, &test.spec)) })
	}
}

func TestNewClaims(t *testing.T) {
	set := func(start *int32, templates []string, volumeNames ...string) volumes.Workload {
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}}
		s.Spec.Template.Spec = inPod(volumeNames...)
		if start != nil {
			s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: *start}
		}
		for _, template := range templates {
			s.Spec.VolumeClaimTemplates = append(s.Spec.VolumeClaimTemplates, corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: template}})
		}
		return volumes.OfStatefulSet(s)
	}
	deployment := func(names ...string) volumes.Workload {
		d := &appsv1.Deployment{}
		d.Spec.Template.Spec = inPod(names...)
		return volumes.OfDeployment(d)
	}
	ten := int32(10)
	data := []string{"data"}

	const most = 4
	tests := map[string]struct {
		workload volumes.Workload
		from, to int
		want     []string
		more     int
	}{
		"nothing is known of the pods":           {volumes.Workload{}, 0, 3, nil, 0},
		"a Deployment rises":                     {deployment("a", "~scratch", "!tmp", "b"), 1, 3, []string{"claim-a", "claim-b"}, 0},
		"a Deployment stays":                     {deployment("a"), 1, 1, nil, 0},
		"a Deployment falls":                     {deployment("a"), 2, 1, nil, 0},
		"a Deployment with a claim twice":        {deployment("a", "b", "a"), 0, 1, []string{"claim-a", "claim-b"}, 0},
		"a Deployment with many claims":          {deployment("a", "b", "a", "c", "d", "e", "f"), 0, 1, []string{"claim-a", "claim-b", "claim-c", "claim-d"}, 2},
		"a Deployment rises to the most":         {deployment("a"), 0, 1<<31 - 1, []string{"claim-a"}, 0},
		"a StatefulSet rises from zero":          {set(nil, data), 0, 2, []string{"data-db-0", "data-db-1"}, 0},
		"a StatefulSet rises":                    {set(nil, data), 2, 4, []string{"data-db-2", "data-db-3"}, 0},
		"a StatefulSet stays":                    {set(nil, data), 2, 2, nil, 0},
		"a StatefulSet falls":                    {set(nil, data, "a"), 2, 0, nil, 0},
		"a StatefulSet that starts at ten":       {set(&ten, data), 0, 2, []string{"data-db-10", "data-db-11"}, 0},
		"a StatefulSet that starts at ten rises": {set(&ten, data), 2, 3, []string{"data-db-12"}, 0},
		"a StatefulSet rises to the most":        {set(&ten, data), 5, 1<<31 - 1, []string{"data-db-15", "data-db-16", "data-db-17", "data-db-18"}, 1<<31 - 10},
		"several templates":                      {set(nil, []string{"data", "log"}), 0, 2, []string{"data-db-0", "log-db-0", "data-db-1", "log-db-1"}, 0},
		"several templates and many ordinals":    {set(nil, []string{"data", "log", "tmp"}), 0, 1000, []string{"data-db-0", "log-db-0", "tmp-db-0", "data-db-1"}, 2996},
		"a template and a shared claim":          {set(nil, data, "a"), 1, 2, []string{"claim-a", "data-db-1"}, 0},
		"a template goes before a volume":        {set(nil, data, "data", "a"), 0, 1, []string{"claim-a", "data-db-0"}, 0},
		"no template, and a shared claim":        {set(nil, nil, "a"), 0, 1<<31 - 1, []string{"claim-a"}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			claims, more := test.workload.NewClaims(test.from, test.to, most)
			same(t, test.want, claims)
			same(t, test.more, more)
		})
	}
}

// TestSameImage: a volume of another claim may have the same image.
func TestSameImage(t *testing.T) {
	image := func(name string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = name }
	}
	dynamicA := func(pv *corev1.PersistentVolume) {
		pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "imageName": "a"}
	}
	nowhere := func(pv *corev1.PersistentVolume) { delete(pv.Spec.CSI.VolumeAttributes, "pool") }
	var objects []client.Object
	for _, pv := range []*corev1.PersistentVolume{
		volume("a"), volume("b"), volume("alias", image("a")), volume("dynamic", dynamicA), volume("unclaimed", image("a"), free),
		volume("files", image("a"), cephFS), volume("nowhere", image("a"), nowhere),
	} {
		objects = append(objects, pv)
	}
	cache := fake.NewClientBuilder().WithObjects(objects...).WithIndex(&corev1.PersistentVolume{}, volumes.ByImage, volumes.ImageOf).Build()
	finder := volumes.Finder{Cache: cache}
	asked, guarded, err := finder.Guarded(volume("a"))
	if err != nil || !guarded {
		t.Fatal(guarded, err)
	}
	all, err := finder.SameImage(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range all {
		got = append(got, v.PV.Name+" "+v.Namespace+"/"+v.Claim)
	}
	same(t, []string{"a shop/data", "alias shop/data", "dynamic shop/data", "nowhere shop/data", "unclaimed /"}, got)
}

// TestTheIndexByImage finds a volume by its image, by its handle, and by its subvolume.
func TestTheIndexByImage(t *testing.T) {
	image := func(name string) func(*corev1.PersistentVolume) {
		return func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = name }
	}
	keyed := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeHandle = "shop.data~east" }
	other := func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "nfs.example.com" }
	none := volume("a")
	none.Spec.CSI = nil
	for name, test := range map[string]struct {
		pv   client.Object
		want []string
	}{
		"an image":            {volume("a", image("shop.data")), []string{"shop.data"}},
		"one with a key":      {volume("a", keyed), []string{"shop.data", "shop.data~east"}},
		"a subvolume":         {volume("a", image("shop.files"), cephFS), []string{"shop.files"}},
		"of another driver":   {volume("a", image("shop.data"), other), []string{"shop.data"}},
		"a volume without it": {none, nil},
		"no volume":           {&corev1.Node{}, nil},
	} {
		t.Run(name, func(t *testing.T) { same(t, test.want, volumes.ImageOf(test.pv)) })
	}
}
