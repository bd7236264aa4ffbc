//go:build lab

package provisioner

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
)

// othersSecret is one that the chart does not let the webhook read.
const othersSecret = "secret-of-others"

// TestWhatIsRefusedSaysWhy, on the claim.
func TestWhatIsRefusedSaysWhy(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	victim := newTeam(t)
	victim.apply(east, claim("data", "16Mi"))
	victim.bound(east, "data", victim.image("data"))
	tm.apply(east, class("lost-NS", "pool: lost", "rook-csi-rbd-provisioner")+class("locked-NS", "pool: replicapool", othersSecret))
	if _, err := storage.RBD(t.Context(), "create", lab.Pool+"/"+tm.image("small"), "--size", "8M"); err != nil {
		t.Fatal(err)
	}
	const tenancy = "is not granted to it; the platform team grants it with the annotation cephferry.io/images on the namespace"
	tests := map[string]struct {
		annotations []string
		why         string
	}{
		"no-class": {[]string{"cephferry.io/class: later-NS"}, `metadata.annotations[cephferry.io/class]: Invalid value: "later-` + tm.Namespace + `": no such StorageClass`},
		"no-pool":  {[]string{"cephferry.io/class: lost-NS"}, `pool "lost", rados namespace "": the pool does not exist`},
		"no-right": {[]string{"cephferry.io/class: locked-NS"}, "read Secret rook-ceph/" + othersSecret + ": secrets \"" + othersSecret + "\" is forbidden"},
		"small":    {nil, "the name is taken by a smaller volume: image replicapool/" + tm.image("small") + " has 8Mi, the claim asks for 16Mi"},
		"adopts":   {[]string{`cephferry.io/adopt: "true"`}, "adopt image replicapool/" + tm.image("adopts") + ": the image does not exist"},
		"steals":   {[]string{"cephferry.io/image: " + victim.image("data")}, tenancy},
		"takes":    {[]string{"cephferry.io/image: " + victim.image("data"), `cephferry.io/adopt: "true"`}, tenancy},
		"crafts":   {[]string{"cephferry.io/image: " + tm.Namespace + "x.data"}, tenancy},
	}
	for name, test := range tests {
		tm.apply(east, claim(name, "16Mi", test.annotations...))
	}
	// This one does not ask, it names the volume; that is the binder's to refuse.
	tm.apply(east, strings.Replace(claim("names", "16Mi"), "spec: {", "spec: {volumeName: "+victim.image("data")+", ", 1))
	for name, test := range tests {
		tm.event(east, name, "Warning ProvisioningFailed", test.why)
		tm.condition(east, name, "Stalled", test.why)
	}
	for name := range tests {
		if got := tm.get(east, name); got.Status.Phase != corev1.ClaimPending || got.Spec.VolumeName != "" {
			t.Errorf("%s is %s, with volume %q", name, got.Status.Phase, got.Spec.VolumeName)
		}
	}
	if got := tm.get(east, "names"); got.Status.Phase != corev1.ClaimPending || len(got.Status.Conditions) > 0 {
		t.Errorf("the claim that names the volume is %s with conditions %v", got.Status.Phase, got.Status.Conditions)
	}
	victim.bound(east, "data", victim.image("data"))

	// What is mended is carried out, without anybody's doing more.
	tm.apply(east, class("later-NS", "pool: replicapool", "rook-csi-rbd-provisioner"))
	tm.bound(east, "no-class", tm.image("no-class"))
	tm.apply(east, "{apiVersion: v1, kind: Namespace, metadata: {name: NS, annotations: {cephferry.io/images: '"+tm.Namespace+"x.*'}}}")
	tm.bound(east, "crafts", tm.Namespace+"x.data")
}

// TestAnExistingImageIsAdopted when nothing in the cluster could delete it.
func TestAnExistingImageIsAdopted(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	image := "csi-vol-" + tm.Namespace
	if _, err := storage.RBD(t.Context(), "create", lab.Pool+"/"+image, "--size", "24M"); err != nil {
		t.Fatal(err)
	}
	tm.apply(east, strings.ReplaceAll(`
apiVersion: v1
kind: Namespace
metadata: {name: NS, annotations: {cephferry.io/images: IMAGE}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pvc-NS}
spec:
  capacity: {storage: 24Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Delete
  claimRef: {namespace: NS, name: old}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: 0001-0009-rook-ceph-0000000000000001-NS
    volumeAttributes: {clusterID: rook-ceph, pool: replicapool, imageName: IMAGE}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: old, namespace: NS}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: pvc-NS, resources: {requests: {storage: 24Mi}}}
`, "IMAGE", image))
	volume := "pvc-" + tm.Namespace
	tm.bound(east, "old", volume)
	tm.apply(east, claim("data", "16Mi", "cephferry.io/image: "+image, `cephferry.io/adopt: "true"`))
	tm.event(east, "data", "Warning ProvisioningFailed", "PersistentVolume "+volume+": spec.persistentVolumeReclaimPolicy is Delete",
		"PersistentVolume "+volume+": spec.claimRef still binds it to claim "+tm.Namespace+"/old")
	tm.Kubectl(east, "patch", "persistentvolume/"+volume, "--patch", `{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	tm.Kubectl(east, "delete", "persistentvolumeclaim/old")
	tm.bound(east, "data", image)
	if got := tm.get(east, "data").Status.Capacity[corev1.ResourceStorage]; got.Cmp(quantity("24Mi")) != 0 {
		t.Errorf("the claim has %s", got.String())
	}
	if got := tm.volume(east, volume); got.Status.Phase != corev1.VolumeReleased {
		t.Errorf("the dynamic volume is %s", got.Status.Phase)
	}
}

// class is a StorageClass with this pool and provisioner secret.
func class(name, pool, secret string) string {
	return fmt.Sprintf(`
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: %s}
provisioner: rook-ceph.rbd.csi.ceph.com
parameters:
  clusterID: rook-ceph
  %s
  csi.storage.k8s.io/provisioner-secret-name: %s
  csi.storage.k8s.io/provisioner-secret-namespace: rook-ceph
  csi.storage.k8s.io/node-stage-secret-name: rook-csi-rbd-node
  csi.storage.k8s.io/node-stage-secret-namespace: rook-ceph
---
`, name, pool, secret)
}

// Not parallel: it stops Ceph for everybody.
func TestAnOutageOfCephIsReportedAsOneAndOvercome(t *testing.T) {
	tm := newTeam(t)
	tm.apply(east, claim("before", "16Mi"))
	tm.bound(east, "before", tm.image("before"))
	frozen := []*lab.Process{storage.OSD, storage.Mon}
	thaw := sync.OnceFunc(func() {
		for _, process := range frozen {
			if err := process.Thaw(); err != nil {
				t.Error(err)
			}
		}
	})
	defer thaw()
	for _, process := range frozen {
		tm.must(process.Freeze())
	}
	tm.apply(east, claim("data", "16Mi"))
	tm.condition(east, "data", "Reconciling", "; it is tried again until Ceph answers")
	thaw()
	tm.event(east, "data", "Warning ProvisioningFailed", "ceph does not answer")
	tm.bound(east, "data", tm.image("data"))
}

// Not parallel: it ends the webhook of east.
func TestALeaderThatEndsHalfWayIsContinued(t *testing.T) {
	tm := newTeam(t)
	// Nobody may create the PersistentVolume, so there is an image and no volume.
	tm.apply(east, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NS}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [persistentvolumes], operations: [CREATE]}]}
  validations: [{expression: "!object.metadata.name.startsWith('NS.')", message: not now}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NS}
spec: {policyName: NS, validationActions: [Deny]}
`)
	// The API server goes by its list of policies of up to a second ago.
	forbidden := func() bool {
		_, err := east.Client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: tm.image("probe")},
			Spec: corev1.PersistentVolumeSpec{
				AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Capacity:               corev1.ResourceList{corev1.ResourceStorage: quantity("1Mi")},
				PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}},
			},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "not now")
	}
	scene.Until(t, "the policy is in force", forbidden)
	tm.apply(east, claim("data", "16Mi"))
	tm.event(east, "data", "Warning ProvisioningFailed", "not now")
	if size := tm.size(tm.image("data")); size != 16 {
		t.Errorf("the image has %d MiB", size)
	}
	tm.must(east.Webhook.Kill())
	tm.Kubectl(east, "delete", "validatingadmissionpolicybinding/"+tm.Namespace, "validatingadmissionpolicy/"+tm.Namespace)
	scene.Until(t, "the policy is gone", func() bool { return !forbidden() })
	tm.must(east.Webhook.Start())
	tm.bound(east, "data", tm.image("data"))
}

// Not parallel: it takes rights from the webhook of west.
func TestTheWebhookWorksWhenTheProvisionerCannot(t *testing.T) {
	tm := newTeam(t)
	log := west.Webhook.LogFile
	defer func() { west.Webhook.LogFile = log }()
	tm.must(west.Webhook.Stop())
	tm.Kubectl(west, "patch", "clusterrole/cephferry", "--type=json", "--patch", tm.rules(west, "storageclasses", "nothing"))
	west.Webhook.LogFile = filepath.Join(t.TempDir(), "webhook.log") // what is missing is expected here
	tm.must(west.Webhook.Start())
	tm.apply(west, claim("data", "16Mi"))
	if _, err := west.Run(t.Context(), "create", "--dry-run=server", "-f", filepath.Join(filepath.Dir(log), "unknown.yaml")); err == nil || !strings.Contains(err.Error(), "its image is not known") {
		t.Errorf("the guard does not answer: %v", err)
	}
	if err := west.Webhook.Ready(); err != nil {
		t.Error(err)
	}
	tm.Kubectl(west, "patch", "clusterrole/cephferry", "--type=json", "--patch", tm.rules(west, "nothing", "storageclasses"))
	tm.bound(west, "data", tm.image("data"))
	tm.must(west.Webhook.Stop())
	west.Webhook.LogFile = log
	tm.must(west.Webhook.Start())
}

// rules is a JSON patch of the webhook's ClusterRole that has another resource in
// the place of one.
func (tm *team) rules(c *scene.Cluster, resource, other string) string {
	tm.Helper()
	role, err := c.Client.RbacV1().ClusterRoles().Get(tm.Context(), "cephferry", metav1.GetOptions{})
	tm.must(err)
	for i, rule := range role.Rules {
		for j, name := range rule.Resources {
			if name == resource {
				return fmt.Sprintf(`[{"op": "replace", "path": "/rules/%d/resources/%d", "value": %q}]`, i, j, other)
			}
		}
	}
	tm.Fatalf("the role has no %s", resource)
	return ""
}
