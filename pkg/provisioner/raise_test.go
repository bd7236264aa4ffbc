package provisioner

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

// expandable is a class of ours whose requests may rise.
func expandable() *storagev1.StorageClass {
	yes := true
	class := ownClass("migratable", "block")
	class.AllowVolumeExpansion = &yes
	return class
}

func storageOf(size string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
}

// boundOf is a bound claim of our class that has 1 MiB and asks for so much, and is marked
// for the external-resizer.
func boundOf(asks string, annotations ...string) *corev1.PersistentVolumeClaim {
	return edit(classed("migratable", annotations...), func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName, c.Spec.Resources.Requests = "shop.data", storageOf(asks)
		c.Status = corev1.PersistentVolumeClaimStatus{
			Phase: corev1.ClaimBound, Capacity: storageOf("1Mi"), AllocatedResources: storageOf("1Mi"),
			AllocatedResourceStatuses: map[corev1.ResourceName]corev1.ClaimResourceStatus{corev1.ResourceStorage: corev1.PersistentVolumeClaimNodeResizePending},
		}
	})
}

func holding(size string) func(*corev1.PersistentVolume) {
	return func(pv *corev1.PersistentVolume) { pv.Spec.Capacity = storageOf(size) }
}

// owned writes into the record of shop.data that a cluster has it, and what else is changed.
func (w *world) owned(by ceph.Party, change ...func(*ceph.Record)) {
	w.Helper()
	cluster, err := w.ceph.Dial(w.Context(), cephtest.Provisioner)
	if err != nil {
		w.Fatal(err)
	}
	image, err := cluster.Image(w.Context(), spec)
	if err != nil {
		w.Fatal(err)
	}
	record, err := cluster.Record(w.Context(), image)
	if err != nil {
		w.Fatal(err)
	}
	record.State, record.Owner = ceph.Held, &ceph.Owner{Party: by, Namespace: "shop", Claim: "data"}
	for _, c := range change {
		c(&record)
	}
	if _, err := cluster.PutRecord(w.Context(), image, record); err != nil {
		w.Fatal(err)
	}
}

var (
	east = ceph.Party{UID: "e", Name: "east"}
	west = ceph.Party{UID: "w", Name: "west"}
)

func taking(r *ceph.Record) {
	r.State, r.Takeover = ceph.Fencing, &ceph.Takeover{Party: west, By: "somebody", Since: time.Unix(1, 0).UTC()}
}

// stored are claim shop/data and its PersistentVolume.
func (w *world) stored() (claim corev1.PersistentVolumeClaim, pv corev1.PersistentVolume) {
	w.Helper()
	if err := errors.Join(
		w.objects.Get(w.Context(), client.ObjectKey{Namespace: "shop", Name: "data"}, &claim),
		w.objects.Get(w.Context(), client.ObjectKey{Name: "shop.data"}, &pv),
	); err != nil {
		w.Fatal(err)
	}
	return claim, pv
}

// sizes are what Ceph, the PersistentVolume and the claim say, and the mark.
func (w *world) sizes() string {
	w.Helper()
	claim, pv := w.stored()
	return fmt.Sprintf("image %d, volume %s, claim %s, allocated %s %s", w.ceph.ImageLayout(spec).Size/mib, pv.Spec.Capacity.Storage(),
		claim.Status.Capacity.Storage(), claim.Status.AllocatedResources.Storage(), claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage])
}

// TestARaisedRequest is what becomes of a request that the API server has stored.
func TestARaisedRequest(t *testing.T) {
	const follows = "FileSystemResizePending: image shop.data has 4Mi; ceph-csi grows the filesystem the next time the volume is staged: scale the workload to zero and up again"
	const deferred = "FileSystemResizePending: image shop.data is mapped exclusively and cannot grow now; it grows to 4Mi when nobody uses it, and the filesystem with it: scale the workload to zero and up again"
	const grown, asIs = "image 4, volume 4Mi, claim 4Mi, allocated 1Mi NodeResizePending", "image 1, volume 1Mi, claim 1Mi, allocated 1Mi NodeResizePending"
	block := func(c *corev1.PersistentVolumeClaim) {
		mode := corev1.PersistentVolumeBlock
		c.Spec.VolumeMode = &mode
	}
	attached := func() []client.Object { return []client.Object{attachment("shop.data")} }
	no := false
	for name, test := range map[string]struct {
		claim  *corev1.PersistentVolumeClaim
		volume []func(*corev1.PersistentVolume)
		others []client.Object
		image  uint64 // MiB; 0 is 1
		lock   bool
		owner  *ceph.Party
		owned  func(*ceph.Record)
		sizes  string
		says   []string
		after  time.Duration
	}{
		"not raised":                    {claim: boundOf("1Mi"), sizes: asIs},
		"nobody uses it":                {claim: boundOf("4Mi"), sizes: grown},
		"nobody uses it, and we own it": {claim: boundOf("4Mi"), owner: &east, sizes: grown},
		"the annotation asks for more":  {claim: boundOf("4Mi", "size=6Mi"), sizes: "image 6, volume 4Mi, claim 4Mi, allocated 1Mi NodeResizePending"},
		"the annotation asks for less":  {claim: boundOf("4Mi", "size=2Mi"), sizes: grown},
		"larger already":                {claim: boundOf("4Mi"), image: 8, sizes: "image 8, volume 4Mi, claim 4Mi, allocated 1Mi NodeResizePending"},
		"attached, and the volume is somebody's who may set it back": {claim: boundOf("4Mi"), others: attached(), volume: []func(*corev1.PersistentVolume){byRenderer},
			says: []string{follows}, after: retryInvalid, sizes: "image 4, volume 1Mi, claim 1Mi, allocated 1Mi NodeResizePending"},
		"a block device, attached": {claim: edit(boundOf("4Mi"), block), others: attached(), after: retryInvalid,
			sizes: "image 4, volume 1Mi, claim 4Mi, allocated 1Mi NodeResizePending"},
		"a block device of a driver without attachments": {claim: edit(boundOf("4Mi"), block),
			others: []client.Object{&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "rook-ceph.rbd.csi.ceph.com"}, Spec: storagev1.CSIDriverSpec{AttachRequired: &no}}},
			sizes:  "image 4, volume 1Mi, claim 4Mi, allocated 1Mi NodeResizePending"},
		"mapped exclusively": {claim: boundOf("4Mi"), others: attached(), lock: true, owner: &east, says: []string{deferred}, after: retryInvalid, sizes: asIs},
		"another cluster's": {claim: boundOf("4Mi"), owner: &west, after: retryHeld, sizes: asIs,
			says: []string{"ControllerResizeError: image replicapool/north/shop.data is in use by another cluster, west, and only its owner makes it larger: raise the request there first, or bring the workload here"}},
		"another cluster's, and larger already": {claim: boundOf("4Mi"), owner: &west, image: 8, sizes: "image 8, volume 4Mi, claim 4Mi, allocated 1Mi NodeResizePending"},
		"being taken from us": {claim: boundOf("4Mi"), owner: &east, owned: taking, after: retryHeld, sizes: asIs,
			says: []string{"ControllerResizeError: image replicapool/north/shop.data is being taken from cluster east, for cluster west"}},
		"somebody's volume": {claim: boundOf("4Mi"), volume: []func(*corev1.PersistentVolume){foreign}, after: retryInvalid, sizes: asIs,
			says: []string{"ControllerResizeError: spec.resources.requests[storage]: Forbidden: PersistentVolume shop.data is not one that cephferry made for this claim"}},
		"of a class by annotation, which the API server does not store": {
			claim: edit(boundOf("4Mi"), func(c *corev1.PersistentVolumeClaim) {
				none := ""
				c.Spec.StorageClassName, c.Annotations = &none, map[string]string{"cephferry.io/migratable": "true"}
			}), sizes: asIs},
		"what the resizer has written while nothing kept it away": {
			claim: edit(boundOf("4Mi"), func(c *corev1.PersistentVolumeClaim) {
				c.Status.AllocatedResources = storageOf("4Mi")
				c.Status.AllocatedResourceStatuses[corev1.ResourceStorage] = corev1.PersistentVolumeClaimControllerResizeInProgress
				c.Status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: corev1.PersistentVolumeClaimResizing}, {Type: corev1.PersistentVolumeClaimControllerResizeError}}
			}), sizes: grown},
	} {
		t.Run(name, func(t *testing.T) {
			image := max(test.image, 1)
			images := grownImage(image, 1)
			images[0].Exclusive, images[0].Layout.Features = test.lock, []string{"exclusive-lock", "layering"}
			pv := volume(append([]func(*corev1.PersistentVolume){holding("1Mi")}, test.volume...)...)
			w := newWorld(t, images, append(test.others, expandable(), test.claim, &pv)...)
			w.claims.Cluster = east
			if test.owner != nil {
				change := test.owned
				if change == nil {
					change = func(*ceph.Record) {}
				}
				w.owned(*test.owner, change)
			}
			if test.lock {
				defer w.ceph.LockImage(spec)()
			}
			for range 2 { // done is done
				result, err := w.reconcile("data")
				if err != nil {
					t.Fatal(err)
				}
				same(t, "sizes", test.sizes, w.sizes())
				same(t, "says", test.says, w.conditions("data"))
				same(t, "again", test.after, result.RequeueAfter)
			}
		})
	}
}

// TestARaisedRequestOfAWorkload: image, filesystem, claim and volume follow each other as
// the workload is restarted and ends, where the volume is not the cluster's.
func TestARaisedRequestOfAWorkload(t *testing.T) {
	before := attachment("shop.data")
	w := newWorld(t, grownImage(1, 1), expandable(), boundOf("4Mi"), before, ptr(volume(holding("1Mi"), byRenderer)))
	step := func(what, sizes string) {
		t.Helper()
		if _, err := w.reconcile("data"); err != nil {
			t.Fatal(err)
		}
		same(t, what, sizes, w.sizes())
	}
	step("in use", "image 4, volume 1Mi, claim 1Mi, allocated 1Mi NodeResizePending")
	after := attachment("shop.data")
	after.Name, after.CreationTimestamp = "later", metav1.NewTime(time.Now().Add(time.Minute))
	if err := errors.Join(w.objects.Delete(t.Context(), before), w.objects.Create(t.Context(), after)); err != nil {
		t.Fatal(err)
	}
	step("staged anew", "image 4, volume 1Mi, claim 4Mi, allocated 1Mi NodeResizePending")
	same(t, "conditions", []string(nil), w.conditions("data"))
	if err := w.objects.Delete(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	step("not used", "image 4, volume 4Mi, claim 4Mi, allocated 1Mi NodeResizePending")
}

// TestClaimsAreMarked for the external-resizer, if their requests may rise.
func TestClaimsAreMarked(t *testing.T) {
	unmarked := func(c *corev1.PersistentVolumeClaim) {
		c.Status.AllocatedResources, c.Status.AllocatedResourceStatuses = nil, nil
	}
	for name, test := range map[string]struct {
		claim *corev1.PersistentVolumeClaim
		class *storagev1.StorageClass
		pv    func(*corev1.PersistentVolume)
		want  string
	}{
		"bound just now":                       {edit(boundOf("1Mi"), unmarked), expandable(), holding("1Mi"), "1Mi NodeResizePending"},
		"of a volume that is larger":           {edit(boundOf("1Mi"), unmarked), expandable(), holding("3Mi"), "3Mi NodeResizePending"},
		"marked, of a volume that has grown":   {boundOf("1Mi"), expandable(), holding("3Mi"), "1Mi NodeResizePending"},
		"after a kubelet has taken the mark":   {edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) { c.Status.AllocatedResourceStatuses = nil }), expandable(), holding("3Mi"), "1Mi NodeResizePending"},
		"of a class whose requests never rise": {edit(boundOf("1Mi"), unmarked), ownClass("migratable", "block"), holding("1Mi"), "0 "},
		"of somebody's volume": {edit(boundOf("1Mi"), unmarked), expandable(), func(pv *corev1.PersistentVolume) {
			foreign(pv)
			holding("1Mi")(pv)
		}, "0 "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, grownImage(3, 1), test.class, test.claim, ptr(volume(test.pv)))
			if _, err := w.reconcile("data"); err != nil {
				t.Fatal(err)
			}
			var claim corev1.PersistentVolumeClaim
			if err := w.objects.Get(t.Context(), client.ObjectKeyFromObject(test.claim), &claim); err != nil {
				t.Fatal(err)
			}
			same(t, "mark", test.want, fmt.Sprint(claim.Status.AllocatedResources.Storage(), " ", claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]))
		})
	}
}

// raise asks whether the claim may have another request.
func (w *world) raise(claim *corev1.PersistentVolumeClaim, asks string, change ...func(*corev1.PersistentVolumeClaim)) Answer {
	w.Helper()
	raised := claim.DeepCopy()
	raised.Spec.Resources.Requests = storageOf(asks)
	raised.Status = corev1.PersistentVolumeClaimStatus{} // what a client says of it does not count
	for _, c := range change {
		c(raised)
	}
	return w.claims.MayRise(w.Context(), claim, raised)
}

// TestMayRise: the answers. Asking changes nothing, ever.
func TestMayRise(t *testing.T) {
	const prefix, suffix = "claim shop/data cannot grow: ", "; nothing was changed"
	allowed := Answer{Allowed: true, Reason: MayRise}
	denied := func(reason Reason, text string) Answer {
		return Answer{Reason: reason, Message: prefix + text + suffix}
	}
	for name, test := range map[string]struct {
		claim  *corev1.PersistentVolumeClaim
		asks   string
		change func(*corev1.PersistentVolumeClaim)
		volume []func(*corev1.PersistentVolume)
		others []client.Object
		image  uint64 // MiB; 0 is 1
		owner  *ceph.Party
		owned  func(*ceph.Record)
		down   error
		want   Answer
	}{
		"more":                             {asks: "4Mi", want: allowed},
		"the same":                         {asks: "1Mi", want: Answer{Allowed: true, Reason: NotRising}},
		"more, of ours":                    {asks: "4Mi", owner: &east, want: allowed},
		"more, of a volume that has grown": {asks: "4Mi", volume: []func(*corev1.PersistentVolume){holding("2Mi")}, want: allowed},
		"more, in use":                     {asks: "4Mi", others: []client.Object{attachment("shop.data")}, want: allowed},
		"more, in use, and mapped exclusively": {asks: "4Mi", others: []client.Object{attachment("shop.data")}, volume: []func(*corev1.PersistentVolume){exclusively},
			want: Answer{Allowed: true, Reason: MayRise, Warnings: []string{"the volume is in use, and grows when its workload is scaled to zero and up again"}}},
		"more, in use, of a volume that Helm may set back": {asks: "4Mi", others: []client.Object{attachment("shop.data")}, volume: []func(*corev1.PersistentVolume){byRenderer},
			want: Answer{Allowed: true, Reason: MayRise, Warnings: []string{"the volume is in use, and grows when its workload is scaled to zero and up again"}}},
		"another cluster's": {asks: "4Mi", owner: &west, want: denied(OwnedElsewhere,
			"image replicapool/north/shop.data is in use by another cluster, west, and only its owner makes it larger: raise the request there first, or bring the workload here")},
		"another cluster's, and as large already": {asks: "4Mi", owner: &west, image: 4, want: allowed},
		"being taken from us": {asks: "4Mi", owner: &east, owned: taking, want: denied(OwnedElsewhere,
			"image replicapool/north/shop.data is being taken from cluster east, for cluster west")},
		"not marked": {asks: "4Mi", claim: edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) { c.Status.AllocatedResourceStatuses = nil }), want: denied(NotMarked,
			"it is not marked for ceph-csi's resizer yet, which would act on it; the webhook's leader does that within seconds where Kubernetes is 1.32 or later, so try again")},
		"marked by the request itself": {asks: "4Mi", claim: edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) { c.Status.AllocatedResourceStatuses = nil }),
			change: func(c *corev1.PersistentVolumeClaim) { c.Status = boundOf("1Mi").Status }, want: denied(NotMarked,
				"it is not marked for ceph-csi's resizer yet, which would act on it; the webhook's leader does that within seconds where Kubernetes is 1.32 or later, so try again")},
		"expanded by a kubelet just now": {asks: "4Mi", claim: edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) {
			c.Status.AllocatedResourceStatuses[corev1.ResourceStorage] = corev1.PersistentVolumeClaimNodeResizeInProgress
		}), want: denied(NotMarked,
			"it is not marked for ceph-csi's resizer yet, which would act on it; the webhook's leader does that within seconds where Kubernetes is 1.32 or later, so try again")},
		"while its node grows the filesystem": {asks: "4Mi", claim: edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) { c.Status.AllocatedResources = storageOf("2Mi") }),
			volume: []func(*corev1.PersistentVolume){holding("2Mi")}, want: denied(NotMarked,
				"its node is about to grow the filesystem to 2Mi, which the claim has asked for before; try again when its status.capacity says so, or when no pod uses it")},
		"marked with more than its volume has": {asks: "4Mi", claim: edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) { c.Status.AllocatedResources = storageOf("2Mi") }), want: denied(NotMarked,
			"it is not marked for ceph-csi's resizer yet, which would act on it; the webhook's leader does that within seconds where Kubernetes is 1.32 or later, so try again")},
		"somebody's volume": {asks: "4Mi", volume: []func(*corev1.PersistentVolume){foreign}, want: denied(CannotGrow,
			"spec.resources.requests[storage]: Forbidden: PersistentVolume shop.data is not one that cephferry made for this claim")},
		"a claim without the controller's annotation": {asks: "4Mi", change: func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }, want: denied(CannotGrow,
			"it lacks the annotation volume.kubernetes.io/storage-provisioner: cephferry.io/provisioner, which the PersistentVolume controller gave it; put it back")},
		"a mistake in an annotation": {asks: "4Mi", change: func(c *corev1.PersistentVolumeClaim) { c.Annotations["cephferry.io/size"] = "big" }, want: denied(CannotGrow,
			`metadata.annotations[cephferry.io/size]: Invalid value: "big": must be a quantity such as 10Gi, above 0 and at most 1Ei`)},
		"a volume of another pool": {asks: "4Mi", volume: []func(*corev1.PersistentVolume){func(pv *corev1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["pool"] = "other" }}, want: denied(CannotGrow,
			`metadata.annotations[cephferry.io/class]: Invalid value: "migratable": StorageClass migratable is of clusterID rook-ceph and pool replicapool, the volume is in clusterID rook-ceph and pool other; name the class of the volume`)},
		"Ceph does not answer": {asks: "4Mi", down: ceph.ErrUnreachable, want: Answer{Unknown: true, Reason: CephUnknown,
			Message: "cannot know whether claim shop/data may grow: " + ceph.ErrUnreachable.Error() + "; it is tried again until Ceph answers\n  do this   try again when that is over; nothing was changed"}},
		"no PersistentVolume": {asks: "4Mi", claim: edit(boundOf("1Mi"), func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "gone" }), want: Answer{Unknown: true, Reason: KubernetesUnknown,
			Message: "cannot know whether claim shop/data may grow: read PersistentVolume gone: persistentvolumes \"gone\" not found\n  do this   try again when that is over; nothing was changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			claim := test.claim
			if claim == nil {
				claim = boundOf("1Mi")
			}
			pv := volume(append([]func(*corev1.PersistentVolume){holding("1Mi")}, test.volume...)...)
			w := newWorld(t, grownImage(max(test.image, 1), 1), append(test.others, expandable(), claim, &pv)...)
			w.claims.Cluster = east
			if test.owner != nil {
				change := test.owned
				if change == nil {
					change = func(*ceph.Record) {}
				}
				w.owned(*test.owner, change)
			}
			w.connect = test.down
			before := w.sizes()
			w.ceph.Intercept(func(_ context.Context, call cephtest.Call, proceed func() error) error {
				if call.Method == "GrowImage" || call.Method == "PutRecord" {
					t.Error("called", call.Method)
				}
				return proceed()
			})
			var change []func(*corev1.PersistentVolumeClaim)
			if test.change != nil {
				change = append(change, test.change)
			}
			same(t, "answer", test.want, w.raise(claim, test.asks, change...))
			same(t, "sizes", before, w.sizes())
			same(t, "events", []string(nil), w.events)
		})
	}
}
