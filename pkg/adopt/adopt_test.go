package adopt

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/ceph/cephtest"
)

var writes = []string{"patch namespace", "patch volume", "delete claim", "delete volume", "create claim", "patch namespace"}

// isAdopted checks what there is at the end.
func (r *rig) isAdopted() {
	r.Helper()
	var claim corev1.PersistentVolumeClaim
	if err := r.read("data", &claim); err != nil {
		r.Fatal(err)
	}
	want := map[string]string{"meta.helm.sh/release-name": "web", "cephferry.io/adopt": imageName}
	if diff := cmp.Diff(want, claim.Annotations); diff != "" || *claim.Spec.StorageClassName != "migratable" || claim.Spec.VolumeName != "shop.data" || claim.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		r.Errorf("the claim is %+v, -want +got:\n%s", claim, diff)
	}
	if err := r.read(oldPV, &corev1.PersistentVolume{}); !apierrors.IsNotFound(err) {
		r.Errorf("the old volume: %v", err)
	}
	var namespace corev1.Namespace
	if err := r.read("shop", &namespace); err != nil || namespace.Annotations[Images] != "common" {
		r.Errorf("the namespace may use %q, %v", namespace.Annotations[Images], err)
	}
	if _, err := os.Stat(r.Files.Path(data)); !errors.Is(err, os.ErrNotExist) {
		r.Errorf("the file is there yet: %v", err)
	}
}

func TestAdopt(t *testing.T) {
	r := newRig(t, nil)
	plan, err := r.Prepare(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	want := `claim shop/data: PersistentVolume pvc-1, csi-vol-24862838-240d-4215-9183-abfc0e9e4002
  pvc-1 is set to Retain, read back, and kept in a file with the claim
  the claim is deleted
  PersistentVolume pvc-1 is deleted; no image is
  the claim is created again, with StorageClass migratable, and adopts the image
  the image becomes shop.data, which nobody finds by its old name any more; from then on there is no way back
  note: The volume does not name the exclusive-lock feature (layering). If rbd info does not show it either, enable it before you go on; afterwards it is too late: rbd feature enable rbd/csi-vol-24862838-240d-4215-9183-abfc0e9e4002 exclusive-lock`
	if diff := cmp.Diff(want, plan.Text()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, want := plan.Manifest(), `storageClassName: "migratable", annotation cephferry.io/adopt: "`+imageName+`"`; got != want {
		t.Errorf("the manifest is to say %s; want %s", got, want)
	}
	if len(r.Changed) > 0 {
		t.Errorf("the plan has changed %q", r.Changed)
	}
	if err := r.Adopter.Run(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	r.isAdopted()
	if diff := cmp.Diff(writes, r.Changed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	said := []string{
		"the way back is in ./shop.data~east.yaml", "namespace shop may use image " + imageName, "PersistentVolume pvc-1 has the policy Retain",
		"claim shop/data is deleted", "PersistentVolume pvc-1 is deleted; its image stays", "claim shop/data is made, and adopts " + imageName,
		"claim shop/data has its volume, shop.data", "namespace shop no longer needs the grant",
	}
	if diff := cmp.Diff(said, r.said); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Again, nothing is to be done.
	r.Changed = nil
	again, err := r.Prepare(t.Context(), data)
	if err != nil || again.Step != Done || again.Text() != "claim shop/data: is a migratable pair" {
		t.Fatalf("%+v, %v", again, err)
	}
	if err := r.Adopter.Run(t.Context(), again); err != nil || len(r.Changed) > 0 {
		t.Errorf("%v, %q", err, r.Changed)
	}
}

// TestKilled: wherever a run dies, before or after a write, the next one ends it.
func TestKilled(t *testing.T) {
	for n, method := range writes {
		for _, done := range []bool{false, true} {
			r := newRig(t, nil)
			r.Writes, r.Done = n+1, done
			if err := r.adopt(); !errors.Is(err, cephtest.ErrKilled) {
				t.Fatalf("at %s: %v", method, err)
			}
			r.Writes = -1
			if err := r.adopt(); err != nil {
				t.Errorf("after it died at %s, which was done: %t: %v", method, done, err)
			}
			r.isAdopted()
			if n := strings.Count(strings.Join(r.Changed, ","), "delete claim"); n != 1 {
				t.Errorf("the claim was deleted %d times: %q", n, r.Changed)
			}
		}
	}
}

// TestGoingBack: from wherever a run dies until the new claim is made, what is in the file makes
// the old claim and volume again.
func TestGoingBack(t *testing.T) {
	for n := range writes[:5] {
		r := newRig(t, nil)
		r.provides = false
		r.Writes, r.Done = n+1, true
		if err := r.adopt(); !errors.Is(err, cephtest.ErrKilled) {
			t.Fatalf("at %s: %v", writes[n], err)
		}
		r.Writes = -1
		saved, err := r.Files.read(data)
		if err != nil || saved == nil {
			t.Fatalf("at %s: %+v, %v", writes[n], saved, err)
		}
		pv, claim := saved.PV, saved.Claim
		if pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain || pv.UID != "" || pv.ResourceVersion != "" || pv.Spec.ClaimRef.UID != "" ||
			pv.Spec.CSI.VolumeHandle != handle || pv.Spec.ClaimRef.Name != "data" || pv.Annotations["pv.kubernetes.io/bound-by-controller"] != "" {
			t.Errorf("the volume in the file is %+v", pv)
		}
		if claim.UID != "" || claim.Spec.VolumeName != oldPV || *claim.Spec.StorageClassName != "ceph-block" || claim.Annotations["pv.kubernetes.io/bind-completed"] != "" {
			t.Errorf("the claim in the file is %+v", claim)
		}
		text, err := os.ReadFile(r.Files.Path(data))
		if err != nil || !strings.Contains(string(text), "#   kubectl delete pvc data --namespace shop --ignore-not-found\n#   kubectl create --filename shop.data~east.yaml\n") {
			t.Errorf("%v: %s", err, text)
		}
	}
}

func TestByAnnotations(t *testing.T) {
	r := newRig(t, nil)
	r.Class = ""
	if err := r.adopt(); err != nil {
		t.Fatal(err)
	}
	var claim corev1.PersistentVolumeClaim
	if err := r.read("data", &claim); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"meta.helm.sh/release-name": "web", "cephferry.io/adopt": imageName, "cephferry.io/migratable": "true", "cephferry.io/class": "ceph-block"}
	if diff := cmp.Diff(want, claim.Annotations); diff != "" || *claim.Spec.StorageClassName != "" {
		t.Errorf("class %q, -want +got:\n%s", *claim.Spec.StorageClassName, diff)
	}
}

// TestASubvolume keeps its name, and the grant with it.
func TestASubvolume(t *testing.T) {
	files := class("ceph-filesystem")
	files.Provisioner = "rook-ceph.cephfs.csi.ceph.com"
	delete(files.Parameters, "pool")
	files.Parameters["fsName"] = "cephfs"
	r := newRig(t, func(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) {
		pv.Spec.CSI.Driver, pv.Spec.StorageClassName = files.Provisioner, files.Name
		pv.Spec.CSI.VolumeAttributes = map[string]string{"clusterID": "rook-ceph", "fsName": "cephfs", "subvolumeName": imageName, "subvolumePath": "/volumes/csi/x"}
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}, files)
	r.Class = ""
	r.pair = func(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
		pv := pairOf(claim)
		pv.Name, pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle = imageName, files.Provisioner, imageName
		return pv
	}
	if err := r.adopt(); err != nil {
		t.Fatal(err)
	}
	var claim corev1.PersistentVolumeClaim
	if err := r.read("data", &claim); err != nil || claim.Annotations["cephferry.io/adopt"] != "true" || claim.Annotations["cephferry.io/image"] != imageName {
		t.Errorf("%v, %v", claim.Annotations, err)
	}
	var namespace corev1.Namespace
	if err := r.read("shop", &namespace); err != nil || namespace.Annotations[Images] != "common,"+imageName {
		t.Errorf("the namespace may use %q, %v", namespace.Annotations[Images], err)
	}
}

func TestRefused(t *testing.T) {
	type change = func(*corev1.PersistentVolume, *corev1.PersistentVolumeClaim)
	now := metav1.Now()
	pod := func(phase corev1.PodPhase) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1"}, Status: corev1.PodStatus{Phase: phase}}
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		return p
	}
	other := func(name string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
		pv := volume()
		pv.Name, pv.UID, pv.Spec.ClaimRef = name, "u-other", nil
		change(pv)
		return pv
	}
	for name, test := range map[string]struct {
		change  change
		more    []client.Object
		prepare func(*rig)
		want    string
	}{
		"a pod runs":      {nil, []client.Object{pod(corev1.PodRunning)}, nil, "pod shop/web-1: spec.volumes has claim data; first kubectl patch pv pvc-1 --patch '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}', so that nothing deletes the image with the claim; then scale its workload to zero, and wait until the pod is gone"},
		"a pod is to run": {nil, []client.Object{pod(corev1.PodPending)}, nil, "pod shop/web-1: spec.volumes has claim data"},
		"a claim that waits": {func(_ *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) {
			c.Spec.VolumeName, c.Status.Phase = "", corev1.ClaimPending
		}, nil, nil, `claim shop/data: status.phase is "Pending", spec.volumeName ""`},
		"a claim that is being deleted": {func(_ *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) {
			c.DeletionTimestamp, c.Finalizers = &now, []string{"f"}
		}, nil, nil, "claim shop/data: metadata.deletionTimestamp is set: it is being deleted, and not by this command"},
		"a volume that is being deleted": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.DeletionTimestamp, pv.Finalizers = &now, []string{"f"}
		}, nil, nil, "PersistentVolume pvc-1: metadata.deletionTimestamp is set"},
		"an encrypted volume": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeAttributes["encrypted"] = "true"
		}, nil, nil, `PersistentVolume pvc-1: spec.csi.volumeAttributes[encrypted] is "true"`},
		"no volume":              {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Name = "elsewhere" }, nil, nil, "PersistentVolume pvc-1 (spec.volumeName) is not there"},
		"another claim's volume": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Spec.ClaimRef.UID = "u-else" }, nil, nil, "spec.claimRef shop/data (uid u-else); it is not bound to claim shop/data"},
		"a volume of somebody else's": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.Driver = "nfs.csi.k8s.io"
		}, nil, nil, "PersistentVolume pvc-1: spec.csi.driver is nfs.csi.k8s.io"},
		"a volume without a driver": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI = nil
			pv.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"}
		}, nil, nil, "PersistentVolume pvc-1: spec.csi is missing"},
		"a static volume": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeHandle = "shop.old"
		}, nil, nil, "PersistentVolume pvc-1: spec.csi.volumeHandle is shop.old, which is not one of ceph-csi's"},
		"a volume without its image": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			delete(pv.Spec.CSI.VolumeAttributes, "imageName")
		}, nil, nil, "PersistentVolume pvc-1: spec.csi.volumeAttributes[imageName] is missing"},
		"a volume without its pool": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			delete(pv.Spec.CSI.VolumeAttributes, "pool")
		}, nil, nil, "PersistentVolume pvc-1: spec.csi.volumeAttributes[pool] is missing"},
		"a volume that grows": {func(_ *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) {
			c.Status.Capacity = corev1.ResourceList{"storage": *c.Spec.Resources.Requests.Storage()}
			c.Spec.Resources.Requests = corev1.ResourceList{"storage": *c.Spec.Resources.Requests.Storage()}
			q := c.Spec.Resources.Requests["storage"]
			q.Add(q)
			c.Spec.Resources.Requests["storage"] = q
		}, nil, nil, "claim shop/data: spec.resources.requests[storage] is 2Gi, and status.capacity 1Gi"},
		"a clone": {func(_ *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) {
			c.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "x"}
		}, nil, nil, "claim shop/data: spec.dataSource: Forbidden"},
		"a second volume of the image": {nil, []client.Object{other("copy", func(*corev1.PersistentVolume) {})}, nil, "PersistentVolume copy: spec.csi leads to " + imageName + " too"},
		"a volume of the new name": {nil, []client.Object{other("shop.data", func(pv *corev1.PersistentVolume) {
			pv.Spec.CSI.VolumeHandle = "x"
			pv.Spec.CSI.VolumeAttributes = map[string]string{"pool": "rbd", "clusterID": "rook-ceph", "staticVolume": "true"}
		})}, nil, "PersistentVolume shop.data: metadata.name is the one that the new volume gets"},
		"another cluster has it": {nil, []client.Object{&v1alpha1.MigratableVolume{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data"}, Status: v1alpha1.MigratableVolumeStatus{Owner: &v1alpha1.VolumeOwner{Name: "west", UID: "u-west"}}}}, nil,
			"claim shop/data: cluster west has its image; move or release it there first"},
		"no such class":         {nil, nil, func(r *rig) { r.Class = "fast" }, `StorageClass fast: no such StorageClass as "fast"`},
		"a class of ceph-csi's": {nil, nil, func(r *rig) { r.Class = "ceph-block" }, "StorageClass ceph-block: provisioner is rook-ceph.rbd.csi.ceph.com; --class takes a class with the provisioner cephferry.io/provisioner"},
		"a class of another pool": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeAttributes["pool"] = "fast"
		}, nil, nil, "StorageClass migratable: its pool is rbd, and the image is in fast"},
		"a class of another clusterID": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
			pv.Spec.CSI.VolumeAttributes["clusterID"] = "far"
		}, nil, nil, "StorageClass migratable: its clusterID is rook-ceph, and the volume's is far"},
		"a volume whose class has gone": {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Spec.StorageClassName = "gone" }, nil, func(r *rig) { r.Class = "" }, `StorageClass gone: no such StorageClass as "gone"`},
		"a volume without a class":      {func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) { pv.Spec.StorageClassName = "" }, nil, func(r *rig) { r.Class = "" }, "PersistentVolume pvc-1: spec.storageClassName is empty; name a class of cephferry's with --class"},
		"somebody who may not": {nil, nil, func(r *rig) {
			r.may = func(verb, resource string) bool { return verb != "delete" || resource != "persistentvolumes" }
		}, "you may not delete persistentvolumes, which adopting claim shop/data takes"},
		"neither a claim nor a file": {func(_ *corev1.PersistentVolume, c *corev1.PersistentVolumeClaim) { c.Name = "other" }, nil, nil, "claim shop/data does not exist, and neither does "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, test.change, test.more...)
			if test.prepare != nil {
				test.prepare(r)
			}
			err := r.adopt()
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %s", err, test.want)
			}
			if _, statErr := os.Stat(r.Files.Path(data)); len(r.Changed) > 0 || len(r.said) > 0 || !errors.Is(statErr, os.ErrNotExist) {
				t.Errorf("it did %q, and said %q", r.Changed, r.said)
			}
		})
	}

	t.Run("a pod that has ended is none", func(t *testing.T) {
		if err := newRig(t, nil, pod(corev1.PodSucceeded)).adopt(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a pod that comes after the plan", func(t *testing.T) {
		r := newRig(t, nil)
		plan, err := r.Prepare(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.api.Create(t.Context(), pod(corev1.PodPending)); err != nil {
			t.Fatal(err)
		}
		r.Changed = nil
		var refusal *Refusal
		if err := r.Adopter.Run(t.Context(), plan); !errors.As(err, &refusal) || len(r.Changed) > 0 {
			t.Errorf("%v, %q", err, r.Changed)
		}
	})
	t.Run("no place for the file", func(t *testing.T) {
		r := newRig(t, nil)
		r.Files.Dir += "/none"
		if err := r.adopt(); err == nil || !strings.Contains(err.Error(), "keep claim and volume in a file, with --save in another directory if need be: ") || len(r.Changed) > 0 {
			t.Errorf("%v, %q", err, r.Changed)
		}
	})
}

// TestAttached: it waits until nodes have let go, before anything is changed.
func TestAttached(t *testing.T) {
	pv := oldPV
	attachment := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "att"}, Spec: storagev1.VolumeAttachmentSpec{NodeName: "n1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv}}}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{VolumesInUse: []corev1.UniqueVolumeName{"kubernetes.io/csi/rook-ceph.rbd.csi.ceph.com^" + handle}}}
	for want, object := range map[string]client.Object{"VolumeAttachment att: spec.source is PersistentVolume pvc-1, on node n1": attachment, "node n1: status.volumesInUse has PersistentVolume pvc-1": node} {
		r := newRig(t, nil, object.DeepCopyObject().(client.Object))
		err := r.adopt()
		if err == nil || !strings.Contains(err.Error(), "wait until no node has PersistentVolume pvc-1, for 1m0s: "+want) || len(r.Changed) > 0 {
			t.Errorf("%v, %q; want %s", err, r.Changed, want)
		}
		r = newRig(t, nil, object.DeepCopyObject().(client.Object))
		r.onPause = func() {
			if len(r.Changed) > 0 {
				t.Errorf("it did %q while a node had the volume", r.Changed)
			}
			r.onPause, r.Changed = nil, nil
			if n, ok := object.DeepCopyObject().(*corev1.Node); ok {
				if err := r.api.Get(t.Context(), client.ObjectKeyFromObject(n), n); err != nil {
					t.Fatal(err)
				}
				n.Status.VolumesInUse = nil
				if err := r.api.Status().Update(t.Context(), n); err != nil {
					t.Fatal(err)
				}
				return
			}
			r.drop(object)
		}
		if err := r.adopt(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestSomebodyElse: what others do meanwhile is seen, and nothing more goes.
func TestSomebodyElse(t *testing.T) {
	t.Run("sets the policy Delete again", func(t *testing.T) {
		r := newRig(t, nil)
		r.Writes, r.Done = slices.Index(writes, "delete claim")+1, true
		if err := r.adopt(); !errors.Is(err, cephtest.ErrKilled) {
			t.Fatal(err)
		}
		r.Writes = -1
		var pv corev1.PersistentVolume
		if err := r.read(oldPV, &pv); err != nil {
			t.Fatal(err)
		}
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
		if err := r.api.Update(t.Context(), &pv); err != nil {
			t.Fatal(err)
		}
		r.Changed = nil
		if err := r.adopt(); err == nil || !strings.Contains(err.Error(), "PersistentVolume pvc-1: spec.persistentVolumeReclaimPolicy is Delete, so its image would be deleted") || len(r.Changed) > 0 {
			t.Errorf("%v, %q", err, r.Changed)
		}
	})
	t.Run("makes the claim again", func(t *testing.T) {
		r := newRig(t, nil)
		r.Writes, r.Done = slices.Index(writes, "delete volume")+1, true
		if err := r.adopt(); !errors.Is(err, cephtest.ErrKilled) {
			t.Fatal(err)
		}
		r.Writes, r.provides = -1, false
		again := claimOf()
		again.UID, again.ResourceVersion, again.Spec.VolumeName = "u-again", "", ""
		if err := r.api.Create(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		r.Changed = nil
		var refusal *Refusal
		if err := r.adopt(); !errors.As(err, &refusal) || !strings.Contains(err.Error(), `claim shop/data: spec.volumeName is "", and not pvc-1, whose adoption `) || len(r.Changed) > 0 {
			t.Errorf("%v, %q", err, r.Changed)
		}
	})
	t.Run("makes another volume of the old name", func(t *testing.T) {
		r := newRig(t, nil)
		r.Writes, r.Done = slices.Index(writes, "delete volume")+1, true
		if err := r.adopt(); !errors.Is(err, cephtest.ErrKilled) {
			t.Fatal(err)
		}
		r.Writes = -1
		pv := volume()
		pv.Spec.CSI.VolumeHandle = "other"
		if err := r.api.Create(t.Context(), pv); err != nil {
			t.Fatal(err)
		}
		if err := r.adopt(); err == nil || !strings.Contains(err.Error(), "PersistentVolume pvc-1: spec.csi.volumeHandle is not the one that the file has") {
			t.Errorf("%v", err)
		}
	})
	t.Run("never makes the new volume", func(t *testing.T) {
		r := newRig(t, nil)
		r.provides = false
		err := r.adopt()
		if err == nil || !strings.Contains(err.Error(), "wait until claim shop/data is bound, for 1m0s: it is ; kubectl describe pvc data --namespace shop says why\n  do this   run the same command again, which goes on; or go back, as the first lines of ") {
			t.Fatalf("%v", err)
		}
		var claim corev1.PersistentVolumeClaim
		if err := r.read("data", &claim); err != nil {
			t.Fatal(err)
		}
		if err := r.provide(t.Context(), r.api, &claim); err != nil {
			t.Fatal(err)
		}
		if err := r.adopt(); err != nil {
			t.Fatal(err)
		}
		r.isAdopted()
	})
	t.Run("makes it lead elsewhere", func(t *testing.T) {
		r := newRig(t, nil)
		r.pair = func(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
			pv := pairOf(claim)
			pv.Name, pv.Spec.CSI.VolumeHandle = "shop.empty", "shop.empty"
			return pv
		}
		if err := r.adopt(); err == nil || !strings.Contains(err.Error(), "claim shop/data is bound to PersistentVolume shop.empty, which does not lead to shop.data") {
			t.Errorf("%v", err)
		}
	})
	t.Run("has granted the image before", func(t *testing.T) {
		r := newRig(t, nil)
		var shop corev1.Namespace
		if err := r.read("shop", &shop); err != nil {
			t.Fatal(err)
		}
		shop.Annotations[Images] = "common," + imageName
		if err := r.api.Update(t.Context(), &shop); err != nil {
			t.Fatal(err)
		}
		if err := r.adopt(); err != nil {
			t.Fatal(err)
		}
		if err := r.read("shop", &shop); err != nil || shop.Annotations[Images] != "common,"+imageName {
			t.Errorf("the grant is %q, %v", shop.Annotations[Images], err)
		}
	})
}

// TestABadFile is not taken for another claim's.
func TestABadFile(t *testing.T) {
	for name, text := range map[string]string{"no YAML": "a: [", "something else": "kind: ConfigMap\n", "nothing": ""} {
		r := newRig(t, nil)
		if err := os.WriteFile(r.Files.Path(data), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.adopt(); err == nil || !strings.Contains(err.Error(), "understand ") || len(r.Changed) > 0 {
			t.Errorf("%s: %v, %q", name, err, r.Changed)
		}
	}
}

func TestUnchecked(t *testing.T) {
	if got := unchecked(strings.Repeat("n", 32)); got != "" {
		t.Errorf("a name that fits any key: %s", got)
	}
	if got := unchecked(strings.Repeat("n", 33)); !strings.Contains(got, "(33 bytes) fits with the key of every cluster: name, \"~\" and key may have 96 bytes") {
		t.Errorf("%q", got)
	}
}

// A person learns before confirming that ceph-csi takes no more snapshots of a pair.
func TestSnapshots(t *testing.T) {
	snapshot := func(name, source, of string) *unstructured.Unstructured {
		s := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"source": map[string]any{source: of}}}}
		s.SetGroupVersionKind(snapshotList.GroupVersion().WithKind("VolumeSnapshot"))
		s.SetNamespace("shop")
		s.SetName(name)
		return s
	}
	var many []client.Object
	for i := range 7 {
		many = append(many, snapshot(fmt.Sprint("data-", i), "persistentVolumeClaimName", "data"))
	}
	const kept = "VolumeSnapshots are kept, and ceph-csi still fills new claims from them, but it takes no more of this claim: "
	tests := map[string]struct {
		objects []client.Object
		listing error
		want    []string
		err     string
	}{
		"none": {},
		"of another claim, or imported": {objects: []client.Object{
			snapshot("a", "persistentVolumeClaimName", "data-1"), snapshot("b", "volumeSnapshotContentName", "data"),
		}},
		"one":                          {objects: many[:1], want: []string{kept + "data-0"}},
		"many":                         {objects: many, want: []string{kept + "data-0, data-1, data-2, data-3, data-4 and 2 others"}},
		"the cluster has no such kind": {listing: &meta.NoKindMatchError{GroupKind: snapshotList.GroupKind()}},
		"nobody may look": {
			listing: apierrors.NewForbidden(schema.GroupResource{}, "", nil),
			want:    []string{"Not checked: whether there are VolumeSnapshots of the claim, which you may not list. They would be kept, but ceph-csi takes no more of it."},
		},
		"an outage": {listing: apierrors.NewServiceUnavailable("down"), err: "list VolumeSnapshots: down"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(pv *corev1.PersistentVolume, _ *corev1.PersistentVolumeClaim) {
				pv.Spec.CSI.VolumeAttributes["imageFeatures"] = "layering,exclusive-lock"
			}, test.objects...)
			r.listing = test.listing
			plan, err := r.Prepare(t.Context(), data)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v; want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, plan.Notes); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
