package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
)

const mib = 1 << 20

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAVolumeIsMade(t *testing.T) {
	w := newWorld(t, nil, pvc())
	result, err := w.reconcile("data")
	if err != nil || !result.IsZero() {
		t.Fatal(result, err)
	}
	filesystem := corev1.PersistentVolumeFilesystem
	var got corev1.PersistentVolume
	if err := w.objects.Get(t.Context(), client.ObjectKey{Name: "shop.data"}, &got); err != nil {
		t.Fatal(err)
	}
	got.ResourceVersion, got.TypeMeta = "", metav1.TypeMeta{}
	same(t, "PersistentVolume", corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop.data", Labels: map[string]string{"cephferry.io/door": "claim"},
			Annotations: map[string]string{"cephferry.io/migratable": "true", "cephferry.io/created-by": "cluster"},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")},
			ClaimRef:    &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data", UID: "1"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop.data",
				NodeStageSecretRef: &corev1.SecretReference{Namespace: "rook-ceph", Name: "node"},
				VolumeAttributes:   map[string]string{"clusterID": "rook-ceph", "pool": pool, "staticVolume": "true", "imageFeatures": "exclusive-lock,layering", "mapOptions": "exclusive,noshare"},
			}},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			VolumeMode:                    &filesystem,
		},
	}, got)
	same(t, "size", uint64(mib), w.ceph.ImageLayout(spec).Size)
	same(t, "Ceph", []string{"rook-ceph as rook-ceph/node", "rook-ceph as rook-ceph/maker", "rook-ceph as rook-ceph/maker"}, w.asked)
	same(t, "events", []string{
		"Normal ProvisioningSucceeded: created PersistentVolume shop.data of image replicapool/north/shop.data for class block",
	}, w.events)

	// Until the binder has seen it, nothing more is done.
	before := len(w.calls())
	if result, err := w.reconcile("data"); err != nil || !result.IsZero() || len(w.calls()) != before || len(w.events) != 1 {
		t.Errorf("again: %v, %v, calls %v, events %v", result, err, w.calls()[before:], w.events)
	}
}

// TestWhatIsNotOurs: no claim of these is touched, and Ceph is not asked.
func TestWhatIsNotOurs(t *testing.T) {
	other := "block"
	for name, claim := range map[string]*corev1.PersistentVolumeClaim{
		"not annotated":                edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }),
		"opted out":                    pvc("migratable=false"),
		"opted out, with others":       pvc("migratable=false", "image=x"),
		"with a class":                 edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = &other }),
		"without a word about a class": edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = nil }),
		"with a class, the old way": edit(pvc(), func(c *corev1.PersistentVolumeClaim) {
			c.Annotations[corev1.BetaStorageClassAnnotation] = "block"
		}),
		"that names its volume":    edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "bank.data" }),
		"that has lost its volume": edit(pvc(), func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimLost }),
		"that is being deleted": edit(pvc(), func(c *corev1.PersistentVolumeClaim) {
			now := metav1.Now()
			c.DeletionTimestamp, c.Finalizers = &now, []string{"kubernetes.io/pvc-protection"}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, claim)
			result, err := w.reconcile("data")
			if err != nil || !result.IsZero() {
				t.Error(result, err)
			}
			same(t, "calls", []string(nil), w.calls())
			same(t, "events", []string(nil), w.events)
			same(t, "conditions", []string(nil), w.conditions("data"))
			same(t, "volumes", []string(nil), w.names())
		})
	}
}

// TestMistakes: each is told once, on the claim, before Ceph is asked, and nothing
// is tried again soon.
func TestMistakes(t *testing.T) {
	granted := "Forbidden: namespace shop may use images whose names begin with \"shop.\", and image %q is not granted to it; the platform team grants it with the annotation cephferry.io/images on the namespace"
	notGranted := func(image string) string {
		return "metadata.annotations[cephferry.io/image]: " + fmt.Sprintf(granted, image)
	}
	set := func(name, template string, annotations ...string) *appsv1.StatefulSet {
		claim := pvc(annotations...)
		claim.Namespace, claim.Name = "", template
		return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: appsv1.StatefulSetSpec{VolumeClaimTemplates: []corev1.PersistentVolumeClaim{*claim}}}
	}
	ordinal := func(annotations ...string) *corev1.PersistentVolumeClaim {
		return edit(pvc(annotations...), func(c *corev1.PersistentVolumeClaim) { c.Name = "data-db-0" })
	}
	for name, test := range map[string]struct {
		claim   *corev1.PersistentVolumeClaim
		objects []client.Object
		want    string
	}{
		"an unknown key": {pvc("imagine=x"), nil,
			`metadata.annotations[cephferry.io/imagine]: Unsupported value: "cephferry.io/imagine": supported values: "cephferry.io/migratable", "cephferry.io/image", "cephferry.io/replicas", "cephferry.io/adopt", "cephferry.io/class", "cephferry.io/size", "cephferry.io/exclusive", "cephferry.io/keyed"`},
		"a typing mistake in the opt-in": {pvc("migratable=yes"), nil,
			`metadata.annotations[cephferry.io/migratable]: Invalid value: "yes": must be "true" or "false"`},
		"all at once": {edit(pvc("size=big", "class=none"), func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{}
		}), nil, `metadata.annotations[cephferry.io/size]: Invalid value: "big": must be a quantity such as 10Gi, above 0 and at most 1Ei; ` +
			`spec.selector: Forbidden: the claim's PersistentVolume is named, not selected; ` +
			`metadata.annotations[cephferry.io/class]: Invalid value: "none": no such StorageClass as "none"; there are: "block"`},
		"replicas on a claim": {pvc("replicas=2"), nil,
			"metadata.annotations[cephferry.io/replicas]: Forbidden: only a claim template of a StatefulSet has ordinals"},
		"a class of something else": {pvc("class=nfs"), []client.Object{edit(class("nfs"), func(c *storageClass) { c.Provisioner = "nfs" })},
			`metadata.annotations[cephferry.io/class]: Invalid value: "nfs": StorageClass nfs: provisioner: Invalid value: "nfs": is not ceph-csi's driver for RBD or CephFS`},
		"a class without a secret": {pvc("class=poor"), []client.Object{edit(class("poor"), func(c *storageClass) {
			delete(c.Parameters, "csi.storage.k8s.io/provisioner-secret-name")
		})}, `metadata.annotations[cephferry.io/class]: Invalid value: "poor": StorageClass poor names no secret to make images with: set its parameters csi.storage.k8s.io/provisioner-secret-name and -namespace`},
		"a filesystem for many on RBD": {edit(pvc(), func(c *corev1.PersistentVolumeClaim) {
			c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
		}), nil, `spec.accessModes: Invalid value: "ReadWriteMany": class "block" is an RBD class, and two nodes that mount one RBD filesystem destroy it; use ReadWriteOnce, volumeMode Block, or a CephFS class`},

		"another tenant's image":                    {pvc("image=bank.data"), nil, notGranted("bank.data")},
		"another tenant's image, adopted":           {pvc("image=bank.data", "adopt=true"), nil, notGranted("bank.data")},
		"a name that begins like the namespace":     {pvc("image=shop-b.data"), nil, notGranted("shop-b.data")},
		"a name that begins like it, without a dot": {pvc("image=shopx"), nil, notGranted("shopx")},
		"a volume of ceph-csi that is not granted":  {pvc("image=csi-vol-0aa", "adopt=true"), nil, notGranted("csi-vol-0aa")},
		"adopt what has the name":                   {pvc("adopt=shop.data"), nil, `metadata.annotations[cephferry.io/adopt]: Invalid value: "shop.data": is the name that the image is to get; write "true" if it has that, and keeps it`},
		"upper case":                                {pvc("image=SHOP.data"), nil, notGranted("SHOP.data")},
		"a name that no image should have": {pvc("image=shop.data/0"), nil,
			`metadata.annotations[cephferry.io/image]: Invalid value: "shop.data/0": must be letters, digits, '-', '_' and '.', and must not begin or end with '-' or '.'`},
		"a base name whose ordinal is another tenant's": {ordinal("image=bank.data"), []client.Object{set("db", "data", "image=bank.data")}, notGranted("bank.data-0")},
		"a name with a number at the end, and no StatefulSet": {ordinal("image=shop.x"), nil,
			`metadata.annotations[cephferry.io/image]: Invalid value: "shop.x": the claim's name ends in a number, like those of a StatefulSet, and no StatefulSet of the namespace has a claim template for it with this annotation: it cannot be known whether this is the image's name or a base name; create the StatefulSet first, or give the claim another name`},
		"a StatefulSet with another annotation": {ordinal("image=shop.x"), []client.Object{set("db", "data", "image=shop.y")},
			`metadata.annotations[cephferry.io/image]: Invalid value: "shop.x": the claim's name ends in a number, like those of a StatefulSet, and no StatefulSet of the namespace has a claim template for it with this annotation: it cannot be known whether this is the image's name or a base name; create the StatefulSet first, or give the claim another name`},
		"an image that another claim has": {pvc("image=shop.other"), []client.Object{ptr(volume(named("shop.other"), forClaim("shop", "other", "2")))},
			"PersistentVolume shop.other has image shop.other already, for claim shop/other"},
		"the renderer's volume": {pvc(), []client.Object{ptr(volume(byRenderer))},
			"PersistentVolume shop.data exists, and was not created by the cluster: it is for claim shop/data; delete one of the two, or name it in spec.volumeName if it is the one you want"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, append(test.objects, test.claim)...)
			before := w.names()
			for range 2 {
				result, err := w.reconcile(test.claim.Name)
				if err != nil || result.RequeueAfter != retryInvalid {
					t.Error(result, err)
				}
			}
			event := "Warning ProvisioningFailed: " + test.want
			same(t, "events", []string{event}, w.events)
			same(t, "conditions", []string{"Stalled: " + test.want}, w.conditions(test.claim.Name))
			same(t, "Ceph", []string(nil), w.asked)
			same(t, "volumes", before, w.names())
		})
	}
}

func ptr[T any](value T) *T { return &value }

// TestNamesFromStatefulSets: claims made from a template carry its annotations.
func TestNamesFromStatefulSets(t *testing.T) {
	template := func(name string, annotations ...string) corev1.PersistentVolumeClaim {
		return *edit(pvc(annotations...), func(c *corev1.PersistentVolumeClaim) { c.Namespace, c.Name = "", name })
	}
	sets := []client.Object{
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}, Spec: appsv1.StatefulSetSpec{
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{template("logs", "replicas=3"), template("data", "image=shop.box", "replicas=3"), template("old", "image=shop.old", "adopt=true")}}},
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "x"}, Spec: appsv1.StatefulSetSpec{
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{template("data", "image=shop.box")}}},
	}
	for claim, test := range map[string]struct {
		annotations []string
		want        string
	}{
		"data-db-0":     {[]string{"image=shop.box", "replicas=3"}, "shop.box-0"},
		"data-db-12":    {[]string{"image=shop.box", "replicas=3"}, "shop.box-12"},
		"logs-db-2":     {[]string{"replicas=3"}, "shop.logs-db-2"},
		"old-db-1":      {[]string{"image=shop.old", "adopt=true"}, "shop.old-1"},
		"single-1":      {nil, "shop.single-1"},
		"single-2":      {[]string{"image=shop.old", "adopt=true"}, "shop.old"},
		"plain":         {[]string{"image=shop.box"}, "shop.box"},
		"data-db-01":    {[]string{"image=shop.box"}, "shop.box"},
		"data-db-0-old": {[]string{"image=shop.box"}, "shop.box"},
	} {
		t.Run(claim, func(t *testing.T) {
			object := edit(pvc(test.annotations...), func(c *corev1.PersistentVolumeClaim) { c.Name = claim })
			w := newWorld(t, []cephtest.Image{{Name: "shop.old", Layout: ceph.Layout{Size: mib}}, {Name: "shop.old-1", Layout: ceph.Layout{Size: mib}}}, append(sets, object)...)
			if _, err := w.reconcile(claim); err != nil {
				t.Fatal(err)
			}
			same(t, "volumes", []string{test.want}, w.names())
		})
	}
}

func TestGrants(t *testing.T) {
	w := newWorld(t, []cephtest.Image{{Name: "csi-vol-0aa", Layout: ceph.Layout{Size: 2 * mib}}}, edit(pvc("image=csi-vol-0aa", "adopt=true"), func(c *corev1.PersistentVolumeClaim) {
		c.Namespace = "team"
		c.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Mi")
	}), namespace("team", "shared.*, csi-vol-0aa"))
	request := reconcileRequest("team", "data")
	if result, err := w.claims.Reconcile(t.Context(), request); err != nil || !result.IsZero() {
		t.Fatal(result, err)
	}
	same(t, "volumes", []string{"csi-vol-0aa"}, w.names())
}

// TestAdoptionRenames: the old name has to be granted until the image has its new one, and
// the image must be idle until then.
func TestAdoptionRenames(t *testing.T) {
	const (
		notGranted = `metadata.annotations[cephferry.io/adopt]: Forbidden: namespace shop may use images whose names begin with "shop.", and image "csi-vol-0aa" is not granted to it; the platform team grants it with the annotation cephferry.io/images on the namespace`
		open       = "the image cannot get another name now: image csi-vol-0aa is to become replicapool/north/shop.data, and it is open at 10.0.0.1:0/7; stop what uses it there"
		noKey      = "there is no key for the image: image replicapool/north/shop.data must carry the name of the cluster that owns it when it is adopted; " +
			"render with --create client --cluster-name NAME, the name that the chart cephferry has as cluster.name here, or with --create cluster where its value provisioner.keyed is true; " +
			"or write cephferry.io/keyed: \"false\" for an image that gets its new name and no key"
	)
	old := spec
	old.Name = "csi-vol-0aa"
	watcher := ceph.Watcher{Addr: "10.0.0.1:0/7", Client: "client.7", Cookie: 1}
	w := newWorld(t, []cephtest.Image{{Name: old.Name, Layout: ceph.Layout{Size: 2 * mib}}}, pvc("adopt=csi-vol-0aa"))
	w.ceph.AddWatcher(old, watcher)
	grant := func(images string) {
		t.Helper()
		if err := w.objects.Update(t.Context(), namespace("shop", images)); err != nil {
			t.Fatal(err)
		}
	}
	stalled := func(text string, after time.Duration) {
		t.Helper()
		w.events = nil
		if result, err := w.reconcile("data"); err != nil || result.RequeueAfter != after {
			t.Error(result, err)
		}
		same(t, "conditions", []string{"Stalled: " + text}, w.conditions("data"))
		same(t, "volumes", []string(nil), w.names())
	}
	w.claims.Self = ceph.Party{UID: "uid of east", Name: "east"}
	stalled(notGranted, retryInvalid)
	grant("csi-vol-0aa")
	stalled(open, retryHeld)
	w.ceph.RemoveWatcher(old, watcher)
	w.claims.Self = ceph.Party{}
	stalled(noKey, retryInvalid)
	w.claims.Self = ceph.Party{UID: "uid of east", Name: "east"}

	w.events = nil
	if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
		t.Fatal(result, err)
	}
	var pv corev1.PersistentVolume
	made := func() {
		t.Helper()
		if err := w.objects.Get(t.Context(), client.ObjectKey{Name: "shop.data"}, &pv); err != nil {
			t.Fatal(err)
		}
		same(t, "volume", []string{"shop.data~east", "noshare", "2Mi"}, []string{pv.Spec.CSI.VolumeHandle, pv.Spec.CSI.VolumeAttributes["mapOptions"], pv.Spec.Capacity.Storage().String()})
	}
	made()
	same(t, "events", []string{
		"Normal ProvisioningSucceeded: created PersistentVolume shop.data of image replicapool/north/shop.data for class block, which was csi-vol-0aa",
	}, w.events)

	// A claim that is made again needs no grant, and neither does its growth.
	grant("")
	if err := w.objects.Delete(t.Context(), &pv); err != nil {
		t.Fatal(err)
	}
	w.events = nil
	if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
		t.Fatal(result, err)
	}
	made()
	same(t, "events", []string{"Normal ProvisioningSucceeded: created PersistentVolume shop.data of image replicapool/north/shop.data for class block, which is taken as it is: whether there is an image csi-vol-0aa is not for this namespace to know"}, w.events)
}

// TestAdoptionByAWrongName: an image that has the claim's name already counts as adopted, and the
// claim says that there is none of the old name.
func TestAdoptionByAWrongName(t *testing.T) {
	w := newWorld(t, []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: mib}}, {Name: "csi-vol-0aa", Layout: ceph.Layout{Size: mib}}}, pvc("adopt=shop.0ab"))
	if _, err := w.reconcile("data"); err != nil {
		t.Fatal(err)
	}
	same(t, "events", []string{
		"Normal ProvisioningSucceeded: created PersistentVolume shop.data of image replicapool/north/shop.data for class block, which is taken as it is: " +
			"there is no image shop.0ab, so it was adopted before, or the annotation cephferry.io/adopt has a wrong name",
	}, w.events)
}

// TestFailures of Ceph and of the API server: what is said, and when it is tried
// again.
func TestFailures(t *testing.T) {
	type outcome struct {
		Condition string
		After     time.Duration
		Error     bool
		Images    bool
	}
	denyCephs := func(err error) func(*world) { return func(w *world) { w.connect = err } }
	secrets := apierrors.NewForbidden(corev1.Resource("secrets"), "maker", errors.New("no"))
	for name, test := range map[string]struct {
		arrange func(*world)
		want    outcome
	}{
		"Ceph does not answer": {denyCephs(fmt.Errorf("connect: %w", ceph.ErrUnreachable)),
			outcome{Condition: "Reconciling: connect: ceph does not answer; it is tried again until Ceph answers", Error: true}},
		"Ceph stops answering": {func(w *world) { w.ceph.Intercept(cephtest.Unreachable) },
			outcome{Condition: `Reconciling: look at image "replicapool/north/shop.data": ceph does not answer; it is tried again until Ceph answers`, Error: true}},
		"the key is of type aes256k": {denyCephs(fmt.Errorf("connect: %w (librados 16.2.15: invalid argument)", ceph.ErrKeyType)),
			outcome{Condition: "Stalled: connect: the key is of type aes256k, which this program's librados does not know (librados 16.2.15: invalid argument); " + ceph.Advice(ceph.ErrKeyType), After: retryInvalid}},
		"two Cephs for the clusterID": {denyCephs(fmt.Errorf("%w for clusterID rook-ceph: here, and there", csiconfig.ErrAmbiguous)),
			outcome{Condition: "Stalled: ceph-csi's configuration is ambiguous for clusterID rook-ceph: here, and there", After: retryInvalid}},
		"a clusterID by topology": {denyCephs(fmt.Errorf("%w: ConfigMap", csiconfig.ErrTopology)),
			outcome{Condition: "Stalled: a migratable volume is on one Ceph, for every node: ConfigMap", After: retryInvalid}},
		"a driver of another ceph-csi": {func(w *world) {
			w.claims.Installed = func(_ context.Context, driver string) error {
				return fmt.Errorf("driver %s: %w", driver, connect.ErrInstallation)
			}
		}, outcome{Condition: "Stalled: driver rook-ceph.rbd.csi.ceph.com: the configuration of that ceph-csi is not read", After: retryInvalid}},
		"the clusterID is not configured": {denyCephs(fmt.Errorf("%w for clusterID rook-ceph", csiconfig.ErrNotFound)),
			outcome{Condition: "Stalled: no ceph-csi configuration for clusterID rook-ceph", After: retryInvalid}},
		"the secret may not be read": {denyCephs(fmt.Errorf("read Secret rook-ceph/maker: %w", secrets)),
			outcome{Condition: `Stalled: read Secret rook-ceph/maker: secrets "maker" is forbidden: no; add the secret to the value provisioner.secrets of the chart cephferry (if that is empty, with the secrets of Rook's usual names, which it stands for then), or set ceph.findSecrets`, After: retryInvalid}},
		"the file system is not there": {denyCephs(fmt.Errorf("look at subvolume: %w", ceph.ErrFilesystemNotFound)),
			outcome{Condition: "Stalled: look at subvolume: the file system does not exist; compare the StorageClass parameter \"fsName\" with `ceph fs ls`", After: retryInvalid}},
		"the subvolume is not there": {denyCephs(fmt.Errorf("adopt subvolume: %w", ceph.ErrSubvolumeNotFound)),
			outcome{Condition: "Stalled: adopt subvolume: the subvolume does not exist; compare the name with `ceph fs subvolume ls <file system> <group>`", After: retryInvalid}},
		"the pool is full": {func(w *world) { w.ceph.SetFull(pool, true) },
			outcome{Condition: `Stalled: create image "replicapool/north/shop.data": the pool is full or its quota is used up; raise the quota with ` + "`ceph osd pool set-quota <pool> max_bytes <bytes>`" + `, or free space`, After: retryInvalid}},
		"the API server is away": {func(w *world) { w.create = apierrors.NewTimeoutError("try later", 1) },
			outcome{Condition: "Reconciling: Timeout: try later", Error: true, Images: true}},
		"somebody was faster": {func(w *world) {
			w.create = apierrors.NewAlreadyExists(corev1.Resource("persistentvolumes"), "shop.data")
		},
			outcome{Condition: "Reconciling: PersistentVolume shop.data was created by somebody else a moment ago", After: retryHeld, Images: true}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, pvc())
			test.arrange(w)
			for range 2 {
				result, err := w.reconcile("data")
				got := outcome{After: result.RequeueAfter, Error: err != nil, Images: slices.Contains(w.calls(), "PutRecord")}
				got.Condition = strings.Join(w.conditions("data"), "\n")
				same(t, "outcome", test.want, got)
			}
			// Told once.
			warnings := slices.DeleteFunc(slices.Clone(w.events), func(e string) bool { return !strings.HasPrefix(e, "Warning") })
			if len(warnings) > 1 {
				t.Errorf("events %q", warnings)
			}

			// And when it is over, the claim gets its volume and says nothing more.
			w.connect, w.create, w.claims.Installed = nil, nil, nil
			w.ceph.Intercept(nil)
			w.ceph.SetFull(pool, false)
			for range 2 {
				if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
					t.Error(result, err)
				}
			}
			same(t, "volumes", []string{"shop.data"}, w.names())
			same(t, "conditions", []string(nil), w.conditions("data"))
		})
	}
}

// TestSizes: the request is what the volume shows, the image is at least that.
func TestSizes(t *testing.T) {
	type outcome struct {
		Capacity  string
		Image     uint64
		Condition string
	}
	image := func(size, claim uint64) []cephtest.Image {
		return []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: size * mib}, ClaimSize: claim * mib}}
	}
	for name, test := range map[string]struct {
		annotations []string
		images      []cephtest.Image
		want        outcome
	}{
		"a larger image is asked for":               {[]string{"size=3Mi"}, nil, outcome{"1Mi", 3, ""}},
		"less than the request is asked for":        {[]string{"size=1"}, nil, outcome{"1Mi", 1, ""}},
		"the image is there":                        {nil, image(1, 1), outcome{"1Mi", 1, ""}},
		"the leader ended before the record":        {[]string{"size=3Mi"}, image(3, 0), outcome{"1Mi", 3, ""}},
		"the image is there, and is to be larger":   {[]string{"size=3Mi"}, image(1, 1), outcome{"1Mi", 3, ""}},
		"the image has grown":                       {nil, image(4, 1), outcome{"1Mi", 4, ""}},
		"the image has grown further than is asked": {[]string{"size=3Mi"}, image(4, 1), outcome{"1Mi", 4, ""}},
		"adopt":                {[]string{"adopt=true"}, image(1, 0), outcome{"1Mi", 1, ""}},
		"adopt what grew":      {[]string{"adopt=true"}, image(4, 1), outcome{"1Mi", 4, ""}},
		"adopt what is larger": {[]string{"adopt=true"}, image(4, 0), outcome{"4Mi", 4, ""}},
		"adopt what is not there": {[]string{"adopt=true"}, nil, outcome{"", 0,
			"Stalled: adopt image replicapool/north/shop.data: the image does not exist; compare the name with `rbd ls`"}},
		"the image was made for more": {nil, image(4, 4), outcome{"", 4,
			"Stalled: the request is below the volume's size: image replicapool/north/shop.data has 4Mi, the claim asks for 1Mi; images never shrink, so ask for at least 4Mi"}},
		"the image is somebody's": {nil, image(4, 0), outcome{"", 4,
			"Stalled: the request is below the volume's size: image replicapool/north/shop.data has 4Mi, the claim asks for 1Mi; images never shrink, so ask for at least 4Mi"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.images, pvc(test.annotations...))
			if _, err := w.reconcile("data"); err != nil {
				t.Fatal(err)
			}
			got := outcome{Condition: strings.Join(w.conditions("data"), "\n")}
			var pv corev1.PersistentVolume
			if err := w.objects.Get(t.Context(), client.ObjectKey{Name: "shop.data"}, &pv); err == nil {
				got.Capacity = pv.Spec.Capacity.Storage().String()
			}
			if test.want.Image > 0 {
				got.Image = w.ceph.ImageLayout(spec).Size / mib
			}
			same(t, "outcome", test.want, got)
		})
	}
}

// TestInterruptions: wherever the leader ends, the next one comes to the same end.
func TestInterruptions(t *testing.T) {
	for _, method := range []string{"Image", "CreateImage", "PutRecord"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %t", method, done), func(t *testing.T) {
				w := newWorld(t, nil, pvc("size=3Mi"))
				w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
					if call.Method != method {
						return proceed()
					}
					if done {
						_ = proceed() // the answer is lost, whatever it is
					}
					return ceph.ErrUnreachable
				})
				if _, err := w.reconcile("data"); err == nil {
					t.Fatal("it went through")
				}
				w.ceph.Intercept(nil)
				if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
					t.Error(result, err)
				}
				same(t, "volumes", []string{"shop.data"}, w.names())
				same(t, "size", uint64(3*mib), w.ceph.ImageLayout(spec).Size)
			})
		}
	}
}
