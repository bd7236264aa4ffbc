package provisioner

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownClass is a class with our provisioner that takes its settings from another one.
func ownClass(name, from string) *storagev1.StorageClass {
	retain := corev1.PersistentVolumeReclaimRetain
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: "cephferry.io/provisioner",
		Parameters: map[string]string{"cephferry.io/class": from}, ReclaimPolicy: &retain,
	}
}

// classed is a claim of that class, as the PersistentVolume controller has marked it, with
// annotations as [pvc] takes them.
func classed(class string, annotations ...string) *corev1.PersistentVolumeClaim {
	return edit(pvc(annotations...), func(c *corev1.PersistentVolumeClaim) {
		if len(annotations) == 0 {
			c.Annotations = map[string]string{}
		}
		c.Spec.StorageClassName = &class
		c.Annotations["volume.kubernetes.io/storage-provisioner"] = "cephferry.io/provisioner"
	})
}

// TestAClaimOfOurClass gets what an annotated claim gets, and its class.
func TestAClaimOfOurClass(t *testing.T) {
	made := func(claim *corev1.PersistentVolumeClaim) corev1.PersistentVolume {
		t.Helper()
		w := newWorld(t, nil, ownClass("migratable", "block"), claim)
		if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
			t.Fatal(result, err, w.conditions("data"))
		}
		var pv corev1.PersistentVolume
		if err := w.objects.Get(t.Context(), client.ObjectKey{Name: "shop.data"}, &pv); err != nil {
			t.Fatal(err)
		}
		return pv
	}
	for name, claim := range map[string]*corev1.PersistentVolumeClaim{
		"without annotations":          classed("migratable"),
		"that says what is so already": classed("migratable", "migratable=true"),
		"that names its class twice":   classed("migratable", "class=migratable"),
		"marked the old way": edit(classed("migratable"), func(c *corev1.PersistentVolumeClaim) {
			c.Annotations = map[string]string{"volume.beta.kubernetes.io/storage-provisioner": "cephferry.io/provisioner"}
		}),
		"with its class in the annotation": edit(classed("migratable"), func(c *corev1.PersistentVolumeClaim) {
			c.Spec.StorageClassName = nil
			c.Annotations[corev1.BetaStorageClassAnnotation] = "migratable"
		}),
	} {
		t.Run(name, func(t *testing.T) {
			want, got := made(pvc()), made(claim)
			want.Spec.StorageClassName = "migratable"
			want.Labels = map[string]string{"cephferry.io/door": "class"}
			same(t, "PersistentVolume", want, got)
		})
	}
	t.Run("by annotation, without a class", func(t *testing.T) {
		same(t, "PersistentVolume", made(pvc()), made(pvc("class=migratable")))
	})
}

// TestClaimsOfOurClassThatAreRefused before Ceph is asked.
func TestClaimsOfOurClassThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		claim *corev1.PersistentVolumeClaim
		class *storagev1.StorageClass
		want  string
	}{
		"opted out": {classed("migratable", "migratable=false"), nil,
			`metadata.annotations[cephferry.io/migratable]: Invalid value: "false": class migratable has migratable volumes only; name another class, or remove the annotation`},
		"another class in the annotation": {classed("migratable", "class=block"), nil,
			`metadata.annotations[cephferry.io/class]: Invalid value: "block": spec.storageClassName names migratable; keep one of the two`},
		"an unknown annotation": {classed("migratable", "imagine=x"), nil,
			`metadata.annotations[cephferry.io/imagine]: Unsupported value`},
		"another tenant's image": {classed("migratable", "image=bank.data"), nil,
			`metadata.annotations[cephferry.io/image]: Forbidden: namespace shop may use images`},
		"a class of a class that is not there": {classed("migratable"), ownClass("migratable", "gone"),
			`spec.storageClassName: Invalid value: "migratable": StorageClass migratable: parameters[cephferry.io/class]: Invalid value: "gone": no such StorageClass as "gone"`},
		"a class that is not there any more": {classed("former"), nil,
			`spec.storageClassName: Invalid value: "former": no such StorageClass as "former"`},
	} {
		t.Run(name, func(t *testing.T) {
			class := test.class
			if class == nil {
				class = ownClass("migratable", "block")
			}
			w := newWorld(t, nil, class, test.claim)
			if result, err := w.reconcile("data"); err != nil || result.RequeueAfter != retryInvalid {
				t.Error(result, err)
			}
			said := w.conditions("data")
			if len(said) != 1 || !strings.HasPrefix(said[0], "Stalled: "+test.want) {
				t.Errorf("got %q, want one that begins with %q", said, test.want)
			}
			same(t, "Ceph", []string(nil), w.asked)
			same(t, "volumes", []string(nil), w.names())
		})
	}
}

// TestClaimsOfOtherClasses are left alone, whatever is written on them.
func TestClaimsOfOtherClasses(t *testing.T) {
	unmarked := classed("migratable")
	delete(unmarked.Annotations, "volume.kubernetes.io/storage-provisioner")
	for name, claim := range map[string]*corev1.PersistentVolumeClaim{
		"a class of ceph-csi's, marked as ours":    classed("block"),
		"our class, before the controller says so": unmarked,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, ownClass("migratable", "block"), claim)
			if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
				t.Error(result, err)
			}
			same(t, "calls", []string(nil), w.calls())
			same(t, "events", []string(nil), w.events)
			same(t, "conditions", []string(nil), w.conditions("data"))
			same(t, "volumes", []string(nil), w.names())
		})
	}
}

// TestAClaimOfOurClassGrows by its annotation, which needs no other.
func TestAClaimOfOurClassGrows(t *testing.T) {
	claim := edit(classed("migratable"), func(c *corev1.PersistentVolumeClaim) {
		c.Annotations["cephferry.io/size"] = "4Mi"
		c.Spec.VolumeName, c.Status.Phase = "shop.data", corev1.ClaimBound
	})
	w := newWorld(t, grownImage(2, 1), ownClass("migratable", "block"), claim, ptr(volume()))
	if result, err := w.reconcile("data"); err != nil || !result.IsZero() {
		t.Error(result, err)
	}
	same(t, "size", uint64(4*mib), w.ceph.ImageLayout(spec).Size)
	same(t, "events", []string{"Normal Resized: grew image replicapool/north/shop.data to 4Mi"}, w.events)
	same(t, "conditions", []string(nil), w.conditions("data"))
}
