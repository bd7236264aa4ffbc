//go:build lab

package provisioner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestAPlainClaimIsBoundWithoutARenderer(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	tm.apply(east, claim("data", "16Mi", "cephferry.io/class: ceph-block")+claim("cache", "12Mi"))
	begin := time.Now()
	tm.bound(east, "data", tm.image("data"))
	t.Logf("bound %s later", time.Since(begin).Round(time.Millisecond))
	tm.bound(east, "cache", tm.image("cache")) // of the default class

	got, pvc := tm.volume(east, tm.image("data")), tm.get(east, "data")
	want := corev1.PersistentVolumeSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Capacity:    pvc.Spec.Resources.Requests,
		ClaimRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: tm.Namespace, Name: "data",
			UID: pvc.UID, ResourceVersion: got.Spec.ClaimRef.ResourceVersion},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
			Driver: "rook-ceph.rbd.csi.ceph.com", FSType: "ext4", VolumeHandle: tm.image("data") + "~east",
			NodeStageSecretRef: &corev1.SecretReference{Namespace: "rook-ceph", Name: "rook-csi-rbd-node"},
			VolumeAttributes:   map[string]string{"clusterID": "rook-ceph", "pool": "replicapool", "staticVolume": "true", "imageFeatures": "exclusive-lock,layering", "mapOptions": "exclusive,noshare"},
		}},
		PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		VolumeMode:                    got.Spec.VolumeMode,
	}
	if diff := cmp.Diff(want, got.Spec); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"cephferry.io/migratable": "true", "cephferry.io/created-by": "cluster"}, ours(got.Annotations)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if size := tm.size(tm.image("data")); size != 16 {
		t.Errorf("the image has %d MiB", size)
	}
	tm.event(east, "data", "Normal ProvisioningSucceeded: created PersistentVolume "+tm.image("data"))
	tm.apply(east, pod("reader", "data"))
	tm.Ready(east, "reader")
	tm.wrote(tm.image("data"), east)
}

func ours(annotations map[string]string) map[string]string {
	found := map[string]string{}
	for key, value := range annotations {
		if strings.HasPrefix(key, "cephferry.io/") {
			found[key] = value
		}
	}
	return found
}

// TestAStatefulSetGetsEveryOrdinal, with the images that each claim had before.
func TestAStatefulSetGetsEveryOrdinal(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		annotations []string
		image       func(tm *team, n int) string
	}{
		"by default": {nil, func(tm *team, n int) string { return tm.image(fmt.Sprint("data-db-", n)) }},
		"with a base name": {[]string{"cephferry.io/image: NS.box", `cephferry.io/replicas: "2"`},
			func(tm *team, n int) string { return tm.image(fmt.Sprint("box-", n)) }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tm := newTeam(t)
			tm.apply(east, statefulSet("db", 1, test.annotations...))
			for _, replicas := range []int{1, 3, 0, 5} {
				tm.Kubectl(east, "scale", "statefulset/db", fmt.Sprint("--replicas=", replicas))
				for n := range replicas {
					tm.bound(east, fmt.Sprint("data-db-", n), test.image(tm, n))
					tm.Ready(east, fmt.Sprint("db-", n))
				}
				if replicas == 0 {
					tm.noPods(east)
				}
			}
		})
	}
}

// TestAReinstallFindsItsData: the claim is deleted, its PersistentVolume goes, and
// the image stays for the next claim.
func TestAReinstallFindsItsData(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	manifests := claim("data", "16Mi") + pod("app", "data")
	tm.apply(east, manifests)
	tm.Ready(east, "app")
	first := tm.get(east, "data").UID
	tm.Kubectl(east, "delete", "pod/app", "persistentvolumeclaim/data")
	tm.gone(east, tm.image("data"))
	tm.apply(east, manifests)
	tm.bound(east, "data", tm.image("data"))
	tm.Ready(east, "app")
	if tm.get(east, "data").UID == first {
		t.Error("it is the same claim")
	}
	tm.wrote(tm.image("data"), east)
}

// TestAClaimThatIsMadeAgainAtOnce does not wait for people to see that the first
// one's volume is in the way.
func TestAClaimThatIsMadeAgainAtOnce(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	for range 5 {
		tm.apply(east, claim("data", "16Mi"))
		tm.bound(east, "data", tm.image("data"))
		tm.Kubectl(east, "delete", "persistentvolumeclaim/data")
	}
	tm.gone(east, tm.image("data"))
	if events := tm.events(east, "data"); slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "Warning ProvisioningFailed") }) {
		t.Errorf("events %q", events)
	}
}

// TestAVolumeOfTheRendererIsFreedForTheNextClaim, when its own is gone, and no
// other volume is.
func TestAVolumeOfTheRendererIsFreedForTheNextClaim(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	pair := func(name string, edit ...string) string {
		return strings.NewReplacer(append(edit, "NAME", name)...).Replace(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: NS.NAME, annotations: {cephferry.io/migratable: "true"}}
spec:
  capacity: {storage: 16Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: NS, name: NAME}
  csi:
    driver: rook-ceph.rbd.csi.ceph.com
    volumeHandle: NS.NAME
    nodeStageSecretRef: {name: rook-csi-rbd-node, namespace: rook-ceph}
    volumeAttributes: {clusterID: rook-ceph, pool: replicapool, staticVolume: "true"}
`)
	}
	pvc := func(name string) string {
		return strings.Replace(claim(name, "16Mi"), "spec: {", "spec: {volumeName: NS."+name+", ", 1)
	}
	volumes := map[string][]string{
		"freed":   nil,
		"foreign": {`, annotations: {cephferry.io/migratable: "true"}`, ""},
		"other":   {"volumeHandle: NS.NAME", "volumeHandle: NS.elsewhere"},
	}
	for name, edit := range volumes {
		tm.apply(east, pair(name, edit...)+"---"+pvc(name))
		tm.bound(east, name, tm.image(name))
	}
	for name := range volumes {
		tm.Kubectl(east, "delete", "persistentvolumeclaim/"+name)
	}
	tm.Eventually("NS.freed is available", func() error {
		if got := tm.volume(east, tm.image("freed")); got.Status.Phase != corev1.VolumeAvailable || got.Spec.ClaimRef.UID != "" {
			return fmt.Errorf("it is %s", got.Status.Phase)
		}
		return nil
	})
	for name := range volumes {
		tm.apply(east, pvc(name))
	}
	tm.bound(east, "freed", tm.image("freed"))
	for name := range volumes {
		if name == "freed" {
			continue
		}
		if got := tm.volume(east, tm.image(name)); got.Status.Phase != corev1.VolumeReleased || got.Spec.ClaimRef.UID == "" {
			t.Errorf("%s was touched: it is %s", name, got.Status.Phase)
		}
	}
}

// TestAMoveWithVolumesThatTheClustersMade, both ways, under the guard.
func TestAMoveWithVolumesThatTheClustersMade(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	image := tm.image("data-db-0")
	tm.apply(east, statefulSet("db", 1))
	tm.Ready(east, "db-0")
	// A StatefulSet makes the claim first, which is bound if no pod waits for it yet.
	tm.apply(west, statefulSet("db", 0)+pod("early", "data-db-0"))
	_, err := west.Run(t.Context(), "--namespace", tm.Namespace, "scale", "statefulset/db", "--replicas=1")
	tm.must(err) // there is no claim in west yet, so nothing is known of a volume
	// The pods wait for their claim, and the volume that it would get is refused.
	tm.event(west, "data-db-0", "Warning ProvisioningFailed", "volume "+tm.Namespace+"/data-db-0 (image replicapool/"+image+") is in use by another cluster", "cluster east, node east-")
	tm.condition(west, "data-db-0", "Stalled", "is in use by another cluster")
	tm.Kubectl(west, "delete", "pod/early")

	tm.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	tm.free(image)
	begin := time.Now()
	tm.bound(west, "data-db-0", image)
	t.Logf("bound in west %s after east has let go", time.Since(begin).Round(time.Millisecond))
	tm.Ready(west, "db-0")

	out, err := east.Run(t.Context(), "--namespace", tm.Namespace, "scale", "statefulset/db", "--replicas=1")
	if err == nil || !strings.Contains(err.Error(), "is in use by another cluster") {
		t.Errorf("east could scale up: %s%v", out, err)
	}
	tm.Kubectl(west, "scale", "statefulset/db", "--replicas=0")
	tm.Eventually("west has let go", func() error {
		_, err := east.Run(t.Context(), "--namespace", tm.Namespace, "scale", "statefulset/db", "--replicas=1")
		return err
	})
	tm.Ready(east, "db-0")
	tm.wrote(image, east, west, east)
}

// TestAClaimThatNoPodWaitsFor is bound whoever has its image. Its pods wait, and the object of the
// volume says for whom, as docs/start.md has it.
func TestAClaimThatNoPodWaitsFor(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	image := tm.image("data-db-0")
	tm.apply(east, statefulSet("db", 1))
	tm.Ready(east, "db-0")
	tm.apply(west, claim("data-db-0", "16Mi"))
	tm.bound(west, "data-db-0", image)
	tm.apply(west, statefulSet("db", 1))
	for _, what := range []string{"create", "condition=Waiting"} {
		tm.Kubectl(west, "wait", "mvol/data-db-0", "--for="+what, "--timeout=60s")
	}
	if got := tm.Kubectl(west, "get", "mvol/data-db-0", `-o=jsonpath={.status.waiting} {.status.conditions[?(@.type=="Waiting")].message}`); !strings.HasPrefix(got, "StatefulSet/db ") || !strings.Contains(got, "when cluster east has released the image") {
		t.Errorf("west's volume says %q", got)
	}
	tm.noPods(west)
	tm.Kubectl(east, "scale", "statefulset/db", "--replicas=0")
	tm.Ready(west, "db-0")
	tm.wrote(image, east, west)
}

// TestTheAPIServerRefusesToRaiseTheRequest is why growth is an annotation.
func TestTheAPIServerRefusesToRaiseTheRequest(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	tm.apply(east, claim("data", "16Mi"))
	tm.bound(east, "data", tm.image("data"))
	raised := []byte(`{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}`)
	_, err := east.Client.CoreV1().PersistentVolumeClaims(tm.Namespace).Patch(t.Context(), "data", types.MergePatchType, raised, metav1.PatchOptions{})
	if err == nil || !strings.Contains(err.Error(), "only dynamically provisioned pvc can be resized") {
		t.Errorf("the request was raised: %v", err)
	}
}

func TestAnImageGrowsByAnnotation(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	image := tm.image("data")
	tm.apply(east, claim("data", "16Mi", "cephferry.io/size: 20Mi")+pod("app", "data"))
	tm.Ready(east, "app")
	if size := tm.size(image); size != 20 {
		t.Errorf("the image has %d MiB", size)
	}
	tm.apply(east, claim("data", "16Mi", "cephferry.io/size: 32Mi"))
	tm.event(east, "data", "Normal Resized: grew image replicapool/"+image+" to 32Mi")
	tm.event(east, "data", "Normal FileSystemResizeRequired: image "+image+" has 32Mi; the node that has it mounted grows the filesystem")
	tm.follows("data", 32)
	tm.Eventually("the claim says so", func() error {
		if status := tm.get(east, "data").Status; status.Capacity.Storage().String() != "32Mi" || len(status.Conditions) != 0 {
			return fmt.Errorf("it has %s, conditions %v", status.Capacity.Storage(), status.Conditions)
		}
		return nil
	})
	if size := tm.size(image); size != 32 {
		t.Errorf("the image has %d MiB", size)
	}
	tm.apply(east, claim("data", "16Mi", "cephferry.io/size: 24Mi"))
	tm.event(east, "data", "Warning VolumeResizeFailed", "image replicapool/"+image+" has 32Mi, the claim asks for 24Mi; images never shrink")

	// The claim without the annotation is content with the image as it is.
	tm.Kubectl(east, "delete", "pod/app", "persistentvolumeclaim/data")
	tm.gone(east, image)
	tm.apply(east, claim("data", "16Mi"))
	tm.bound(east, "data", image)
	if size := tm.size(image); size != 32 {
		t.Errorf("the image has %d MiB", size)
	}
}
