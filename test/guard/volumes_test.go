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
	"github.com/cephferry/cephferry/test/webhook"
)

func TestANamespaceIsGuardedBeforeItHasItsFirstGuardedVolume(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.create(west, s.pv("data"), "--dry-run=server")
	if got := s.label(west); got != "" {
		t.Errorf("after a dry run the label is %q", got)
	}
	stored := s.create(west, s.pv("data"), "-o=jsonpath={.metadata.resourceVersion}")
	if got := s.labelAt(west, stored); got != "true" {
		t.Errorf("when the volume was stored, the label was %q", got)
	}

	// Only the webhook's own account can, by mistake.
	s.kubectl(west, "label", "namespace/"+s.namespace, guardedLabel+"-", "--as=system:serviceaccount:"+webhook.Namespace+":cephferry")
	begin := time.Now()
	s.eventually("the label that was removed", func() error {
		if got := s.label(west); got != "true" {
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
	s.volume("data", east)
	s.holds(east, "data")
	s.create(west, s.pvc("data")+"---\n"+pod("x", "data"))

	text := s.inUse("data")
	s.refused(s.run(west, s.pv("data"), "create", "-f", "-"), forbidden("volume", text, creating))
	s.event(west, "VolumeInUse", "Pod/x", text)
	if got := s.kubectl(west, "get", "pvc/data", "pod/x", "-o=jsonpath={.items[*].status.phase}"); got != "Pending Pending" {
		t.Errorf("claim and pod are %s", got)
	}

	s.letsGo(east, "data")
	s.create(west, s.pv("data"))
	s.ready(west, "x")
	s.wrote("data", east, west)
}

// A volume that is for nobody is not looked at, until the binder finds a claim for
// it. The binder tries again every 15 s.
func TestAVolumeIsRefusedToTheBinderAndBoundWhenTheOtherClusterIsDone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.volume("data", east)
	s.holds(east, "data")
	s.create(west, s.pvc("data", `storageClassName: ""`, "storageClassName: "+s.namespace)+"---\n"+pod("x", "data"))
	s.create(west, s.pv("data", "claimRef: {namespace: "+s.namespace+", name: data}", "storageClassName: "+s.namespace))
	text := s.inUse("data")
	s.event(west, "VolumeInUse", "Pod/x", text)
	if got := s.kubectl(west, "get", "pvc/data", "pod/x", "-o=jsonpath={.items[*].status.phase}"); got != "Pending Pending" {
		t.Errorf("claim and pod are %s", got)
	}

	s.letsGo(east, "data")
	begin := time.Now()
	s.ready(west, "x")
	t.Logf("it runs %s after the other cluster was done", time.Since(begin).Round(time.Millisecond))
	s.wrote("data", east, west)
}

func TestABlockVolumeIsGuarded(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]string{"for one node": "ReadWriteOnce", "for many nodes": "ReadWriteMany"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			edit := []string{"accessModes: [ReadWriteOnce]\n", "accessModes: [" + mode + "]\n  volumeMode: Block\n"}
			s.volume("data")
			s.create(east, s.pv("data", edit...)+"---\n"+s.pvc("data", edit...))
			s.create(west, s.pv("data", edit...)+"---\n"+s.pvc("data", edit...))
			s.holds(east, "data")
			s.refused(s.run(west, pod("x", "data"), "create", "-f", "-"), forbidden("pod", s.inUse("data"), creating))
			s.letsGo(east, "data")
			s.create(west, pod("x", "data"))
			s.ready(west, "x")
			s.wrote("data", east, west)
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
	s.pool = lab.Pool + "/blue"
	s.volume("data")
	for _, c := range []*cluster{east, west} {
		s.create(c, s.pv("data", "clusterID: rook-ceph", "clusterID: blue")+"---\n"+s.pvc("data"))
		s.bound(c, "data")
	}
	got := s.run(west, pod("x", "data"), "create", "-f", "-")
	if want := fmt.Sprintf("cannot know whether volume %[1]s/data (image replicapool/%[1]s.data) is in use by another cluster: ", s.namespace); got.err == nil ||
		!strings.HasPrefix(got.stderr, "Error from server (InternalError): "+creating+`admission webhook "pod.guard.cephferry.io" denied the request: `+"\n"+want) ||
		!strings.Contains(got.stderr, `"blue"`) {
		t.Errorf("%s\nwant: %s", got.stderr, want)
	}

	s.addClusterID(east, "ceph-csi-config", "config.json")
	s.eventually("east knows the rados namespace", func() error {
		return s.run(east, pod("x", "data"), "create", "--dry-run=server", "-f", "-").err
	})
	s.addClusterID(west, "rook-ceph-csi-config", "csi-cluster-config-json")
	begin := time.Now()
	s.eventually("west knows the rados namespace", func() error {
		return s.run(west, pod("x", "data"), "create", "--dry-run=server", "-f", "-").err
	})
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	} else {
		t.Logf("it took %s", took.Round(time.Millisecond))
	}

	s.holds(east, "data")
	s.refused(s.run(west, pod("x", "data"), "create", "-f", "-"), forbidden("pod", s.inUse("data"), creating))
	s.letsGo(east, "data")
	s.create(west, pod("x", "data"))
	s.ready(west, "x")
	s.wrote("data", east, west)
}

// addClusterID adds clusterID blue to ceph-csi's configuration.
func (s *shop) addClusterID(c *cluster, name, key string) {
	s.Helper()
	maps := c.client.CoreV1().ConfigMaps("rook-ceph")
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
		"volumeHandle: " + s.namespace + ".data", "volumeHandle: 0001-0009-rook-ceph-0000000000000001-" + s.namespace,
		`staticVolume: "true"`, "imageName: " + s.namespace + ".data, journalPool: replicapool, imageFeatures: layering",
	}
	s.volume("data")
	for _, c := range []*cluster{east, west} {
		s.create(c, s.pv("data", edit...)+"---\n"+s.pvc("data"))
		s.bound(c, "data")
	}
	if east, west := s.label(east), s.label(west); east != "true" || west != "" {
		t.Errorf("the label in east is %q, in west %q", east, west)
	}
	s.holds(west, "data")
	s.refused(s.run(east, pod("x", "data"), "create", "-f", "-"), forbidden("pod", s.inUseOf(east, "data"), creating))
	s.letsGo(west, "data")

	s.holds(east, "data")
	s.create(west, pod("x", "data")) // waits in ceph-csi
	time.Sleep(2 * time.Second)
	if got := s.kubectl(west, "get", "pod/x", "-o=jsonpath={.status.phase}"); got != "Pending" {
		t.Errorf("it is %s", got)
	}
	s.letsGo(east)
	s.ready(west, "x")
	s.wrote("data", west, east, west)
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
	for _, c := range []*cluster{east, west} {
		s.create(c, s.pv("data", edit...)+"---\n"+s.pvc("data", edit...))
		s.bound(c, "data")
	}
	s.create(west, workload("Deployment", "x", "data", 0))
	got := s.run(west, "", "scale", "deployment/x", "--replicas=1")
	want := fmt.Sprintf("Warning: volume %s/data %s", s.namespace, warning)
	if got.err != nil || got.stderr != want {
		t.Errorf("%v\n%s\nwant: %s", got.err, got.stderr, want)
	}
	s.eventually("a pod", func() error {
		if pods := s.pods(west, "x"); len(pods) != 1 || pods[0].Status.Phase == corev1.PodFailed {
			return fmt.Errorf("there are %d", len(pods))
		}
		return nil
	})
	if got := s.label(west); got != "" {
		t.Errorf("the label is %q", got)
	}
}
