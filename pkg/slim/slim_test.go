package slim_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cephferry/cephferry/pkg/slim"
)

// full is the metadata of an object that much has written to.
func full() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: "data", Namespace: "shop", UID: "1", ResourceVersion: "7", Generation: 2,
		CreationTimestamp: metav1.Unix(1, 0), DeletionTimestamp: &metav1.Time{Time: time.Unix(2, 0)},
		Labels: map[string]string{"app": "shop"}, Finalizers: []string{"kubernetes.io/pvc-protection"},
		Annotations: map[string]string{
			"cephferry.io/migratable": "true", "cephferry.io/size": "2Gi",
			"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 1000), "helm.sh/hook": "test",
			"volume.beta.kubernetes.io/storage-class": "fast", "volume.kubernetes.io/storage-provisioner": "cephferry.io/provisioner",
			"pv.kubernetes.io/bind-completed": "yes",
		},
		OwnerReferences: []metav1.OwnerReference{{Name: "db"}},
		ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}
}

// kept is what is left of it.
func kept(annotations map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: "data", Namespace: "shop", UID: "1", ResourceVersion: "7", Generation: 2,
		CreationTimestamp: metav1.Unix(1, 0), DeletionTimestamp: &metav1.Time{Time: time.Unix(2, 0)}, Annotations: annotations,
	}
}

var ours = map[string]string{"cephferry.io/migratable": "true", "cephferry.io/size": "2Gi"}

func size(text string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(text)}
}

// spec is that of a PersistentVolume with everything that may be in one.
func spec() corev1.PersistentVolumeSpec {
	mode := corev1.PersistentVolumeFilesystem
	secret := func() *corev1.SecretReference {
		return &corev1.SecretReference{Name: "rook-csi-rbd-node", Namespace: "rook-ceph"}
	}
	return corev1.PersistentVolumeSpec{
		Capacity: size("1Gi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeMode: &mode,
		ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data", UID: "2", APIVersion: "v1", ResourceVersion: "5"},
		PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: "fast", MountOptions: []string{"discard"},
		NodeAffinity: &corev1.VolumeNodeAffinity{},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
			Driver: "rook-ceph.rbd.csi.ceph.com", VolumeHandle: "shop.data~east", FSType: "ext4", ReadOnly: true,
			VolumeAttributes:           map[string]string{"clusterID": "rook-ceph", "pool": "rbd", "staticVolume": "true"},
			ControllerPublishSecretRef: secret(), NodeStageSecretRef: secret(), NodePublishSecretRef: secret(), ControllerExpandSecretRef: secret(), NodeExpandSecretRef: secret(),
		}},
	}
}

// TestTransforms: what is read of an object is left of it, and nothing else.
func TestTransforms(t *testing.T) {
	volumeName, class := "shop.data", "fast"
	claimSpec := func() corev1.PersistentVolumeClaimSpec {
		return corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, VolumeName: volumeName, StorageClassName: &class,
			Selector: &metav1.LabelSelector{}, Resources: corev1.VolumeResourceRequirements{Requests: size("1Gi")},
		}
	}
	claimStatus := corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: size("1Gi"), Conditions: []corev1.PersistentVolumeClaimCondition{{Type: "Stalled"}}}
	attachmentSpec := storagev1.VolumeAttachmentSpec{Attacher: "rbd", NodeName: "e1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &volumeName}}
	addresses := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.1.11"}}
	inUse := []corev1.UniqueVolumeName{"kubernetes.io/csi/rbd^shop.data"}
	tests := map[string]struct{ object, want client.Object }{
		"a node": {
			&corev1.Node{ObjectMeta: full(), Spec: corev1.NodeSpec{PodCIDR: "10.1.0.0/24"}, Status: corev1.NodeStatus{
				Addresses: addresses, VolumesInUse: inUse, VolumesAttached: []corev1.AttachedVolume{{Name: "a"}},
				Images: []corev1.ContainerImage{{Names: []string{"app:1"}}}, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}, Capacity: size("1Ti"),
				NodeInfo: corev1.NodeSystemInfo{BootID: "b", MachineID: "m", SystemUUID: "s", KernelVersion: "6.1"},
			}},
			&corev1.Node{ObjectMeta: kept(nil), Status: corev1.NodeStatus{
				Addresses: addresses, VolumesInUse: inUse, NodeInfo: corev1.NodeSystemInfo{BootID: "b", MachineID: "m", SystemUUID: "s"},
			}},
		},
		"a node that does not report": {
			&corev1.Node{ObjectMeta: full(), Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeDiskPressure, Status: corev1.ConditionUnknown},
				{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.Unix(9, 0), LastHeartbeatTime: metav1.Unix(8, 0), Message: "m"},
			}}},
			&corev1.Node{ObjectMeta: kept(nil), Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.Unix(9, 0)},
			}}},
		},
		"a PersistentVolume": {
			&corev1.PersistentVolume{ObjectMeta: full(), Spec: spec(), Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased, Message: "m"}},
			&corev1.PersistentVolume{ObjectMeta: kept(ours), Spec: spec(), Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased}},
		},
		"a bare PersistentVolume": {&corev1.PersistentVolume{}, &corev1.PersistentVolume{}},
		"a claim": {
			&corev1.PersistentVolumeClaim{ObjectMeta: full(), Spec: claimSpec(), Status: claimStatus},
			&corev1.PersistentVolumeClaim{ObjectMeta: kept(map[string]string{
				"cephferry.io/migratable": "true", "cephferry.io/size": "2Gi", "helm.sh/hook": "test", "volume.beta.kubernetes.io/storage-class": "fast",
				"volume.kubernetes.io/storage-provisioner": "cephferry.io/provisioner",
			}), Spec: claimSpec(), Status: claimStatus},
		},
		"a bare claim": {&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolumeClaim{}},
		"an attachment": {
			&storagev1.VolumeAttachment{ObjectMeta: full(), Spec: attachmentSpec, Status: storagev1.VolumeAttachmentStatus{Attached: true}},
			&storagev1.VolumeAttachment{ObjectMeta: kept(nil), Spec: attachmentSpec},
		},
		"an attachment that does not go": {
			&storagev1.VolumeAttachment{ObjectMeta: full(), Spec: attachmentSpec, Status: storagev1.VolumeAttachmentStatus{
				Attached: true, DetachError: &storagev1.VolumeError{Message: "rpc error", Time: metav1.Unix(9, 0)},
			}},
			&storagev1.VolumeAttachment{ObjectMeta: kept(nil), Spec: attachmentSpec, Status: storagev1.VolumeAttachmentStatus{
				DetachError: &storagev1.VolumeError{Message: "rpc error"},
			}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, transformed(t, test.object)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	missed := toolscache.DeletedFinalStateUnknown{Key: "e1"}
	for object, by := range slim.Objects() {
		if got, err := by.Transform(missed); err != nil || got != missed {
			t.Errorf("%T: what was missed becomes %v, %v", object, got, err)
		}
	}
}

// transformed is the object as a cache keeps it.
func transformed(t *testing.T, object client.Object) any {
	t.Helper()
	for of, by := range slim.Objects() {
		if reflect.TypeOf(of) == reflect.TypeOf(object) {
			got, err := by.Transform(object)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
	t.Fatalf("%T is kept as it is", object)
	return nil
}

// TestWhatManyHaveInCommonIsKeptOnce for volumes, and none of them sees that of another.
func TestWhatManyHaveInCommonIsKeptOnce(t *testing.T) {
	var kept slim.Kept
	volume := func(capacity string) *corev1.PersistentVolume {
		pv := &corev1.PersistentVolume{Spec: spec()}
		pv.Spec.Capacity, pv.Spec.CSI.FSType = size(capacity), strings.Clone("ext4")
		kept.PersistentVolume(pv)
		return pv
	}
	a, b, larger := volume("1Gi"), volume("1Gi"), volume("2Gi")
	a.Spec.Capacity["mark"], a.Spec.CSI.VolumeAttributes["mark"] = resource.MustParse("1"), "of a"
	if b.Spec.CSI.VolumeAttributes["mark"] != "of a" || len(b.Spec.Capacity) != 2 {
		t.Error("two equal volumes have maps of their own")
	}
	if size := larger.Spec.Capacity[corev1.ResourceStorage]; len(larger.Spec.Capacity) != 1 || size.String() != "2Gi" {
		t.Errorf("the larger one has %v", larger.Spec.Capacity)
	}
	if unsafe.StringData(a.Spec.CSI.FSType) != unsafe.StringData(b.Spec.CSI.FSType) {
		t.Error("two equal volumes have texts of their own")
	}
}

// TestVolumesWithNothingInCommon keep what is theirs, however many there are.
func TestVolumesWithNothingInCommon(t *testing.T) {
	var kept slim.Kept
	for i := range 5000 {
		name := fmt.Sprint("csi-vol-", i)
		pv := &corev1.PersistentVolume{Spec: spec()}
		pv.Spec.CSI.VolumeAttributes["imageName"] = name
		kept.PersistentVolume(pv)
		want := spec().CSI.VolumeAttributes
		want["imageName"] = name
		if diff := cmp.Diff(want, pv.Spec.CSI.VolumeAttributes); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}
}
