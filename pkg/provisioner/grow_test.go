package provisioner

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// grownImage is shop.data with sizes in MiB: of the image, and of the claim that it
// was made for.
func grownImage(size, claim uint64) []cephtest.Image {
	return []cephtest.Image{{Name: "shop.data", Layout: ceph.Layout{Size: size * mib}, ClaimSize: claim * mib}}
}

func TestGrowing(t *testing.T) {
	type outcome struct {
		MiB        uint64
		Conditions []string
		Events     []string
		After      time.Duration
	}
	const grown = "Normal Resized: grew image replicapool/north/shop.data to 4Mi"
	const follows = "image shop.data has 4Mi; the node that has it mounted grows the filesystem, usually within two minutes; where it does not, scale the workload to zero and up again"
	const staged = "image shop.data has 4Mi; ceph-csi grows the filesystem the next time the volume is staged: scale the workload to zero and up again"
	const deferred = "image shop.data is mapped exclusively and cannot grow now; it grows to 4Mi when nobody uses it, and the filesystem with it: scale the workload to zero and up again"
	fails := func(size uint64, text string) outcome {
		return outcome{size, []string{"ControllerResizeError: " + text}, []string{"Warning VolumeResizeFailed: " + text}, retryInvalid}
	}
	bound := func(annotations ...string) *corev1.PersistentVolumeClaim {
		return edit(pvc(annotations...), func(c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeName, c.Status.Phase = "shop.data", corev1.ClaimBound
		})
	}
	block := corev1.PersistentVolumeBlock
	for name, test := range map[string]struct {
		claim  *corev1.PersistentVolumeClaim
		volume []func(*corev1.PersistentVolume)
		others []client.Object
		// lock: the image is mapped exclusively; mode: as its record says.
		lock, mode bool
		want       outcome
	}{
		"no size":                       {claim: bound(), want: outcome{MiB: 2}},
		"a larger size":                 {claim: bound("size=4Mi"), want: outcome{MiB: 4, Events: []string{grown}}},
		"a larger size, in use":         {claim: bound("size=4Mi"), others: []client.Object{attachment("shop.data")}, want: outcome{4, []string{"FileSystemResizePending: " + follows}, []string{grown, "Normal FileSystemResizeRequired: " + follows}, retryInvalid}},
		"a larger size, another in use": {claim: bound("size=4Mi"), others: []client.Object{attachment("shop.other")}, want: outcome{MiB: 4, Events: []string{grown}}},
		"a larger size of a block device, in use": {claim: edit(bound("size=4Mi"), func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block }),
			others: []client.Object{attachment("shop.data")}, want: outcome{MiB: 4, Events: []string{grown}}},
		"the renderer's volume": {claim: bound("size=4Mi"), volume: []func(*corev1.PersistentVolume){byRenderer}, want: outcome{MiB: 4, Events: []string{grown}}},
		"the renderer's volume, in use": {claim: bound("size=4Mi"), volume: []func(*corev1.PersistentVolume){byRenderer}, others: []client.Object{attachment("shop.data")},
			want: outcome{4, []string{"FileSystemResizePending: " + staged}, []string{grown, "Normal FileSystemResizeRequired: " + staged}, retryInvalid}},
		"the image's size": {claim: bound("size=2Mi"), want: outcome{MiB: 2}},
		"below the image": {claim: bound("size=1Mi"), want: fails(2,
			"the request is below the volume's size: image replicapool/north/shop.data has 2Mi, the claim asks for 1Mi; images never shrink, so ask for at least 2Mi")},
		"a size nobody can read": {claim: bound("size=big"), want: fails(2,
			`metadata.annotations[cephferry.io/size]: Invalid value: "big": must be a quantity such as 10Gi, above 0 and at most 1Ei`)},
		"somebody's volume": {claim: bound("size=4Mi"), volume: []func(*corev1.PersistentVolume){foreign}, want: fails(2,
			"metadata.annotations[cephferry.io/size]: Forbidden: PersistentVolume shop.data is not one that cephferry made for this claim")},
		"another claim's volume": {claim: bound("size=4Mi"), volume: []func(*corev1.PersistentVolume){forClaim("shop", "data", "2")}, want: fails(2,
			"metadata.annotations[cephferry.io/size]: Forbidden: PersistentVolume shop.data is not one that cephferry made for this claim")},
		"a class of another pool": {claim: bound("size=4Mi", "class=ssd"), others: []client.Object{class("ssd", "pool=ssd")}, want: fails(2,
			`metadata.annotations[cephferry.io/class]: Invalid value: "ssd": StorageClass ssd is of clusterID rook-ceph and pool ssd, the volume is in clusterID rook-ceph and pool replicapool; name the class of the volume`)},
		"a class of the same pool by another clusterID": {claim: bound("size=4Mi", "class=mapped"), others: []client.Object{class("mapped", "clusterID=mapped")}, want: outcome{MiB: 4, Events: []string{grown}}},
		"a class of an equal pool of another Ceph": {claim: bound("size=4Mi", "class=far"), others: []client.Object{class("far", "clusterID=far")}, want: fails(2,
			`metadata.annotations[cephferry.io/class]: Invalid value: "far": StorageClass far is of clusterID far and pool replicapool, the volume is in clusterID rook-ceph and pool replicapool; name the class of the volume`)},
		"an image that is mapped exclusively": {claim: bound("size=4Mi"), lock: true, want: fails(2,
			`grow image "replicapool/north/shop.data": the image is mapped exclusively and cannot be changed now; scale the workload that uses it to zero, then run the same command again`)},
		"an image that is always mapped exclusively": {claim: bound("size=4Mi"), lock: true, mode: true, want: outcome{
			2, []string{"FileSystemResizePending: " + deferred}, []string{"Normal FileSystemResizeRequired: " + deferred}, retryInvalid}},
		"an image that is always mapped exclusively, when it is free": {claim: bound("size=4Mi"), mode: true, want: outcome{MiB: 4, Events: []string{grown}}},
		"another mode than the image's": {claim: bound("size=4Mi", "exclusive=false"), mode: true, want: fails(2,
			"the image is mapped in another mode: image replicapool/north/shop.data is mapped with krbd's option exclusive, and this claim would map it without; a client with the option takes the device away from a live one without, "+
				"so the mode stays as it was when the image was made: change the annotation cephferry.io/exclusive, the access modes or the class")},
	} {
		t.Run(name, func(t *testing.T) {
			images := grownImage(2, 1)
			images[0].Exclusive, images[0].Layout.Features = test.mode, []string{"exclusive-lock", "layering"}
			w := newWorld(t, images, append(test.others, test.claim, ptr(volume(test.volume...)))...)
			w.monitors = map[string][]string{"rook-ceph": {"10.0.0.1"}, "mapped": {"10.0.0.2", "10.0.0.1"}, "far": {"10.0.1.1"}}
			if test.lock {
				defer w.ceph.LockImage(spec)()
			}
			var got outcome
			for range 2 { // what was said is not said again
				result, err := w.reconcile("data")
				if err != nil {
					t.Fatal(err)
				}
				got = outcome{w.ceph.ImageLayout(spec).Size / mib, w.conditions("data"), w.events, result.RequeueAfter}
				same(t, "outcome", test.want, got)
			}
		})
	}
}

// TestTheFilesystemFollows: the condition ends when no node has the volume since
// before the image grew.
func TestTheFilesystemFollows(t *testing.T) {
	claim := edit(pvc("size=4Mi"), func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName, c.Status.Phase = "shop.data", corev1.ClaimBound
	})
	before := attachment("shop.data")
	w := newWorld(t, grownImage(2, 1), claim, before, ptr(volume()))
	step := func(what string, conditions int) {
		t.Helper()
		if _, err := w.reconcile("data"); err != nil {
			t.Fatal(err)
		}
		if got := w.conditions("data"); len(got) != conditions {
			t.Errorf("%s: conditions %q", what, got)
		}
	}
	step("grown", 1)
	if err := w.objects.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	after := attachment("shop.data")
	after.CreationTimestamp = metav1.NewTime(time.Now().Add(time.Minute))
	if err := w.objects.Create(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	step("attached anew", 0)
	step("and later", 0)
}

// TestAnImageIsNotMadeUnderABoundClaim: growing never makes a new, empty one.
func TestAnImageIsNotMadeUnderABoundClaim(t *testing.T) {
	claim := edit(pvc("size=4Mi"), func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName, c.Status.Phase = "shop.data", corev1.ClaimBound
	})
	w := newWorld(t, nil, claim, ptr(volume()))
	if _, err := w.reconcile("data"); err != nil {
		t.Fatal(err)
	}
	same(t, "calls", []string{"Image", "Keys"}, w.calls())
	same(t, "conditions", []string{"ControllerResizeError: grow image replicapool/north/shop.data: the image does not exist; compare the name with `rbd ls`"}, w.conditions("data"))
}

// TestGrowthThatWaits: what could not grow while it was mapped grows when it is free.
func TestGrowthThatWaits(t *testing.T) {
	claim := edit(pvc("size=4Mi"), func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName, c.Status.Phase = "shop.data", corev1.ClaimBound
	})
	images := grownImage(2, 1)
	images[0].Exclusive, images[0].Layout.Features = true, []string{"exclusive-lock"}
	w := newWorld(t, images, claim, ptr(volume()))
	unlock := w.ceph.LockImage(spec)
	for _, step := range []struct {
		what             string
		mib              uint64
		conditions, wish int
	}{{"mapped", 2, 1, 4}, {"free", 4, 0, 0}} {
		if step.what == "free" {
			unlock()
		}
		if _, err := w.reconcile("data"); err != nil {
			t.Fatal(err)
		}
		cluster, err := w.ceph.Dial(t.Context(), cephtest.Observer)
		if err != nil {
			t.Fatal(err)
		}
		image, err := cluster.Image(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		record, err := cluster.Record(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		if image.Size != step.mib*mib || record.GrowTo != uint64(step.wish)*mib || len(w.conditions("data")) != step.conditions {
			t.Errorf("%s: image of %d bytes, record %+v, conditions %q", step.what, image.Size, record, w.conditions("data"))
		}
	}
}
