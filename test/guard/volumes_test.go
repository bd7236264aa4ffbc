//go:build lab

package guard

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/scene"
	"github.com/cephferry/cephferry/test/webhook"
)

func TestANamespaceIsGuardedBeforeItHasItsFirstGuardedVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Create(west, s.PV("data"), "--dry-run=server")
	if got := s.Label(west); got != "" {
		t.Errorf("after a dry run the label is %q", got)
	}
	stored := s.Create(west, s.PV("data"), "-o=jsonpath={.metadata.resourceVersion}")
	if got := s.labelAt(west, stored); got != "true" {
		t.Errorf("when the volume was stored, the label was %q", got)
	}

	// Only the webhook's own account can, by mistake.
	s.Kubectl(west, "label", "namespace/"+s.Namespace, scene.GuardedLabel+"-", "--as=system:serviceaccount:"+webhook.Namespace+":cephferry")
	begin := time.Now()
	s.Eventually("the label that was removed", func() error {
		if got := s.Label(west); got != "true" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	t.Logf("the label is back after %s", time.Since(begin).Round(time.Millisecond))
}

// A claim without a volume is nothing to look at. So the pod is admitted, and the
// volume is looked at in its name.
func TestAVolumeIsRefusedThatAPodWaitsForAlready(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east)
	s.Holds(east, "data")
	s.Create(west, s.PVC("data")+"---\n"+scene.Pod("x", "data"))

	text := s.InUse("data")
	s.Refused(s.Run(west, s.PV("data"), "create", "-f", "-"), scene.Forbidden("volume", text, scene.Creating))
	s.Event(west, "VolumeInUse", "Pod/x", text)
	if got := s.Kubectl(west, "get", "pvc/data", "pod/x", "-o=jsonpath={.items[*].status.phase}"); got != "Pending Pending" {
		t.Errorf("claim and pod are %s", got)
	}

	s.LetsGo(east, "data")
	s.Create(west, s.PV("data"))
	s.Ready(west, "x")
	s.Wrote("data", east, west)
}

// A volume that is for nobody is not looked at, until the binder finds a claim for
// it. The binder tries again every 15 s.
func TestAVolumeIsRefusedToTheBinderAndBoundWhenTheOtherClusterIsDone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.Volume("data", east)
	s.Holds(east, "data")
	s.Create(west, s.PVC("data", `storageClassName: ""`, "storageClassName: "+s.Namespace)+"---\n"+scene.Pod("x", "data"))
	s.Create(west, s.PV("data", "claimRef: {namespace: "+s.Namespace+", name: data}", "storageClassName: "+s.Namespace))
	text := s.InUse("data")
	s.Event(west, "VolumeInUse", "Pod/x", text)
	if got := s.Kubectl(west, "get", "pvc/data", "pod/x", "-o=jsonpath={.items[*].status.phase}"); got != "Pending Pending" {
		t.Errorf("claim and pod are %s", got)
	}

	s.LetsGo(east, "data")
	begin := time.Now()
	s.Ready(west, "x")
	t.Logf("it runs %s after the other cluster was done", time.Since(begin).Round(time.Millisecond))
	s.Wrote("data", east, west)
}

func TestABlockVolumeIsGuarded(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]string{"for one node": "ReadWriteOnce", "for many nodes": "ReadWriteMany"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			edit := []string{"accessModes: [ReadWriteOnce]\n", "accessModes: [" + mode + "]\n  volumeMode: Block\n"}
			s.Volume("data")
			s.Create(east, s.PV("data", edit...)+"---\n"+s.PVC("data", edit...))
			s.Create(west, s.PV("data", edit...)+"---\n"+s.PVC("data", edit...))
			s.Holds(east, "data")
			s.Refused(s.Run(west, scene.Pod("x", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUse("data"), scene.Creating))
			s.LetsGo(east, "data")
			s.Create(west, scene.Pod("x", "data"))
			s.Ready(west, "x")
			s.Wrote("data", east, west)
		})
	}
}

// The rados namespace is in ceph-csi's configuration, and here is added to it while
// the webhooks run.
func TestAVolumeInARadosNamespaceIsGuardedAsSoonAsCephCSIKnowsIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if _, err := storage.RBD(t.Context(), "namespace", "create", lab.Pool+"/blue"); err != nil {
		t.Fatal(err)
	}
	s.Pool = lab.Pool + "/blue"
	s.Volume("data")
	for _, c := range []*scene.Cluster{east, west} {
		s.Create(c, s.PV("data", "clusterID: rook-ceph", "clusterID: blue")+"---\n"+s.PVC("data"))
		s.Bound(c, "data")
	}
	got := s.Run(west, scene.Pod("x", "data"), "create", "-f", "-")
	if want := fmt.Sprintf("cannot know whether volume %[1]s/data (image replicapool/%[1]s.data) is in use by another cluster: ", s.Namespace); got.Err == nil ||
		!strings.HasPrefix(got.Stderr, "Error from server (InternalError): "+scene.Creating+`admission webhook "pod.guard.cephferry.io" denied the request: `+"\n"+want) ||
		!strings.Contains(got.Stderr, `"blue"`) {
		t.Errorf("%s\nwant: %s", got.Stderr, want)
	}

	s.addClusterID(east, "ceph-csi-config", "config.json")
	s.Eventually("east knows the rados namespace", func() error {
		return s.Run(east, scene.Pod("x", "data"), "create", "--dry-run=server", "-f", "-").Err
	})
	s.addClusterID(west, "rook-ceph-csi-config", "csi-cluster-config-json")
	begin := time.Now()
	s.Eventually("west knows the rados namespace", func() error {
		return s.Run(west, scene.Pod("x", "data"), "create", "--dry-run=server", "-f", "-").Err
	})
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	} else {
		t.Logf("it took %s", took.Round(time.Millisecond))
	}

	s.Holds(east, "data")
	s.Refused(s.Run(west, scene.Pod("x", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUse("data"), scene.Creating))
	s.LetsGo(east, "data")
	s.Create(west, scene.Pod("x", "data"))
	s.Ready(west, "x")
	s.Wrote("data", east, west)
}

// addClusterID adds clusterID blue to ceph-csi's configuration.
func (s *shop) addClusterID(c *scene.Cluster, name, key string) {
	s.Helper()
	maps := c.Client.CoreV1().ConfigMaps("rook-ceph")
	config, err := maps.Get(s.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	var entries []map[string]any
	if err := json.Unmarshal([]byte(config.Data[key]), &entries); err != nil {
		s.Fatal(err)
	}
	entries = append(entries, map[string]any{"clusterID": "blue", "monitors": entries[0]["monitors"], "rbd": map[string]any{"radosNamespace": "blue"}})
	data, err := json.Marshal(entries)
	if err != nil {
		s.Fatal(err)
	}
	config.Data[key] = string(data)
	if _, err := maps.Update(s.Context(), config, metav1.UpdateOptions{}); err != nil {
		s.Fatal(err)
	}
}

// As ceph-csi makes them. East is guarded with scope all, west is not.
func TestADynamicVolumeIsGuardedInScopeAllOnly(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	edit := []string{
		"volumeHandle: " + s.Namespace + ".data", "volumeHandle: 0001-0009-rook-ceph-0000000000000001-7c1b9d52-4f0e-4a35-9a61-d8e2f3b0c417",
		`staticVolume: "true"`, "imageName: " + s.Namespace + ".data, journalPool: replicapool, imageFeatures: layering",
	}
	s.Volume("data")
	for _, c := range []*scene.Cluster{east, west} {
		s.Create(c, s.PV("data", edit...)+"---\n"+s.PVC("data"))
		s.Bound(c, "data")
	}
	if east, west := s.Label(east), s.Label(west); east != "true" || west != "" {
		t.Errorf("the label in east is %q, in west %q", east, west)
	}
	s.Holds(west, "data")
	s.Refused(s.Run(east, scene.Pod("x", "data"), "create", "-f", "-"), scene.Forbidden("pod", s.InUseOf(east, "data"), scene.Creating))
	s.LetsGo(west, "data")

	s.Holds(east, "data")
	s.Create(west, scene.Pod("x", "data")) // waits in ceph-csi
	time.Sleep(2 * time.Second)
	if got := s.Kubectl(west, "get", "pod/x", "-o=jsonpath={.status.phase}"); got != "Pending" {
		t.Errorf("it is %s", got)
	}
	s.LetsGo(east)
	s.Ready(west, "x")
	s.Wrote("data", west, east, west)
}

func TestAVolumeOnCephFSIsAllowedWithAWarning(t *testing.T) {
	t.Parallel()
	for mode, warning := range map[string]string{
		"ReadWriteMany": "is on CephFS, which several clusters may use at once; it is not guarded",
		"ReadWriteOnce": "is on CephFS and for a single writer, and nothing keeps a second cluster from writing to it; it is not guarded",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			allowedOnCephFS(t, mode, warning)
		})
	}
}

func allowedOnCephFS(t *testing.T, mode, warning string) {
	s := newShop(t)
	edit := []string{"ReadWriteOnce", mode, "rbd.csi", "cephfs.csi", "pool: replicapool", "fsName: files"}
	for _, c := range []*scene.Cluster{east, west} {
		s.Create(c, s.PV("data", edit...)+"---\n"+s.PVC("data", edit...))
		s.Bound(c, "data")
	}
	s.Create(west, scene.Workload("Deployment", "x", "data", 0))
	got := s.Run(west, "", "scale", "deployment/x", "--replicas=1")
	want := fmt.Sprintf("Warning: volume %s/data %s", s.Namespace, warning)
	if got.Err != nil || got.Stderr != want {
		t.Errorf("%v\n%s\nwant: %s", got.Err, got.Stderr, want)
	}
	s.Eventually("a pod", func() error {
		if pods := s.Pods(west, "x"); len(pods) != 1 || pods[0].Status.Phase == corev1.PodFailed {
			return fmt.Errorf("there are %d", len(pods))
		}
		return nil
	})
	if got := s.Label(west); got != "" {
		t.Errorf("the label is %q", got)
	}
}
